"""Descriptions of items: where they come from, and that they are nobody's caption."""

from __future__ import annotations

import base64
import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import Answer, chat_server
from PIL import Image

from command_line import Done, dragoman
from dragoman.corpus import BuildOptions, Corpus, build_folder, build_records
from dragoman.corpus.features import write_features
from dragoman.corpus.summary import summarize
from dragoman.descriptions import describe_from, describe_nearest
from dragoman.descriptions.job import sentences
from dragoman.errors import UserError
from dragoman.index.corpus_items import CorpusItems
from dragoman.records import Caption, Item
from dragoman.translation import translate

# Photos on a line, with the captions of each; d is of val, e and f of test, and f has no vector.
PLACES = {"a": 0.0, "b": 1.0, "c": 3.0, "d": 0.9, "e": 2.9}
SPLITS = {"a": "train", "b": "train", "c": "train", "d": "val", "e": "test", "f": "test"}
RED = {name: 40 * at for at, name in enumerate(SPLITS)}
CAPTIONS = {"a": ["an ape", "a monkey"], "b": ["a bee"], "c": ["a cow"], "d": ["a dog"], "e": ["an eel"]}


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    for name in SPLITS:
        Image.new("RGB", (1000, 40), (RED[name], 0, 0)).save(tmp_path / f"{name}.png")
    items = [
        Item(item_id=name, split=split, path=str(tmp_path / f"{name}.png"))  # type: ignore[arg-type]
        for name, split in SPLITS.items()
    ]
    said = [
        Caption(caption_id=f"{name}{at}", item_id=name, lang="en", role="human", text=text)
        for name, texts in CAPTIONS.items()
        for at, text in enumerate(texts)
    ]
    made = build_records(items, said, tmp_path / "corpus").corpus
    # The angle from the mean grows with the place; the constant part is what all have in common.
    vectors = np.array([[np.cos(x), np.sin(x), 5.0] for x in PLACES.values()])
    write_features(made.folder / "features" / "eyes", list(PLACES), vectors, inputs={})
    return made


def described(corpus: Corpus) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    rows = Corpus.open(corpus.folder).select(role="description").table.to_pylist()
    for row in rows:
        found.setdefault(row["item_id"], []).append(row["text"])
    return found


def from_lines(corpus: Corpus, *lines: dict[str, Any], **options: Any) -> Any:
    file = corpus.folder.parent / "descriptions.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return describe_from(corpus.folder, file, **options)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A man runs. He wears a hat!", ["A man runs.", "He wears a hat!"]),
        ("Number no. 5 and e.g. a dog, 3.5 m high.", ["Number no. 5 and e.g. a dog, 3.5 m high."]),
        ('It says "stop." Élodie waits?  Ünal too.', ['It says "stop.', "Élodie waits?", "Ünal too."]),
        ("一只狗。两只猫。", ["一只狗。", "两只猫。"]),
        ("no end", ["no end"]),
    ],
)
def test_a_text_is_cut_behind_its_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_a_file_gives_sentences_and_replaces_what_an_item_had(corpus: Corpus) -> None:
    report = from_lines(
        corpus,
        {"item_id": "e", "text": "A long fish. It is grey."},
        {"item_id": "a", "text": "Un animal.", "lang": "fr"},
        {"item_id": "e", "text": "Water is around it.", "engine": "mine"},
    )
    assert (report.items, report.sentences, report.unchanged, report.rejected) == (2, 4, False, 0)
    rows = Corpus.open(corpus.folder).select(role="description").table.to_pylist()
    told = [(row["caption_id"], row["lang"], row["text"], row["engine"]) for row in rows]
    assert told == [
        ("a#description#0", "fr", "Un animal.", None),
        ("e#description#0", "en", "A long fish.", None),
        ("e#description#1", "en", "It is grey.", None),
        ("e#description#2", "en", "Water is around it.", "mine"),
    ]
    assert all(row["source_id"] is None and row["trust"] is None for row in rows)
    captions = (corpus.folder / "captions.parquet").read_bytes()
    again = from_lines(
        corpus,
        {"item_id": "a", "text": "Un animal.", "lang": "fr"},
        {"item_id": "e", "text": "A long fish. It is grey."},
        {"item_id": "e", "text": "Water is around it.", "engine": "mine"},
    )
    assert again.unchanged and (corpus.folder / "captions.parquet").read_bytes() == captions
    from_lines(corpus, {"item_id": "e", "text": "An eel in the mud."})
    assert described(corpus) == {"a": ["Un animal."], "e": ["An eel in the mud."]}
    # All other captions are as they were.
    assert Corpus.open(corpus.folder).select(role="human").texts == [
        text for texts in CAPTIONS.values() for text in texts
    ]


def test_a_table_gives_descriptions_as_well(corpus: Corpus) -> None:
    file = corpus.folder.parent / "told.csv"
    file.write_text("item_id,text\nb,An insect. It hums.\n", encoding="utf-8")
    assert describe_from(corpus.folder, file).sentences == 2
    assert described(corpus) == {"b": ["An insect.", "It hums."]}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"item_id": "z", "text": "x"}, "item_id 'z' is no item"),
        ({"item_id": "e", "text": " An EEL "}, "a caption that people wrote of this item"),
        ({"item_id": "e", "text": " "}, "which is empty"),
        ({"item_id": "e", "text": "x", "source_id": "e0"}, "a description has source_id 'e0'"),
    ],
)
def test_a_bad_line_ends_the_job_or_is_listed(corpus: Corpus, line: dict[str, str], reason: str) -> None:
    with pytest.raises(UserError, match=f"line 1: .*{reason}"):
        from_lines(corpus, line)
    rejects = corpus.folder.parent / "rejects.jsonl"
    report = from_lines(corpus, line, {"item_id": "e", "text": "It is grey."}, reject_file=rejects)
    assert (report.items, report.rejected, report.reject_file) == (1, 1, rejects)
    (listed,) = map(json.loads, rejects.read_text().splitlines())
    assert listed["line"] == 1 and reason in listed["reason"]
    assert described(corpus) == {"e": ["It is grey."]}


def test_the_nearest_training_photos_lend_their_first_captions(corpus: Corpus) -> None:
    report = describe_nearest(corpus.folder, "eyes", count=2)
    assert (report.items, report.sentences) == (5, 10)
    # By hand: the place of each on the line, itself never, val and test never, f has no vector.
    assert described(corpus) == {
        "a": ["a bee", "a cow"],
        "b": ["an ape", "a cow"],
        "c": ["a bee", "an ape"],
        "d": ["a bee", "an ape"],
        "e": ["a cow", "a bee"],
    }
    engines = Corpus.open(corpus.folder).select(role="description").engines
    assert engines == ["nearest:eyes"]
    assert describe_nearest(corpus.folder, "eyes", count=2).unchanged
    # There are two other training photos, and no more.
    describe_nearest(corpus.folder, "eyes", count=9)
    assert [len(texts) for texts in described(corpus).values()] == [2, 2, 2, 3, 3]


def test_without_captions_to_lend_it_is_told(corpus: Corpus) -> None:
    with pytest.raises(UserError, match="has no human pt captions in split 'train'"):
        describe_nearest(corpus.folder, "eyes", lang="pt")


def seen(request: dict[str, Any]) -> tuple[str, str, Image.Image]:
    """Text and photo of a request."""
    (message,) = request["messages"]
    text, photo = message["content"]
    head, _, content = photo["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    return message["role"], text["text"], Image.open(io.BytesIO(base64.b64decode(content)))


def letter(photo: Image.Image) -> str:
    """The item whose photo this is, by its red."""
    red = photo.convert("RGB").getpixel((0, 0))[0]  # type: ignore[index]
    return min(SPLITS, key=lambda name: abs(RED[name] - red))


def describe(corpus: Corpus, url: str, *more: str) -> Done:
    return dragoman("describe", corpus.folder, "--model", "eye", "--url", url, *more)


def test_a_model_sees_each_photo_once(corpus: Corpus) -> None:
    def answer(request: dict[str, Any]) -> Answer:
        role, text, photo = seen(request)
        assert role == "user" and text.startswith("Describe this photo in English for a person")
        assert photo.size == (768, 31)
        return 200, f"A thing called {letter(photo)}.\nIt is red."

    with chat_server(answer) as (url, requests):
        done = describe(corpus, url, "--split", "val,test")
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert lines[0] == "3 photos shown, 0 seen before, 0 refused"
        assert lines[1].endswith("3 items described in 6 sentences")
        assert {name: texts[0] for name, texts in described(corpus).items()} == {
            name: f"A thing called {name}." for name in "def"
        }
        assert {request["body"]["model"] for request in requests} == {"eye"}
        # What was seen is not sent again, and what stood there stays.
        done = describe(corpus, url)
        assert done.stdout.splitlines()[0] == "3 photos shown, 3 seen before, 0 refused"
        assert len(requests) == 6
        assert describe(corpus, url).stdout.splitlines() == [
            "0 photos shown, 6 seen before, 0 refused",
            f"{corpus.folder}: 6 items described in 12 sentences (as before)",
        ]
        assert len(requests) == 6
    rows = Corpus.open(corpus.folder).select(role="description")
    assert rows.engines == ["seen:eye"] and "127.0.0.1" not in str(rows.table.to_pylist())


def test_what_cannot_be_seen_is_listed_and_the_rest_is_kept(corpus: Corpus) -> None:
    (corpus.folder.parent / "a.png").write_bytes(b"no picture")
    (corpus.folder.parent / "b.png").unlink()

    def answer(request: dict[str, Any]) -> Answer:
        name = letter(seen(request)[2])
        return (400, "content policy") if name == "d" else (200, f"A thing called {name}.")

    with chat_server(answer) as (url, requests):
        done = describe(corpus, url)
        assert done.returncode == 3
        assert "3 were rejected" in done.stderr
        listed = (corpus.folder / "rejected" / "describe.jsonl").read_text(encoding="utf-8")
        rows = [json.loads(line) for line in listed.splitlines()]
        told = {row["item_id"]: row["reason"] for row in rows}
        assert set(told) == {"a", "b", "d"}
        assert "not an image of a known format" in told["a"]
        assert told["b"] == "cannot be read (No such file or directory)"
        assert "content policy" in told["d"]
        assert set(described(corpus)) == {"c", "e", "f"}
        # A refusal is remembered until it is to be tried again: beside another photo, and then alone.
        asked = len(requests)
        assert describe(corpus, url).returncode == 3 and len(requests) == asked
        assert describe(corpus, url, "--retry-rejected").returncode == 3 and len(requests) == asked + 2


def test_an_endpoint_out_of_reach_keeps_what_was_seen(corpus: Corpus) -> None:
    lock, left = threading.Lock(), [2]

    def answer(request: dict[str, Any]) -> Answer:
        with lock:
            left[0] -= 1
            return (200, "A thing.") if left[0] >= 0 else (401, "no more")

    with chat_server(answer) as (url, requests):
        done = describe(corpus, url, "--batch-size", "1")
        assert done.returncode == 1 and "refuses the request" in done.stderr
        assert "what was done so far is kept" in done.stderr
        assert described(corpus) == {}
        left[0] = 100
        assert describe(corpus, url, "--batch-size", "1").returncode == 0
        # Two kept, one refused, four of the second run.
        assert len(requests) == 2 + 1 + 4
    assert len(described(corpus)) == 6


def test_one_source_is_to_be_named(corpus: Corpus) -> None:
    assert dragoman("describe", corpus.folder).returncode == 2
    assert dragoman("describe", corpus.folder, "--nearest", "eyes", "--model", "x").returncode == 2
    done = dragoman("describe", corpus.folder, "--model", "x")
    assert done.returncode == 2 and "A model that sees needs a key" in done.stderr


def test_a_description_is_no_caption(corpus: Corpus) -> None:
    describe_nearest(corpus.folder, "eyes", count=1)
    from_lines(corpus, {"item_id": "f", "text": "Nobody captioned it."})
    again = Corpus.open(corpus.folder)
    counted = summarize(again, samples=0, seed=0).captions
    counts = [(one.role, one.engine, sum(one.splits.values())) for one in counted]
    assert counts == [("human", None, 6), ("description", None, 1), ("description", "nearest:eyes", 5)]
    # An index shows what people said.
    items = CorpusItems(corpus.folder, {"features": "eyes"}, whole=False)
    shown = {item.item_id: items.notes(item).captions for item in items.walk("image")}
    assert shown["d"] == {"en": "a dog"} and shown["f"] == {}
    done = dragoman(
        "translate", corpus.folder, "--to", "pt", "--engine", "recorded:x", "--role", "description"
    )
    assert done.returncode == 2 and "'description' is none of human, mt, back" in done.stderr


def test_records_of_a_corpus_may_be_descriptions_but_no_copies_of_captions(tmp_path: Path) -> None:
    item = Item(item_id="a", split="test")
    human = Caption(caption_id="1", item_id="a", lang="en", role="human", text="A dog")

    def build(text: str, **more: Any) -> Corpus:
        more = {"item_id": "a", "lang": "en", "role": "description"} | more
        row = Caption(caption_id="2", text=text, **more)
        return build_records([item], [human, row], tmp_path / "c", BuildOptions(overwrite=True)).corpus

    assert build("A brown dog").select(role="description").texts == ["A brown dog"]
    with pytest.raises(
        UserError, match="the description 'a dog' is a caption that people wrote of this item"
    ):
        build(" a DOG")
    with pytest.raises(UserError, match="a description has source_id '1'"):
        build("A brown dog", source_id="1")
    translated = Caption(
        caption_id="3", item_id="a", lang="pt", role="mt", text="um cão", source_id="2", engine="e"
    )
    told = Caption(caption_id="2", item_id="a", lang="en", role="description", text="A brown dog")
    with pytest.raises(UserError, match="its source '2' is a description, which is never translated"):
        build_records([item], [human, told, translated], tmp_path / "d")


def test_an_update_keeps_the_descriptions_of_items_that_stay(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in "ab":
        Image.new("RGB", (4, 4)).save(photos / f"{name}.png")
        (photos / f"{name}.txt").write_text(f"an {name}\n")
    options = BuildOptions(lang="en", split="train")
    corpus = build_folder(photos, tmp_path / "corpus", options).corpus
    from_lines(corpus, {"item_id": "a.png", "text": "First."}, {"item_id": "b.png", "text": "Second."})
    (photos / "b.png").unlink()
    (photos / "b.txt").unlink()
    (photos / "a.txt").write_text("other words\n")
    report = build_folder(photos, tmp_path / "corpus", options)
    assert described(report.corpus) == {"a.png": ["First."]}
    assert report.update is not None
    assert (report.update.kept, report.update.dropped) == (1, 1)
    assert report.update.follow == ("dragoman describe",)
    # As people wrote no captions that are translated, nothing of them is.
    with pytest.raises(UserError, match="has no human caption in 'fr'"):
        translate(tmp_path / "corpus", source="fr", to="pt", engine="recorded:x")
