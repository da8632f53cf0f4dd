"""Summary of a corpus, in numbers and samples."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from dragoman.arrow import pa, pc
from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import FeatureSet
from dragoman.records import ROLES, SPLITS


@dataclass(frozen=True, kw_only=True)
class CaptionCount:
    """Captions of one language, role and engine, by split."""

    lang: str
    role: str
    engine: str | None
    splits: dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One caption of a language and role."""

    lang: str
    role: str
    caption_id: str
    text: str


@dataclass(frozen=True, kw_only=True)
class CorpusSummary:
    """Counts of a corpus and a few of its captions."""

    items: dict[str, int]
    """By split."""
    files: dict[str, int]
    """Items whose media file is `present`, `missing`, `remote` (a URI, not looked up) or `none` (no path);
    those of the kind `text` have none."""
    captions: list[CaptionCount]
    """By language, then by role (human, mt, back, description), then engine."""
    features: dict[str, dict[str, int]]
    """By name: `width`, and the number of `items` with a vector; of videos also that of all `frames`."""
    samples: list[Sample]


def summarize(corpus: Corpus, *, samples: int, seed: int) -> CorpusSummary:
    """Count a corpus and draw up to `samples` captions of each language and role."""
    by_split = corpus.items["split"].to_pylist()
    return CorpusSummary(
        items={split: by_split.count(split) for split in SPLITS},
        files=_files(corpus),
        captions=_counts(corpus),
        features={name: _size(corpus.features(name)) for name in corpus.feature_names},
        samples=_samples(corpus, samples, random.Random(seed)),
    )


def _size(found: FeatureSet) -> dict[str, int]:
    frames = {"frames": len(found.vectors)} if found.layout == "frames" else {}
    return {"width": found.width, "items": len(found.ids)} | frames


def _files(corpus: Corpus) -> dict[str, int]:
    found = {"present": 0, "missing": 0, "remote": 0, "none": 0, "text": 0}
    columns = (corpus.items[name].to_pylist() for name in ("kind", "path"))
    for kind, path in zip(*columns, strict=True):
        if kind == "text":
            found["text"] += 1
        elif path is None:
            found["none"] += 1
        elif "://" in path:
            found["remote"] += 1
        else:
            found["present" if Path(corpus.media_path(path)).is_file() else "missing"] += 1
    return found


def _counts(corpus: Corpus) -> list[CaptionCount]:
    items, captions = corpus.items, corpus.captions
    row = pc.index_in(captions["item_id"], value_set=items["item_id"].combine_chunks())
    table = captions.select(["lang", "role", "engine"]).append_column("split", items["split"].take(row))
    table = table.group_by(["lang", "role", "engine", "split"]).aggregate([([], "count_all")])
    splits: dict[tuple[str, str, str | None], dict[str, int]] = defaultdict(lambda: dict.fromkeys(SPLITS, 0))
    for found in table.to_pylist():
        splits[found["lang"], found["role"], found["engine"]][found["split"]] = found["count_all"]
    place: dict[str, int] = {role: at for at, role in enumerate(ROLES)}
    order = sorted(splits, key=lambda key: (key[0], place[key[1]], key[2] or ""))
    return [
        CaptionCount(lang=lang, role=role, engine=engine, splits=splits[lang, role, engine])
        for lang, role, engine in order
    ]


def _samples(corpus: Corpus, count: int, chance: random.Random) -> list[Sample]:
    groups = dict.fromkeys((found.lang, found.role) for found in _counts(corpus))
    drawn = []
    for lang, role in groups:
        found = corpus.select(lang=lang, role=role)
        # Drawn rows, not drawn captions: the tables stay in Arrow, and a draw is the same in each run.
        rows = sorted(chance.sample(range(len(found)), min(count, len(found))))
        for row in found.table.take(pa.array(rows, pa.int64())).to_pylist():
            drawn.append(Sample(lang=lang, role=role, caption_id=row["caption_id"], text=row["text"]))
    return drawn
