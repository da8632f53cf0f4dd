"""Prospects of languages: how well a sentence encoder reads one, and what searches in it will find.

A few captions stand in two languages. Each is read as a query will be: as it is, or made English by an engine
or a dictionary. The nearer the vectors of both lie, the more is found of what English finds. A line says how
much, fitted to measured languages; benchmarks/languages judges it by languages that it was not fitted to.

N captions, J width of the vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from statistics import mean
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.languages import canonical_tag, language
from dragoman.models.sentences import TextSide, encoder_folder, load_text_side, use
from dragoman.progress import bar
from dragoman.textfiles import table
from dragoman.translation.engine import (
    EngineError,
    Rejected,
    engines_by_language,
    offers,
    one_line,
    open_engine,
    packages,
    word_for_word,
)
from dragoman.trust.signals import expected_scripts, round_trip

Floats = NDArray[np.floating]

SAMPLE = Path(__file__).with_name("sample.tsv")
"""Thirty captions, written for this purpose in each language."""
FEWEST, MOST = 10, 100
"""Captions of a sample that tell something, and that are read at most."""
AT_ONCE = 16
"""Captions that are encoded together."""
TIMEOUT = 60.0
"""Seconds that an engine may take."""
GO, WEAK = 0.5, 0.2
"""Shares of what English finds from which a language is worth offering, and worth trying."""

INTERCEPT, SLOPE = 0.011, 0.988
"""Line from closeness to the share that is found. It holds for captions that are made English first as well.
Fitted to 46 points, of nine languages and three encoders, by benchmarks/languages/run.py."""
RESIDUAL = 0.194
"""Half the width of an interval: nine points in ten, predicted without their language, were off by less."""
WORDS = 0.522
"""Part of that which a model finds that reads words alone, through a dictionary; measured in Czech alone."""

Verdict = Literal["go", "weak", "no-go", "not known"]
Origin = Literal["people", "engine", "dictionary", "nothing"]


class Share(NamedTuple):
    """Share of what English finds (its SumR), 0 to 1: an estimate, and an interval that holds nine in ten."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Choices of a check."""

    source: str = "en"
    """Language of the captions that there are."""
    encoder: str = use.NAME
    """Sentence encoder: use, or a folder or hub id."""
    prefix: str = ""
    """Stands before every text, as 'query: ' of e5."""
    engines: tuple[str, ...] = ()
    """Translation engine of a language, as in pt=apertium:eng-spa|es-pt. May be repeated."""
    texts: Path | None = None
    """Table with a column of captions for each language, named by its tag; by default a sample of its own."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", language(self.source).tag)
        # Told before the work.
        _ = self.engine_of

    @property
    def engine_of(self) -> dict[str, str]:
        """Engines by the languages that they are for."""
        return engines_by_language(self.engines)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One way in which captions of a language reach the encoder, and how they arrive."""

    through: str | None
    """Engine or dictionary that makes them English; None where they are read as they are."""
    agreement: float
    """Share of captions whose nearest in the other language is their own, mean of both directions, 0 to 1."""
    closeness: float
    """`closeness` of the vectors, -1 to 1."""
    share: Share


@dataclass(frozen=True, kw_only=True)
class Prospect:
    """All that is known of a language before the work begins."""

    lang: str
    source: str
    name: str
    scripts: tuple[str, ...]
    """Unicode names; none where they are not known."""
    origin: Origin
    """Who made the captions in this language. Those of machines flatter the way back through them."""
    captions: int
    tokens: float | None
    """Pieces of the encoder's vocabulary, times those of the same captions in the source language."""
    unknown: float | None
    """Share of its pieces that the vocabulary does not hold, 0 to 1."""
    engines: tuple[str, ...]
    back: tuple[str, ...]
    """Engines into the source language."""
    dictionaries: tuple[str, ...]
    round_trip: float | None
    """Mean chrF of captions that went there and back, 0 to 1."""
    readings: tuple[Reading, ...]
    """Best first."""
    advice: str

    @property
    def best(self) -> Reading | None:
        """The way by which most is found."""
        return next(iter(self.readings), None)

    @property
    def verdict(self) -> Verdict:
        """Judge by what is expected to be found."""
        return "not known" if self.best is None else judged(self.best.share)

    def as_dict(self) -> dict[str, object]:
        """Give it as JSON."""
        fields = (
            "lang",
            "source",
            "name",
            "scripts",
            "origin",
            "captions",
            "tokens",
            "unknown",
            "engines",
            "back",
        )
        found: dict[str, object] = {name: getattr(self, name) for name in fields}
        found |= {"dictionaries": self.dictionaries, "round_trip": self.round_trip}
        found["readings"] = [
            {
                "through": one.through,
                "agreement": one.agreement,
                "closeness": one.closeness,
                "share": one.share._asdict(),
            }
            for one in self.readings
        ]
        return found | {"verdict": self.verdict, "advice": self.advice}

    def lines(self) -> Iterator[str]:
        """Tell it to a person."""
        scripts = " and ".join(script.title() for script in self.scripts) or "script not known"
        best = self.best
        share = "" if best is None else f", {told(best.share, self.source)}"
        yield f"{self.name} ({self.lang}), {scripts}: {self.verdict}{share}"
        made = {
            "people": "written by people",
            "engine": "by its engine, which flatters what goes back through it",
            "dictionary": "word by word",
            "nothing": "none",
        }[self.origin]
        yield f"  captions: {self.captions}, {made}" if self.captions else "  captions: none to look at"
        for one in self.readings:
            way = f"through {one.through}" if one.through else "as they are"
            yield f"  read {way}: {one.agreement:.0%} find their own, closeness {one.closeness:.2f}"
        if self.tokens is not None:
            yield f"  tokens: {self.tokens:.1f} for one of the source language; unknown: {self.unknown:.1%}"
        for kind, some in (
            ("engines", self.engines),
            ("engines back", self.back),
            ("dictionaries", self.dictionaries),
        ):
            yield f"  {kind}: {', '.join(some) or 'none'}"
        if self.round_trip is not None:
            yield f"  there and back: chrF {100 * self.round_trip:.0f} of 100"
        if self.advice:
            yield f"  {self.advice}"


def told(share: Share, source: str = "en") -> str:
    """Say a share in words."""
    return f"finds {share.low:.0%} to {share.high:.0%} of what {language(source).name} finds"


def judged(share: Share) -> Verdict:
    """Judge a share: `go` from half of what English finds, `weak` from a fifth."""
    return "go" if share.middle >= GO else "weak" if share.middle >= WEAK else "no-go"


def closeness(source_NJ: Floats, other_NJ: Floats) -> float:
    """Mean cosine of captions and their translations, seen from the mean of the source language: -1 to 1.

    From there, what all captions have in common counts for nothing; what all of the other language have in
    common counts against it, as it does in a search.
    """
    source_NJ, other_NJ = _unit(source_NJ), _unit(other_NJ)
    centre_J = source_NJ.mean(axis=0)
    return float((_unit(source_NJ - centre_J) * _unit(other_NJ - centre_J)).sum(axis=1).mean())


def agreement(source_NJ: Floats, other_NJ: Floats) -> float:
    """Translation retrieval R@1, mean of both directions, 0 to 1; of equals, none is found."""
    scores_NN = _unit(other_NJ) @ _unit(source_NJ).T
    own_N = np.diag(scores_NN)
    rivals_NN = scores_NN - np.diag(np.full(len(own_N), np.inf))
    found = [(own_N > rivals_NN.max(axis=axis)).mean() for axis in (0, 1)]
    return float(np.mean(found))


def _unit(vectors_NJ: Floats) -> Floats:
    found: Floats = vectors_NJ / np.maximum(np.linalg.norm(vectors_NJ, axis=1, keepdims=True), 1e-12)
    return found


def expected_share(close: float, through: str | None = None) -> Share:
    """Share of what English finds that a closeness promises, of captions as they are or made English."""
    middle = INTERCEPT + SLOPE * close
    low, middle, high = (min(max(middle + shift, 0.0), 1.0) for shift in (-RESIDUAL, 0.0, RESIDUAL))
    if through is not None and word_for_word(through):
        # Whole captions can be made English by a dictionary too, and then the upper end holds.
        low, middle = WORDS * low, WORDS * middle
    return Share(low, middle, high)


def read_texts(path: Path) -> dict[str, list[str]]:
    """Read a table with a column for each language: captions by tags, "" where there is none.

    Raises UserError for a file that is no such table, or has fewer than `FEWEST` captions.
    """
    header, rows = table(path, usual="\t")
    try:
        tags = [canonical_tag(name) for name in header]
    except ValueError as error:
        raise UserError(
            f"{path}, line 1: name each column by its language, such as en, TAB, pt: {error}"
        ) from None
    if repeated := next((tag for tag in tags if tags.count(tag) > 1), None):
        raise UserError(f"{path}, line 1: two columns are of the language {repeated!r}. Leave one out.")
    found: dict[str, list[str]] = {tag: [] for tag in tags}
    for row in rows:
        if row.fault:
            raise UserError(f"{path}, line {row.number}: {row.fault}")
        for tag, cell in zip(tags, row.cells, strict=True):
            # Stray bytes are lone surrogates, which no encoder takes.
            found[tag].append(one_line(cell.encode(errors="replace").decode()))
    if len(next(iter(found.values()), [])) < FEWEST:
        raise UserError(f"{path} has fewer than {FEWEST} captions, which tell nothing. Write some more.")
    return found


class Checker:
    """An encoder and a sample, by which languages are checked one after the other.

    Raises UserError for an encoder that is not there, and a sample without the source language.
    """

    def __init__(self, options: CheckOptions, side: TextSide | None = None) -> None:
        """Load the encoder, or take the one that is given."""
        self.options = options
        path = options.texts or SAMPLE
        texts = {tag: column[:MOST] for tag, column in read_texts(path).items()}
        self._texts = texts
        source = self._column(options.source)
        if source is None or sum(map(bool, source)) < FEWEST:
            raise UserError(
                f"{path} has no {FEWEST} captions in {language(options.source).name}. Give a table that has "
                f"them, with a column {options.source!r}: --texts FILE"
            )
        self._source = source
        side = side or load_text_side(encoder_folder(options.encoder))
        side.reading = replace(side.reading, prefix=options.prefix)
        self.side: TextSide = side

    @cached_property
    def _source_vectors(self) -> Floats:
        return self._encoded(self._source)

    def check(self, lang: str) -> Prospect:
        """Look at one language. Raises UserError where it is not known, or an engine that was named fails."""
        options, known = self.options, language(lang)
        lang, source = known.tag, options.source
        named = options.engine_of.get(lang)
        there = [named] if named else offers(source, lang)
        back = offers(lang, source)
        texts, origin = self._texts_in(lang, there)
        rows = [row for row, text in enumerate(texts) if text and self._source[row]]
        own = [self._source[row] for row in rows]
        texts = [texts[row] for row in rows]
        tokens, unknown = self._pieces(own, texts)
        spoken = [one for one in there if not word_for_word(one)]
        backwards = [one for one in back if not word_for_word(one)]
        returned = None
        if spoken and backwards:
            forth = texts if origin == "engine" else translated(spoken[0], source, lang, own)
            again = translated(backwards[0], lang, source, forth)
            returned = (
                mean([round_trip(*pair) or 0.0 for pair in zip(own, again, strict=True)]) if own else None
            )
        readings = self.readings(lang, rows, texts, back)
        return Prospect(
            lang=lang,
            source=source,
            name=known.name,
            scripts=expected_scripts(lang) or (),
            origin=origin,
            captions=len(rows),
            tokens=tokens,
            unknown=unknown,
            engines=tuple(spoken),
            back=tuple(backwards),
            dictionaries=tuple(one for one in there if word_for_word(one)),
            round_trip=returned,
            readings=readings,
            advice=_advice(source, lang, there, back, readings),
        )

    def readings(
        self, lang: str, rows: Sequence[int], texts: Sequence[str], through: Sequence[str]
    ) -> tuple[Reading, ...]:
        """Measure the ways in which captions of a language, those of these rows of the sample, reach the
        encoder: as they are, and by the first engine and the first dictionary into the source language."""
        if len(texts) < FEWEST:
            return ()
        spoken = [one for one in through if not word_for_word(one)][:1]
        words = [one for one in through if word_for_word(one)][:1]
        found = [self._reading(None, rows, texts)]
        for spec in (*spoken, *words):
            english = translated(spec, lang, self.options.source, texts)
            found.append(self._reading(spec, rows, english))
        return tuple(sorted(found, key=lambda one: -one.share.middle))

    def quick(self, lang: str, through: Sequence[str]) -> tuple[Reading, ...]:
        """Measure a language by captions of people alone; none where the sample has none."""
        column = self._column(lang) or []
        rows = [row for row, text in enumerate(column) if text and self._source[row]]
        return self.readings(lang, rows, [column[row] for row in rows], through)

    def _reading(self, through: str | None, rows: Sequence[int], texts: Sequence[str]) -> Reading:
        own_NJ, other_NJ = self._source_vectors[list(rows)], self._encoded(texts)
        close = closeness(own_NJ, other_NJ)
        return Reading(
            through=through,
            agreement=agreement(own_NJ, other_NJ),
            closeness=close,
            share=expected_share(close, through),
        )

    def _encoded(self, texts: Sequence[str]) -> Floats:
        parts = [texts[start : start + AT_ONCE] for start in range(0, len(texts), AT_ONCE)]
        return np.concatenate([self.side.encode(part) for part in parts])

    def _column(self, lang: str) -> list[str] | None:
        """Captions of people in a language, or in that of which it is a region."""
        found = self._texts.get(lang)
        return self._texts.get(language(lang).row) if found is None else found

    def _texts_in(self, lang: str, engines: Sequence[str]) -> tuple[list[str], Origin]:
        """The sample in a language, and who wrote it."""
        column = self._column(lang)
        if column is not None and sum(map(bool, column)) >= FEWEST:
            return column, "people"
        if not engines:
            return [], "nothing"
        origin: Origin = "dictionary" if word_for_word(engines[0]) else "engine"
        return translated(engines[0], self.options.source, lang, self._source), origin

    def _pieces(self, own: Sequence[str], texts: Sequence[str]) -> tuple[float | None, float | None]:
        ours, theirs = self.side.pieces(own), self.side.pieces(texts)
        if not ours or not theirs:
            return None, None
        count = sum(map(len, theirs))
        unknown = sum(not piece for text in theirs for piece in text)
        return count / max(sum(map(len, ours)), 1), unknown / max(count, 1)


def translated(spec: str, source: str, target: str, texts: Sequence[str]) -> list[str]:
    """Translate a sample; "" for what the engine rejects. Raises UserError for an engine that cannot work."""
    engine = open_engine(spec, source, target)
    lines = [row for row, text in enumerate(texts) if text]
    found = [""] * len(texts)
    try:
        answers = engine.translate([texts[row] for row in lines], TIMEOUT) if lines else []
    except EngineError as error:
        raise UserError(f"{spec} cannot translate the sample from {source} to {target}: {error}") from None
    for row, answer in zip(lines, answers, strict=True):
        found[row] = "" if isinstance(answer, Rejected) else answer
    return found


def _advice(
    source: str, lang: str, there: Sequence[str], back: Sequence[str], readings: Sequence[Reading]
) -> str:
    """The cheapest thing that would make it better."""
    if any(one.through is None and judged(one.share) == "go" for one in readings):
        return "Known to the encoder. Captions by people, of 100 photos or more, make it better still."
    spoken = any(not word_for_word(one) for one in there)
    if spoken:
        return "Better with an encoder that knows it: --encoder; or with captions by people, of 100 photos."
    wanted = packages(source, lang)
    if not any(not word_for_word(one) for one in back):
        # What leads back alone makes queries English.
        wanted += packages(lang, source)
    wanted = [names for names in wanted if not (there and names.startswith("dict-"))]
    if wanted:
        return f"Better with: sudo apt-get install {wanted[0]}"
    return (
        f"Better with a neural engine: --engine {lang}=ctranslate2:FOLDER (docs/translation.md); an encoder "
        "that knows it: --encoder; or captions by people, of 100 photos."
    )


def expectations(source: str, engines: Mapping[str, Sequence[str]]) -> dict[str, Share]:
    """Shares of what the source language finds, expected of languages that the encoder `use` reads as they
    are, or by these engines into the source language.

    It looks at captions of its own sample alone, which takes a second a language. A language that the sample
    lacks has no share, and none has where the encoder is not installed.
    """
    found: dict[str, Share] = {}
    if not engines or find_spec(use.MODULE) is None:
        return found
    with suppress(UserError):
        checker = Checker(CheckOptions(source=source))
        for lang, through in engines.items():
            # An engine that cannot work is complained of where it must.
            with suppress(UserError):
                if readings := checker.quick(lang, through):
                    found[lang] = readings[0].share
    return found


def check_languages(langs: Sequence[str], options: CheckOptions) -> Iterator[Prospect]:
    """Look at languages, one after the other. Raises UserError as `Checker` does, for a language that is not
    known, and for that of the captions."""
    tags = [language(lang).tag for lang in langs]
    if options.source in tags:
        raise UserError(
            f"{options.source} is the language of the captions, by which others are measured. Leave it "
            "out, or name another: --from"
        )
    checker = Checker(options)
    with bar(len(tags), "languages", "languages") as progress:
        for tag in dict.fromkeys(tags):
            progress.set_postfix_str(tag)
            yield checker.check(tag)
            progress.update(1)
