"""What a corpus holds, in numbers and samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.corpus import Corpus, build_records
from dragoman.corpus.summary import CaptionCount, Sample, summarize
from dragoman.records import Caption, Item


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    (tmp_path / "i.jpg").touch()
    paths = {
        "i": str(tmp_path / "i.jpg"),
        "j": str(tmp_path / "gone.jpg"),
        "k": "s3://photos/k.jpg",
        "l": None,
    }
    items = [Item(item_id=name, split="val" if name == "l" else "train", path=paths[name]) for name in paths]
    human = [
        Caption(caption_id=f"{name}{k}", item_id=name, lang="en", role="human", text=f"text {k}")
        for name in "il"
        for k in range(4)
    ]
    machine = [
        Caption(caption_id=f"{role}{engine}", item_id="i", lang=lang, role=role, text="x", source_id=source,
                engine=engine)
        for role, engine, lang, source in [
            ("back", "e0", "en", "mte2"), ("mt", "e2", "pt", "i0"), ("mt", "e1", "pt", "i0"),
        ]
    ]  # fmt: skip
    return build_records(items, [*machine, *human], tmp_path / "out").corpus


def test_captions_are_counted_humans_first(corpus: Corpus) -> None:
    assert summarize(corpus, samples=0, seed=0).captions == [
        CaptionCount(lang=lang, role=role, engine=engine, splits={"train": train, "val": val, "test": 0})
        for lang, role, engine, train, val in [
            ("en", "human", None, 4, 4),
            ("en", "back", "e0", 1, 0),
            ("pt", "mt", "e1", 1, 0),
            ("pt", "mt", "e2", 1, 0),
        ]
    ]


def test_files_are_looked_up_but_for_uris(corpus: Corpus) -> None:
    found = summarize(corpus, samples=0, seed=0)
    assert found.files == {"present": 1, "missing": 1, "remote": 1, "none": 1, "text": 0}
    assert found.items == {"train": 3, "val": 1, "test": 0}


def test_samples_are_drawn_by_seed(corpus: Corpus) -> None:
    found = [summarize(corpus, samples=2, seed=seed).samples for seed in range(20)]
    assert summarize(corpus, samples=2, seed=3).samples == found[3]
    # 28 pairs of the eight human captions: 20 seeds that always drew the same one would be no draw.
    assert len({tuple(samples[:2]) for samples in found}) > 5
    assert all(len(samples) == 5 for samples in found)
    assert found[0][2] == Sample(lang="en", role="back", caption_id="backe0", text="x")


def test_records_in_memory_keep_their_metadata(tmp_path: Path) -> None:
    items = [Item(item_id="i", split="test", kind="video", metadata={"year": 1990, "split": "train"})]
    built = build_records(items, [], tmp_path / "out")
    assert (built.items, built.captions) == (1, 0)
    assert built.corpus.items.to_pylist() == [
        {"item_id": "i", "kind": "video", "path": None, "split": "test", "year": 1990}
    ]
