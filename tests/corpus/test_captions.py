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

from dragoman.corpus import Corpus
from dragoman.corpus.corpus import CAPTIONS, ITEMS
from dragoman.errors import DamagedError, UserError

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


WRITERS = ("mill", "loom")


@settings(max_examples=100, deadline=None)
@given(
    role=st.sampled_from([None, "human", "mt", ("mt", "back"), ()]),
    lang=st.sampled_from([None, "en", "pt", ("en", "pt"), ("gl",)]),
    split=st.sampled_from([None, "train", "test", ("train", "test"), "val"]),
    engine=st.sampled_from([None, "mill", "loom", WRITERS]),
)
def test_a_choice_of_captions_equals_a_slow_search(
    tmp_path_factory: pytest.TempPathFactory, role: Any, lang: Any, split: Any, engine: Any
) -> None:
    rows = [*BASE, written("mt", "pt", "c#en#0", "outro", engine="loom"), human("c", 1, "one more")]
    corpus = corpus_of(tmp_path_factory.mktemp("corpus"), rows)

    def fits(value: str | None, choice: Any) -> bool:
        return choice is None or value == choice or (isinstance(choice, tuple) and value in choice)

    expected = [
        row["caption_id"]
        for row in rows
        if fits(row["role"], role)
        and fits(row["lang"], lang)
        and fits(dict(ONE)[row["item_id"]], split)
        and fits(row.get("engine"), engine)
    ]
    found = corpus.select(role=role, lang=lang, split=split, engine=engine)
    assert found.ids == expected
    text_of = {row["caption_id"]: (row["text"], row["item_id"]) for row in rows}
    assert list(zip(found.texts, found.item_ids, strict=True)) == [text_of[i] for i in expected]
    assert found.by_id().ids == sorted(expected)


def test_a_choice_names_its_languages_and_engines(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [*BASE, written("mt", "gl", "a#en#0", "un can", engine="loom")])
    chosen = corpus.select(split="train")
    assert (chosen.languages, chosen.engines) == (["en", "gl", "pt"], ["loom", "mill"])
    assert corpus.engines(source="en", target="pt", split="train") == ["mill"]
    assert corpus.engines(source="en", target="pt", split="test") == []
    assert corpus.split("train")["item_id"].to_pylist() == ["a", "b"]


def test_what_is_required_and_absent_is_named_with_its_split(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, BASE)
    with pytest.raises(UserError, match=r"has no human gl captions\. See .*: dragoman corpus show"):
        corpus.select(role="human", lang="gl").require("human gl captions")
    with pytest.raises(UserError, match=r"has no human pt captions in split 'test'\. See"):
        corpus.select(role="human", lang="pt", split="test").require("human pt captions")
    assert len(corpus.select(role="human", lang="pt", split="train").require("human pt captions")) == 1


def test_translations_follow_the_order_of_the_source_captions(tmp_path: Path) -> None:
    found = corpus_of(tmp_path, BASE).translations(source="en", target="pt", split="train")
    assert found.source_id == ["a#en#0", "b#en#0", "a#en#1"]
    assert found.item_id == ["a", "b", "a"]
    assert found.slot.tolist() == [0, 0, 1]
    assert found.source_text == ["a dog", "a boat", "a wet dog"]
    assert found.mt_text == ["um cão", "um barco", "um cão molhado"]
    np.testing.assert_array_equal(found.mt_trust, np.float32([1.0, np.nan, 0.25]))
    assert found.back_text == ["one dog", None, "one wet dog"]
    assert (found.engine, found.dropped, len(found)) == ("mill", 0, 3)


def test_the_way_back_is_left_out_on_request(tmp_path: Path) -> None:
    found = corpus_of(tmp_path, BASE).translations(source="en", target="pt", split="train", back=False)
    assert found.back_text == [None, None, None]


def test_several_engines_must_be_told_apart(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [*BASE, written("mt", "pt", "a#en#0", "um cãozinho", engine="loom")])
    with pytest.raises(UserError, match=r"Several engines .*'loom', 'mill'.*engine="):
        corpus.translations(source="en", target="pt", split="train")
    with pytest.raises(UserError, match=r"No translations .*'gin'"):
        corpus.translations(source="en", target="pt", split="train", engine="gin")
    loom = corpus.translations(source="en", target="pt", split="train", engine="loom", incomplete="drop")
    assert (loom.mt_text, loom.slot.tolist(), loom.dropped) == (["um cãozinho"], [0], 2)
    assert corpus.translations(source="en", target="pt", split="train", engine="mill").dropped == 0


def test_a_missing_translation_is_named_or_dropped(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, [*BASE, human("b", 1, "a red boat")])
    with pytest.raises(UserError, match=r"1 of 4 source captions .*b#en#1.*incomplete='drop'"):
        corpus.translations(source="en", target="pt", split="train")
    found = corpus.translations(source="en", target="pt", split="train", incomplete="drop")
    assert (len(found), found.dropped) == (3, 1)


def test_slots_count_on_where_items_take_turns(tmp_path: Path) -> None:
    sources = [human(item, slot, "a dog") for slot in range(50) for item in "ba"]
    translations = [written("mt", "pt", source["caption_id"], "um cão") for source in sources]
    corpus = corpus_of(tmp_path, [*sources, *translations])
    found = corpus.translations(source="en", target="pt", split="train")
    assert found.slot.tolist() == [slot for slot in range(50) for _ in "ba"]


@pytest.mark.parametrize("role", ["mt", "back"])
def test_a_repeated_translation_or_way_back_is_named_or_dropped(tmp_path: Path, role: str) -> None:
    original = next(row for row in BASE if row["role"] == role and row["source_id"].startswith("a#en#1"))
    corpus = corpus_of(tmp_path, [*BASE, original | {"caption_id": "again"}])
    with pytest.raises(UserError, match=r"1 of 3 source captions .*a#en#1"):
        corpus.translations(source="en", target="pt", split="train")
    found = corpus.translations(source="en", target="pt", split="train", incomplete="drop")
    assert (found.source_id, found.slot.tolist(), found.dropped) == (["a#en#0", "b#en#0"], [0, 0], 1)


def test_nothing_to_join_tells_what_to_do(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, BASE)
    with pytest.raises(UserError, match="no human gl captions in split 'train'"):
        corpus.translations(source="gl", target="pt", split="train")
    with pytest.raises(UserError, match=r"dragoman translate .* --to gl"):
        corpus.translations(source="en", target="gl", split="train")
    with pytest.raises(UserError, match="'error' or 'drop'"):
        corpus.translations(source="en", target="pt", split="train", incomplete="keep")  # type: ignore[arg-type]


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
            corpus.translations(source="en", target="pt", split="train", incomplete="drop")
        return
    found = corpus.translations(source="en", target="pt", split="train", incomplete="drop")
    got = list(zip(found.source_id, found.slot.tolist(), found.mt_text, found.back_text, strict=True))
    assert got == expected
    assert found.dropped == len(sources) - len(expected)


@pytest.mark.parametrize("name", ["items", "captions"])
@pytest.mark.parametrize("damage", ["cut", "zeroed", "gone"])
def test_a_damaged_table_is_told_without_checksums_too(tmp_path: Path, name: str, damage: str) -> None:
    pq.write_table(ITEMS.empty_table(), tmp_path / "items.parquet")
    pq.write_table(CAPTIONS.empty_table(), tmp_path / "captions.parquet")
    file = tmp_path / f"{name}.parquet"
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] if damage == "cut" else bytes(len(content)))
    if damage == "gone":
        file.unlink()
    with pytest.raises(DamagedError, match=rf"{name}\.parquet is missing or damaged .* Restore it"):
        _ = getattr(Corpus(tmp_path, {}), name)
