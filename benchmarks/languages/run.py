"""Predictions of `dragoman check-language` beside what was found; each language without its own figures.

    python benchmarks/languages/run.py --data DIR --out WORK --e5 FOLDER
    python benchmarks/languages/run.py

DIR is the folder `flickr8k_multilingual` (captions.jsonl.gz, features/). Encoders are `use`,
multilingual-e5-small (a Hugging Face folder, which encodes the sample alone) and `spelling`, which knows the
spelling of English alone: weights of runs of letters in English captions, reduced to 300 numbers. Shares of
what English finds are

- those of benchmarks/pretrained: `glossed` and its Czech dictionary on `use`, `linear` and `mlp` on e5, all
  learned from English captions and asked by people;
- those of a map in closed form (canonical correlation of English captions and photos, of a regularisation
  that English captions of val choose), asked by people; in Spanish, Galician, Ukrainian by machine captions
  of val; and in Portuguese, Czech and German through Apertium and FreeDict;
- the same on the generated world, asked by its grammars.

The dictionary of `glossed` is no part of the line: there words are read alone, where the others are given
whole captions in English. It tells what words alone are worth.

Without --data the line is fitted again to the points in results.json. Writes results.json and results.md
beside this file, and tells the constants of `dragoman.pipelines.prospect`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.folders import write_text
from dragoman.models.sentences import TextSide
from dragoman.pipelines import experiment, prospect
from dragoman.pipelines.experiment import table
from dragoman.pipelines.prospect import Checker, CheckOptions

HERE = Path(__file__).parent
PRETRAINED = HERE.parent / "pretrained"
Floats = NDArray[np.floating]
Asked = Mapping[str, Sequence[tuple[str, str]]]
"""Pairs of item and caption, by the name of what is asked."""
Map = Callable[[Floats], Floats]

SIDE, SPECTRUM = 300, 200
"""Width of `spelling`, and directions of the map."""
PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Regularisations, as parts of the mean variance, of which English captions of val choose."""
GALLERY = 900
"""Photos among which is looked."""
COVERED = 0.9
"""Share of the languages that an interval should hold."""
GLOSSED = {
    "pt": ("pt written", "pt translated"),
    "de": ("de written", "de translated"),
    "zh": ("zh",),
    "ar": ("ar",),
    "cs": ("cs",),
}
FLICKR = {
    "en": ("human", "en", "test", ""),
    "en val": ("human", "en", "val", ""),
    "pt": ("human", "pt", "test", ""),
    "de": ("human", "de", "test", ""),
    "zh": ("human", "zh", "test", ""),
    "ar": ("human", "ar", "test", ""),
    "cs": ("human", "cs", "test", ""),
    "es val": ("mt", "es", "val", "nllb-200-3.3B"),
    "uk val": ("mt", "uk", "val", "nllb-200-3.3B"),
    "gl val": ("mt", "gl", "val", "apertium:en-gl"),
    "pt through apertium:pt-es|spa-eng": ("mt", "en", "test", "apertium:pt-es|spa-eng"),
}
"""Role, language, split and engine of captions that ask."""
LEXICON = "glossed+lexicon"
WORDS = {"cs": "dictionary:eng-ces", "de": "dictionary:eng-deu"}


@dataclass(frozen=True, kw_only=True)
class Point:
    """A language that was measured with an encoder."""

    encoder: str
    model: str
    """What was learned on the encoder's vectors, and on which pictures."""
    lang: str
    through: str | None
    closeness: float
    agreement: float
    share: float
    """SumR, divided by that of English captions."""

    @property
    def row(self) -> list[float]:
        """Values that the line weighs."""
        return [1.0, self.closeness]


def words_alone(points: Sequence[Point]) -> Point:
    """The model that reads words alone through a dictionary."""
    return next(one for one in points if one.model.startswith(LEXICON))


def of_line(points: Sequence[Point]) -> list[Point]:
    """Points that the line is fitted to."""
    return [one for one in points if not one.model.startswith(LEXICON)]


def fitted(points: Sequence[Point]) -> Floats:
    """Least squares: intercept and slope."""
    found: Floats = np.linalg.lstsq(
        np.array([one.row for one in points]), np.array([one.share for one in points]), rcond=None
    )[0]
    return found


def without(points: Sequence[Point], lang: str) -> list[Point]:
    """All points of other languages."""
    return [one for one in points if one.lang != lang]


def residuals(points: Sequence[Point]) -> list[float]:
    """How far each point is from a line that was fitted without its language."""
    lines = {lang: fitted(without(points, lang)) for lang in {one.lang for one in points}}
    return [abs(one.share - float(np.clip(one.row @ lines[one.lang], 0, 1))) for one in points]


def half_width(points: Sequence[Point]) -> float:
    """The width that holds `COVERED` of the residuals, and one more: that of split conformal prediction
    (Lei et al. 2018, algorithm 2)."""
    sizes = sorted(residuals(points))
    return sizes[min(int(np.ceil(COVERED * (len(sizes) + 1))), len(sizes)) - 1]


def worth(points: Sequence[Point], alone: Point) -> float:
    """Share of what the line says that words alone found."""
    return alone.share / float(np.dot(alone.row, fitted(points)))


def judged(points: Sequence[Point]) -> Iterator[tuple[Point, float, float]]:
    """Each point with its prediction and half the width of its interval, both made without its language."""
    for lang in dict.fromkeys(one.lang for one in points):
        others = without(points, lang)
        line, width = fitted(others), half_width(others)
        for one in points:
            if one.lang == lang:
                yield one, float(np.clip(one.row @ line, 0, 1)), width


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Rank correlation, ties at their mean rank."""
    from scipy.stats import spearmanr

    return float(spearmanr(left, right).statistic)


class Spelling(TextSide):
    """Runs of three to five letters, weighed as in English captions, reduced to `SIDE` numbers."""

    def __init__(self, texts: Sequence[str]) -> None:
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.width = SIDE
        self._letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=3, sublinear_tf=True)
        self._reduced = TruncatedSVD(SIDE, random_state=0)
        self._reduced.fit(self._letters.fit_transform(texts))

    def _vectors(self, given: list[str]) -> NDArray[np.float32]:
        found: NDArray[np.float32] = self._reduced.transform(self._letters.transform(given)).astype(
            np.float32
        )
        return found


def unit(vectors: Floats) -> Floats:
    """Rows of unit length; zeros stay."""
    found: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return found


def correlated(texts: Floats, images: Floats) -> Iterator[tuple[Map, Map]]:
    """Maps of both sides into one space, by canonical correlation, for each of `PENALTIES`."""
    means = texts.mean(axis=0), images.mean(axis=0)
    sides = [side - centre for side, centre in zip((texts, images), means, strict=True)]
    spectra = [np.linalg.eigh(side.T @ side / len(side)) for side in sides]
    shared = sides[0].T @ sides[1] / len(texts)
    for penalty in PENALTIES:
        whitened = [
            vectors / np.sqrt(np.maximum(values, 0) + penalty * values.mean()) @ vectors.T
            for values, vectors in spectra
        ]
        left, values, right = np.linalg.svd(whitened[0] @ shared @ whitened[1], full_matrices=False)
        maps = whitened[0] @ left[:, :SPECTRUM] * values[:SPECTRUM], whitened[1] @ right[:SPECTRUM].T
        yield (
            lambda some, by=maps[0]: (some - means[0]) @ by,  # type: ignore[misc]
            lambda some, by=maps[1]: (some - means[1]) @ by,  # type: ignore[misc]
        )


def sum_r(texts: Floats, images: Floats) -> float:
    """SumR of as many captions as pictures, row by row; of equals, none is found."""
    scores = unit(texts) @ unit(images).T
    own = np.diag(scores)
    total = 0.0
    for ranks in ((scores >= own[:, None]).sum(axis=1), (scores >= own[None, :]).sum(axis=0)):
        total += sum(100 * float((ranks <= size).mean()) for size in (1, 5, 10))
    return total


def shares(
    side: TextSide,
    learned: Sequence[tuple[str, str]],
    asked: Asked,
    images: Callable[[Sequence[str]], Floats],
) -> dict[str, float]:
    """SumR of what is asked, over that of English in the same split."""

    def encoded(texts: Sequence[str]) -> Floats:
        return np.concatenate([side.encode(texts[at : at + 64]) for at in range(0, len(texts), 64)])

    kept = {name: pairs[:GALLERY] for name, pairs in asked.items()}
    vectors = {name: encoded([text for _, text in pairs]) for name, pairs in kept.items()}
    photos = {name: images([item for item, _ in pairs]) for name, pairs in kept.items()}
    best: dict[str, float] = {"en val": -1.0}
    known = encoded([text for _, text in learned]).astype(np.float64), images([item for item, _ in learned])
    for of_texts, of_images in correlated(*known):
        found = {name: sum_r(of_texts(vectors[name]), of_images(photos[name])) for name in kept}
        if found["en val"] > best["en val"]:
            best = found
    return {
        name: value / best["en val" if name.endswith(" val") else "en"]
        for name, value in best.items()
        if not name.startswith("en")
    }


def flickr(data: Path) -> tuple[list[tuple[str, str]], dict[str, list[tuple[str, str]]], Any]:
    """English captions to learn from, captions to ask, one a photo, and a function to vectors of photos."""
    some: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    kinds = {kind: name for name, kind in FLICKR.items()} | {("human", "en", "train", ""): "learned"}
    with gzip.open(data / "captions.jsonl.gz", "rb") as file:
        for raw in file:
            one = json.loads(raw)
            name = kinds.get((one["role"], one["lang"], one["split"], one.get("engine") or ""))
            if name:
                some[name][one["item_id"]].append(one["text"])
    draws = np.random.default_rng(1)
    drawn = {
        name: [(item, texts[draws.integers(len(texts))]) for item, texts in sorted(items.items())]
        for name, items in sorted(some.items())
    }
    for lang, engine in WORDS.items():
        english = prospect.translated(engine, lang, "en", [text for _, text in drawn[lang]])
        drawn[f"{lang} through {engine}"] = list(zip([item for item, _ in drawn[lang]], english, strict=True))
    # In the order of items the first 900 would be of one letter.
    asked = {name: [pairs[row] for row in draws.permutation(len(pairs))] for name, pairs in drawn.items()}
    vectors = np.load(data / "features" / "mobilenet_v2.npy").astype(np.float64)
    row_of = {item: row for row, item in enumerate((data / "features" / "ids.txt").read_text().split())}
    return (
        asked.pop("learned"),
        asked,
        lambda items: unit(vectors[[row_of[item] for item in items]]),
    )


def world(out: Path) -> tuple[list[tuple[str, str]], dict[str, list[tuple[str, str]]], Any]:
    """The same of the generated world."""
    from dragoman.scenes.world import WorldSettings, write_world

    corpus = write_world(out / "world", WorldSettings(items=1200, captions=1))
    features = corpus.features("grid")

    def pairs(lang: str, split: str) -> list[tuple[str, str]]:
        rows = corpus.select(role="human", lang=lang, split=split).table.to_pylist()
        return [(row["item_id"], row["text"]) for row in rows]

    langs = sorted(set(corpus.captions["lang"].to_pylist()))
    return (
        pairs("en", "train"),
        {lang: pairs(lang, "test") for lang in langs} | {"en val": pairs("en", "val")},
        lambda items: np.asarray(features.whole(features.rows(list(items))), np.float64),
    )


def measured(data: Path, out: Path, e5: Path) -> Iterator[Point]:
    """All points, a group at a time; groups that are finished are read from WORK."""
    out.mkdir(parents=True, exist_ok=True)
    checkers: dict[str, Checker] = {}

    def point(encoder: str, model: str, lang: str, through: str | None, share: float) -> Point:
        if encoder not in checkers:
            checkers[encoder] = checker(encoder)
        reading = next(
            one
            for one in checkers[encoder].quick(lang, [through] if through else [])
            if one.through == through
        )
        return Point(
            encoder=encoder,
            model=model,
            lang=lang,
            through=through,
            closeness=round(reading.closeness, 4),
            agreement=round(reading.agreement, 4),
            share=round(share, 4),
        )

    def checker(encoder: str) -> Checker:
        if encoder == "spelling":
            learned, _, _ = photos()
            return Checker(CheckOptions(), Spelling([text for _, text in learned]))
        if encoder == "e5":
            return Checker(CheckOptions(encoder=str(e5), prefix="query: "))
        return Checker(CheckOptions())

    kept: list[Any] = []

    def photos() -> Any:
        kept.extend([] if kept else [flickr(data)])
        return kept[0]

    def group(name: str, made: Callable[[], Iterator[Point]]) -> list[Point]:
        file = out / f"{name}.json"
        if not file.is_file():
            write_text(file, json.dumps([asdict(one) for one in made()]))
        return [Point(**one) for one in json.loads(file.read_text())]

    def of_closed(encoder: str, where: str) -> Iterator[Point]:
        learned, asked, images = photos() if where == "photos" else world(out)
        side = checkers.setdefault(encoder, checker(encoder)).side
        for name, share in shares(side, learned, asked, images).items():
            lang, _, through = name.removesuffix(" val").partition(" through ")
            yield point(encoder, f"closed form, {where}", lang, through or None, share)

    def of_heads() -> Iterator[Point]:
        for encoder, file, arms in (
            ("use", "results", ("glossed",)),
            ("e5", "e5", ("e5-linear", "e5-mlp")),
            ("use", "results", (LEXICON,)),
        ):
            results = json.loads((PRETRAINED / f"{file}.json").read_text())["results"]
            for lang, columns in GLOSSED.items():
                by_words = arms == (LEXICON,)
                if by_words and lang != "cs":
                    continue
                values = [
                    statistics.mean(results[arm]["sum_r"][column])
                    / statistics.mean(results[arm]["sum_r"]["en"])
                    for arm in arms
                    for column in columns
                ]
                through = WORDS[lang] if by_words else None
                yield point(encoder, ", ".join(arms) + ", photos", lang, through, statistics.mean(values))

    yield from group("heads", of_heads)
    for where in ("photos", "world"):
        for encoder in ("spelling", "use"):
            yield from group(f"{encoder}-{where}", lambda e=encoder, w=where: of_closed(e, w))  # type: ignore[misc]


def page(points: Sequence[Point], circumstances: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
    alone, points = words_alone(points), of_line(points)
    line, width = fitted(points), half_width(points)
    found = list(judged(points))
    langs = list(dict.fromkeys(one.lang for one in points))
    yield "# Languages predicted before anything is made\n"
    yield (
        "Share of what English finds (SumR over that of English captions), predicted by `dragoman "
        "check-language` from thirty captions, beside the share that was found. A line, fitted by least "
        f"squares to {len(points)} points of {len(langs)} languages: share = {line[0]:.3f} + {line[1]:.3f} · "
        f"closeness, within ± {width:.3f}. Here each "
        "language is predicted by a line and an interval that were fitted without any of its points. "
        "The head of [run.py](run.py) says what was measured.\n"
    )
    yield f"Command: `{circumstances['command']}`. Commit {circumstances['commit']}. "
    yield f"Computer: {circumstances['computer']}.\n"
    error = statistics.mean(abs(one.share - guess) for one, guess, _ in found)
    held = [abs(one.share - guess) <= half for one, guess, half in found]
    yield (
        f"Intervals hold {sum(held)} of {len(held)} points ({sum(held) / len(held):.0%}; "
        f"{COVERED:.0%} meant); mean error {error:.3f}.\n"
    )
    yield (
        f"Words alone: `{LEXICON}` reads {alone.lang} through {alone.through} word by word, and found "
        f"{alone.share:.2f} where the line says {np.dot(alone.row, line):.2f} of whole captions in English: "
        f"{worth(points, alone):.2f} of it, from one language.\n"
    )
    yield "Rank correlation (Spearman) of prediction and result, and of agreement and result:\n"
    groups: dict[str, Callable[[Point], bool]] = {
        "all": lambda one: True,
        "without Czech": lambda one: one.lang != "cs",
        "photos": lambda one: one.model.endswith("photos"),
        "generated world": lambda one: one.model.endswith("world"),
        **{f"encoder {name}": (lambda one, n=name: one.encoder == n) for name in ("use", "e5", "spelling")},  # type: ignore[misc]
        "use and e5": lambda one: one.encoder != "spelling",
        "use and e5, photos": lambda one: one.encoder != "spelling" and one.model.endswith("photos"),
        "use and e5, without Czech": lambda one: one.encoder != "spelling" and one.lang != "cs",
        "read as they are": lambda one: one.through is None,
        "made English first": lambda one: one.through is not None,
    }
    rows = []
    for name, wanted in groups.items():
        some = [(one, guess) for one, guess, _ in found if wanted(one)]
        if len(some) < 3:
            continue
        results = [one.share for one, _ in some]
        rows.append(
            (
                name,
                len(some),
                f"{spearman([guess for _, guess in some], results):.2f}",
                f"{spearman([one.agreement for one, _ in some], results):.2f}",
            )
        )
    yield from table(("points", "number", "prediction", "agreement"), rows)
    yield "\nEach point:\n"
    yield from table(
        (
            "encoder",
            "model",
            "language",
            "through",
            "agreement",
            "closeness",
            "predicted",
            "interval",
            "found",
            "",
        ),
        [
            (
                one.encoder,
                one.model,
                one.lang,
                (one.through or "–").replace("|", "\\|"),
                f"{one.agreement:.2f}",
                f"{one.closeness:.2f}",
                f"{guess:.2f}",
                f"{max(guess - half, 0):.2f} to {min(guess + half, 1):.2f}",
                f"{one.share:.2f}",
                "" if inside else "outside",
            )
            for (one, guess, half), inside in zip(found, held, strict=True)
        ],
    )


def main() -> None:
    """Measure, fit, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--e5", type=Path)
    options = parser.parse_args()
    file = HERE / "results.json"
    if options.data is None:
        everything = json.loads(file.read_text())
        points = [Point(**one) for one in everything["points"]]
    else:
        points = list(measured(options.data, options.out, options.e5))
        command = "python benchmarks/languages/run.py --data DIR --out WORK --e5 FOLDER"
        everything = {"circumstances": experiment.circumstances(command, workers=1)}
        everything["points"] = [asdict(one) for one in points]
    experiment.write_results(HERE, everything, page(points, everything["circumstances"]), "results")
    alone, points = words_alone(points), of_line(points)
    print("INTERCEPT, SLOPE = {:.3f}, {:.3f}".format(*fitted(points)))
    print(f"RESIDUAL = {half_width(points):.3f}\nWORDS = {worth(points, alone):.3f}")


if __name__ == "__main__":
    main()
