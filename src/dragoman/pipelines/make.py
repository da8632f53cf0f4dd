"""A folder of photos becomes a collection that can be searched, in stages that each go on where they were.

collection/
  manifest.json     the folder of photos, the languages and how each is reached, and what was measured
  corpus/           captions, translations, vectors
  runs/NAME/        the model, named by what it was learned from
  cache/            translations
  corrections.jsonl those of sheets that were taken in; the index has its own, of the page
  index/            what `dragoman serve` and `dragoman search` open
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.corpus import BuildOptions, Corpus, build_folder
from dragoman.corpus.corpus import LACKING
from dragoman.corpus.corrections import (
    CORRECTIONS,
    Fault,
    keep_corrections,
    read_corrections,
)
from dragoman.corpus.features import shown
from dragoman.errors import UserError
from dragoman.evaluation import Metric, Positives, rank_queries
from dragoman.features.extract import ExtractOptions, extract_features
from dragoman.features.texts import TextOptions, extract_texts
from dragoman.features.work import REJECTED
from dragoman.folders import MANIFEST, read_sealed, remove, sole_writer
from dragoman.index import IndexOptions, index_media
from dragoman.index.folder import COLLECTION
from dragoman.languages import language
from dragoman.models.hub import model_folder
from dragoman.models.sentences.dual import holds_both_sides
from dragoman.pipelines.plan import LEARNT, SHARES, Plan, correction_files, free_room, steps_for
from dragoman.progress import Whole
from dragoman.recipes import load_recipe
from dragoman.retrievers.base import Encoder, encode_in
from dragoman.retrievers.described import with_descriptions
from dragoman.retrievers.loading import load_encoder
from dragoman.search.calibrate import calibrate_once
from dragoman.training import train
from dragoman.training.config import TrainConfig
from dragoman.training.run_folder import CONFIG
from dragoman.training.validation import caption_sum_r
from dragoman.translation import TranslateSettings, build_lexicon, open_engine, translate
from dragoman.trust import score_trust

log = logging.getLogger(__name__)

VISION = "vision"
"""Feature set of the corpus."""
LOOKS = 20
"""Validations of a training."""
FIRST = 10
"""Hits among which a person looks."""
ASKED = 20
"""Held-out captions of a language that are worth asking."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Finds of held-out captions of a language."""

    lang: str
    captions: int
    human: bool
    """Written by people; else by a machine."""
    photos: int
    """Photos among which is looked."""
    found: float
    """Share of the captions that find their own photo among the first ten, 0 to 1."""
    sum_r: float
    """SumR, 0 to 600."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A collection."""

    index: Path
    model: Path
    """Run folder, or that of the public model."""
    count: int
    """Entries of the index."""
    unread: tuple[str, ...]
    """Photos and videos that could not be read, which no search finds."""
    measured: tuple[Measured, ...]
    """A language each, where there are held-out captions."""


def make(plan: Plan, out: str | Path, whole: Whole | None = None) -> Made:
    """Do what was planned, into the folder `out`.

    It can be killed at any time, and goes on where it was; where all is done it looks for changes alone.
    Raises UserError for a folder that holds something else, too little room on the disk, and what any stage
    raises.
    """
    folder = Path(out)
    _require_place(plan, folder)
    with sole_writer(folder), _told_at_the_end(), (whole or Whole(plan.stages)).shown() as progress:
        return _Maker(plan, folder, progress).make()


@contextmanager
def _told_at_the_end() -> Iterator[None]:
    """Silence the stages on items without vectors: each would tell of them anew, and name a command of its
    own, where the one that is needed is the same again."""
    before = LACKING.level
    LACKING.setLevel(logging.ERROR)
    try:
        yield
    finally:
        LACKING.setLevel(before)


def _require_place(plan: Plan, folder: Path) -> None:
    photos = plan.found.photos.resolve()
    if folder.resolve().is_relative_to(photos) or photos.is_relative_to(folder.resolve()):
        raise UserError(f"{folder} and {photos} lie in each other. Give a folder beside the photos: --out")
    if (folder / MANIFEST).is_file():
        before = COLLECTION.read(folder).get("photos")
        if before != str(photos) and Path(str(before)).is_dir():
            raise UserError(f"{folder} is a collection of {before}, not of {photos}. Give another --out.")
    elif folder.is_dir() and any(folder.iterdir()) and not (folder / "corpus").exists():
        strange = next(iter(sorted(folder.iterdir()))).name
        if not strange.startswith("."):
            raise UserError(f"{folder} holds other things, such as {strange}. Give an empty or new --out.")
    if (room := free_room(folder)) < plan.bytes and not (folder / MANIFEST).is_file():
        raise UserError(
            f"The disk of {folder} has {room / 1e9:.1f} GB left, and about {plan.bytes / 1e9:.1f} GB are "
            "needed. Free some, or give another --out."
        )


class _Maker:
    def __init__(self, plan: Plan, folder: Path, whole: Whole) -> None:
        self.plan, self.folder, self.whole = plan, folder, whole
        self.options, self.found = plan.options, plan.found
        self.corpus = folder / "corpus"

    def make(self) -> Made:
        with self.whole.stage("read the captions"):
            self._take_in()
            build_folder(
                self.found.photos,
                self.corpus,
                BuildOptions(lang=self.found.lang, split_fractions=SHARES),
                exclude=self.options.exclude,
                corrections=correction_files(self.folder),
            )
        if self.plan.recipe is not None:
            self._translate()
        with self.whole.stage("look at the photos"):
            tower = self.plan.tower or model_folder(self.options.vision)
            report = extract_features(
                self.corpus, encoder=tower, name=VISION, options=ExtractOptions(device=self.options.device)
            )
        unread = tuple(one.item_id for one in report.rejected)
        model: Path = tower
        measured: tuple[Measured, ...] = ()
        if self.plan.recipe is not None:
            self._require_most(unread)
            model, measured = self._learn(tower)
        with self.whole.stage("index"):
            options = IndexOptions(media_root=self.found.photos, vision=None, device=self.options.device)
            indexed = index_media(model, self.corpus, self.folder / "index", options)
        made = Made(
            index=self.folder / "index",
            model=model,
            count=indexed.info.count,
            unread=unread,
            measured=measured,
        )
        self._tidy(made)
        return made

    def _take_in(self) -> None:
        """Keep the corrections of sheets, so that they need not be given again."""
        faults: list[Fault] = []
        files = [Path(one) for one in self.options.corrections]
        if found := read_corrections(files, faults, media=self.found.photos).each():
            keep_corrections(self.folder / CORRECTIONS, found)
        for fault in faults:
            log.warning("no correction: %s", fault)

    def _translate(self) -> None:
        source, settings = self.found.source, TranslateSettings(cache=self.folder / "cache")
        translated = [way for way in self.plan.way(*LEARNT) if way.engine]
        for way in translated:
            with self.whole.stage(f"translate into {language(way.lang).name}", parts=2 if way.back else 1):
                assert way.engine is not None
                translate(
                    self.corpus,
                    to=way.lang,
                    engine=way.engine,
                    back=way.back,
                    source=source,
                    settings=settings,
                )
        if translated:
            with self.whole.stage("judge the translations"):
                score_trust(self.corpus, cache=self.folder / "cache")
        for way in self.plan.way("dictionary"):
            with self.whole.stage(f"read the dictionary of {language(way.lang).name}"):
                assert way.engine is not None
                build_lexicon(self.corpus, lang=way.lang, engine=way.engine, source=source, settings=settings)

    def _learn(self, tower: Path) -> tuple[Path, tuple[Measured, ...]]:
        """Learn a model, or take the public one where it finds more; calibrated."""
        config = self._config()
        if config.kept_texts:
            with self.whole.stage("read the texts"):
                for name in config.kept_texts:
                    extract_texts(self.corpus, encoder=name, options=TextOptions(words=config.reads_words))
        run = self.folder / "runs" / self._name(config)
        with self.whole.stage("learn"):
            if not (run / MANIFEST).is_file():
                self._forget_other_beginning(run)
                train(self.corpus, config, run, device=self.options.device)
        corpus = Corpus.open(self.corpus)
        measured, model = tuple(self._measured(load_encoder(run, "cpu"), corpus)), run
        if self.plan.is_dual is not False:
            with self.whole.stage("compare with the public model"):
                public: tuple[Measured, ...] = ()
                if self.plan.is_dual or holds_both_sides(tower):
                    public = tuple(self._measured(load_encoder(tower, "cpu"), corpus))
                if mean_of(public) > mean_of(measured):
                    log.info("%s finds more as it is: SumR %.1f", self.options.vision, mean_of(public))
                    measured, model = public, tower
        with self.whole.stage("learn what scores are worth"):
            if model == run:
                # Asking through a translation may find more, and is measured where there are captions to ask.
                asked = [way for way in self.plan.ways if way.by in LEARNT or way.human]
                engines = {way.lang: way.back for way in asked if way.back}
                calibrate_once(model, self.corpus, "cpu", engines=engines)
        return model, measured

    def _require_most(self, unread: Sequence[str]) -> None:
        """Raise UserError where there are few photos left to learn from: their disk is hardly whole."""
        if 2 * len(unread) > (count := self.found.images + self.found.videos):
            raise UserError(
                f"{len(unread):,} of {count:,} photos cannot be read: {shown(unread)}. That is too many to "
                f"learn from the others. {unread_file(self.folder)} says why. Check the disk of "
                f"{self.found.photos}, and give the same command again."
            )

    def _config(self) -> TrainConfig:
        assert self.plan.recipe is not None
        ways = self.plan.way(*LEARNT)
        learnt = tuple(way.lang for way in ways if way.lang != self.found.source)
        config = load_recipe(self.plan.recipe)(self.found.source, learnt, VISION)
        changes: dict[str, str] = {}
        engines = {
            way.lang: open_engine(way.engine, self.found.source, way.lang).name for way in ways if way.engine
        }
        if engines:
            changes["engines"] = ",".join(f"{lang}={name}" for lang, name in engines.items())
        if learnt and "back" not in config.loss.needs:
            # Few captions of people correct many of the machine's; a cycle has no way back for them.
            changes["target_captions"] = "both"
        if config.steps is not None:
            own = Corpus.open(self.corpus).select(role="human", lang=self.found.source, split="train")
            steps = steps_for(len(own.ids), config)
            changes["steps"] = str(steps)
            # An epoch of a small collection is a few steps: to look after each would take most of the time.
            changes["validate_every"] = str(steps / LOOKS / max(len(own.ids) // config.batch_size, 1))
        if read := [way.lang for way in self.plan.way("dictionary")]:
            changes["lexicons"] = ",".join(read)
        return config.with_settings({**changes, **self.options.settings})

    def _name(self, config: TrainConfig) -> str:
        """Name a run by all that it is learned from: it is learned anew where any of that changed."""
        corpus = Corpus.open(self.corpus)
        captions = corpus.select(split=("train", "val")).table
        digest = hashlib.sha256(json.dumps(config.as_dict(), sort_keys=True).encode())
        for column in ("caption_id", "item_id", "lang", "role", "text", "source_id", "engine"):
            digest.update(json.dumps(captions[column].to_pylist()).encode())
        features = corpus.features(VISION)
        seen = set(captions["item_id"].to_pylist()) & set(features.ids)
        rows = features.rows(sorted(seen))
        for start in range(0, len(rows), 1000):
            digest.update(np.ascontiguousarray(features.whole(rows[start : start + 1000])).tobytes())
        for lang in config.lexicons:
            digest.update((self.corpus / "lexicon" / f"{lang}.tsv").read_bytes())
        return digest.hexdigest()[:16]

    def _forget_other_beginning(self, run: Path) -> None:
        """Remove a run that was begun on the same captions of another state of the corpus."""
        try:
            begun: Any = read_sealed(run / CONFIG, "").get("corpus") if (run / CONFIG).is_file() else None
        except UserError:
            begun = {}
        if begun is not None and begun != Corpus.open(self.corpus).fingerprint():
            remove(run)

    def _measured(self, encoder: Encoder, corpus: Corpus) -> Iterator[Measured]:
        """Ask held-out captions, of people where there are enough in a language."""
        features = with_descriptions(corpus.features(VISION), corpus, encoder.config.get("descriptions"))
        corpus = corpus.with_vectors(features, "val")
        gallery = corpus.split("val")["item_id"].to_pylist()
        images = encoder.encode_features(np.asarray(features.whole(features.rows(gallery))))
        for lang in dict.fromkeys((self.found.source, *self.options.to)):
            human = corpus.select(role="human", lang=lang, split="val").table.to_pylist()
            rows = human
            if len(human) < ASKED and lang != self.found.source:
                rows = corpus.select(role="mt", lang=lang, split="val").table.to_pylist()
            if len(rows) < ASKED:
                continue
            texts = encode_in(encoder, [row["text"] for row in rows], lang)
            own = [row["item_id"] for row in rows]
            ranks = rank_queries(texts, images, Positives.from_items(own, gallery))
            yield Measured(
                lang=lang,
                captions=len(rows),
                human=rows is human,
                photos=len(gallery),
                found=float(Metric(f"recall@{FIRST}").values(ranks).mean()) / 100,
                sum_r=caption_sum_r(texts, images, own, gallery),
            )

    def _tidy(self, made: Made) -> None:
        """Write the manifest, and remove what it no longer names."""
        ways = {way.lang: asdict(way) for way in self.plan.ways}
        COLLECTION.write(
            self.folder,
            inputs={},
            photos=str(self.found.photos.resolve()),
            source=self.found.source,
            ways=ways,
            model=str(made.model.resolve()),
            measured=[asdict(one) for one in made.measured],
        )
        # Searches hold the files of the old run open until they see the new index.
        for other in sorted((self.folder / "runs").glob("*")):
            if other != made.model:
                remove(other)


def unread_file(collection: Path) -> Path:
    """List of the photos of a collection that could not be read, with the reasons."""
    return collection / "corpus" / "features" / VISION / REJECTED


def mean_of(measured: tuple[Measured, ...]) -> float:
    """Mean SumR over languages."""
    return sum(one.sum_r for one in measured) / max(len(measured), 1)


def told(measured: Measured) -> str:
    """Say in one line what a language finds."""
    who = "people wrote" if measured.human else "a machine translated"
    return (
        f"{language(measured.lang).name}: of 10 captions that {who} and the model did not see, "
        f"{10 * measured.found:.0f} find their photo among the first {FIRST} of {measured.photos:,}"
    )
