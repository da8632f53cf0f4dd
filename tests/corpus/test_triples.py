"""Joining source captions, translations and back-translations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.corpus import Corpus, triples
from dragoman.corpus.store import CAPTIONS, ITEMS
from dragoman.errors import UserError

ONE = ("a", "train"), ("b", "train"), ("c", "test")


def human(item: str, slot: int, text: str, lang: str = "en") -> dict[str, Any]:
    return {
        "caption_id": f"{item}#{lang}#{slot}",
        "item_id": item,
        "lang": lang,
        "role": "human",
        "text": text,
    }


def written(
    role: str, lang: str, source: str, text: str, engine: str = "mill", **more: Any
) -> dict[str, Any]:
    return {
        "caption_id": f"{source}>{lang}:{engine}",
        "item_id": source[0],
        "lang": lang,
        "role": role,
        "text": text,
        "source_id": source,
        "engine": engine,
    } | more


BASE = [
    human("a", 0, "a dog"),
    human("b", 0, "a boat"),
    human("a", 1, "a wet dog"),
    human("c", 0, "not of this split"),
    human("a", 0, "um cachorro", lang="pt"),
    written("mt", "pt", "a#en#1", "um cão molhado", trust=0.25),
    written("mt", "pt", "b#en#0", "um barco"),
    written("mt", "pt", "a#en#0", "um cão", trust=1.0),
    written("mt", "en", "a#pt#0", "a puppy"),
    written("back", "en", "a#en#0>pt:mill", "one dog"),
    written("back", "en", "a#en#1>pt:mill", "one wet dog"),
]


def corpus_of(folder: Path, captions: list[dict[str, Any]]) -> Corpus:
    items = [{"item_id": name, "kind": "image", "split": split} for name, split in ONE]
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(items, schema=ITEMS), folder / "items.parquet")
    pq.write_table(pa.Table.from_pylist(captions, schema=CAPTIONS), folder / "captions.parquet")
    return Corpus(folder, {})


def test_triples_follow_the_order_of_the_source_captions(tmp_path: Path) -> None:
    found = triples(corpus_of(tmp_path, BASE), source="en", target="pt", split="train")
    assert found.source_id == ["a#en#0", "b#en#0", "a#en#1"]
    assert found.item_id == ["a", "b", "a"]
    assert found.slot.tolist() == [0, 0, 1]
    assert found.source_text == ["a dog", "a boat", "a wet dog"]
    assert found.mt_id == ["a#en#0>pt:mill", "b#en#0>pt:mill", "a#en#1>pt:mill"]
    assert found.mt_text == ["um cão", "um barco", "um cão molhado"]
    np.testing.assert_array_equal(found.mt_trust, np.float32([1.0, np.nan, 0.25]))
    assert found.back_text == ["one dog", None, "one wet dog"]
    assert (found.engine, found.dropped, len(found)) == ("mill", 0, 3)


def test_the_way_back_is_left_out_on_request(tmp_path: Path) -> None:
    found = triples(corpus_of(tmp_path, BASE), source="en", target="pt", split="train", back=False)
    assert found.back_text == [None, None, None]


def test_several_engines_must_be_told_apart(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [*BASE, written("mt", "pt", "a#en#0", "um cãozinho", engine="loom")])
    with pytest.raises(UserError, match=r"Several engines .*'loom', 'mill'.*engine="):
        triples(corpus, source="en", target="pt", split="train")
    with pytest.raises(UserError, match=r"No translations .*'gin'"):
        triples(corpus, source="en", target="pt", split="train", engine="gin")
    loom = triples(corpus, source="en", target="pt", split="train", engine="loom", incomplete="drop")
    assert (loom.mt_text, loom.slot.tolist(), loom.dropped) == (["um cãozinho"], [0], 2)
    assert triples(corpus, source="en", target="pt", split="train", engine="mill").dropped == 0


def test_a_missing_translation_is_named_or_dropped(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [*BASE, human("b", 1, "a red boat")])
    with pytest.raises(UserError, match=r"1 of 4 source captions .*b#en#1.*incomplete='drop'"):
        triples(corpus, source="en", target="pt", split="train")
    found = triples(corpus, source="en", target="pt", split="train", incomplete="drop")
    assert (len(found), found.dropped) == (3, 1)


def test_slots_count_on_where_items_take_turns(tmp_path: Path) -> None:
    sources = [human(item, slot, "a dog") for slot in range(50) for item in "ba"]
    translations = [written("mt", "pt", source["caption_id"], "um cão") for source in sources]
    found = triples(corpus_of(tmp_path, [*sources, *translations]), source="en", target="pt", split="train")
    assert found.slot.tolist() == [slot for slot in range(50) for _ in "ba"]


@pytest.mark.parametrize("role", ["mt", "back"])
def test_a_repeated_translation_or_way_back_is_named_or_dropped(tmp_path: Path, role: str) -> None:
    original = next(row for row in BASE if row["role"] == role and row["source_id"].startswith("a#en#1"))
    corpus = corpus_of(tmp_path, [*BASE, original | {"caption_id": "again"}])
    with pytest.raises(UserError, match=r"1 of 3 source captions .*a#en#1"):
        triples(corpus, source="en", target="pt", split="train")
    found = triples(corpus, source="en", target="pt", split="train", incomplete="drop")
    assert (found.source_id, found.slot.tolist(), found.dropped) == (["a#en#0", "b#en#0"], [0, 0], 1)


def test_nothing_to_join_tells_what_to_do(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, BASE)
    with pytest.raises(UserError, match="no human gl captions in split 'train'"):
        triples(corpus, source="gl", target="pt", split="train")
    with pytest.raises(UserError, match=r"dragoman translate .* --to gl"):
        triples(corpus, source="en", target="gl", split="train")
    with pytest.raises(UserError, match="'error' or 'drop'"):
        triples(corpus, source="en", target="pt", split="train", incomplete="keep")  # type: ignore[arg-type]


@settings(max_examples=50, deadline=None)
@given(order=st.permutations(range(len(BASE))), cut=st.integers(0, len(BASE)))
def test_the_join_equals_a_slow_search(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cut: int
) -> None:
    captions = [BASE[i] for i in order[cut:]]
    corpus = corpus_of(tmp_path_factory.mktemp("corpus"), captions)
    sources = [c for c in captions if (c["lang"], c["role"]) == ("en", "human") and c["item_id"] != "c"]
    expected = []
    for row, caption in enumerate(sources):
        slot = sum(c["item_id"] == caption["item_id"] for c in sources[:row])
        for mt in (c for c in captions if c["role"] == "mt" and c["source_id"] == caption["caption_id"]):
            back = [c["text"] for c in captions if c.get("source_id") == mt["caption_id"]]
            expected.append((caption["caption_id"], slot, mt["text"], back[0] if back else None))
    if not expected:
        with pytest.raises(UserError, match=r"no human|no pt translation"):
            triples(corpus, source="en", target="pt", split="train", incomplete="drop")
        return
    found = triples(corpus, source="en", target="pt", split="train", incomplete="drop")
    got = list(zip(found.source_id, found.slot.tolist(), found.mt_text, found.back_text, strict=True))
    assert got == expected
    assert found.dropped == len(sources) - len(expected)
