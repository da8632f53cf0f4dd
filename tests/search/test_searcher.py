"""Searches over an index of coloured squares, against cosines by hand."""

from __future__ import annotations

import asyncio
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import toy_model
from PIL import Image
from toy_model import save_model, save_picture, unit

import dragoman
from dragoman.errors import UserError
from dragoman.folders import sole_writer
from dragoman.index import job
from dragoman.media.images import Decoding
from dragoman.records import Entry
from dragoman.search.query import MAX_CHARACTERS, Answer, Query
from dragoman.search.searcher import Searcher
from dragoman.stores import parse


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    toy_model.install(monkeypatch)


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """run/, photos/ with four squares and captions, index/."""
    save_model(tmp_path / "run")
    for colour in toy_model.RGB:
        save_picture(tmp_path / "photos" / f"{colour}.png", colour)
        (tmp_path / "photos" / f"{colour}.txt").write_text(f"a {colour} square", encoding="utf-8")
    (tmp_path / "photos" / "red.pt.txt").write_text("um quadrado vermelho", encoding="utf-8")
    (tmp_path / "photos" / "metadata.csv").write_text("path,year\nred.png,2001\nblue.png,2012\n")
    index(tmp_path)
    return tmp_path


@pytest.fixture
def searcher(world: Path) -> Searcher:
    return Searcher.open(world / "index")


def index(world: Path, run: str = "run") -> None:
    job.index_media(
        world / run,
        world / "photos",
        world / "index",
        job.IndexOptions(device="cpu", decoding=Decoding(workers=1)),
    )


def ids(answer: Answer) -> list[str]:
    return [hit.entry.item_id for hit in answer.hits]


def pixel(colour: str) -> np.ndarray:
    return unit(np.array([toy_model.RGB[colour]], np.float32) + 1)[0]


def word(*colours: str) -> np.ndarray:
    """What the toy model makes of a text that names these colours; "yellow" it does not know."""
    return unit(sum((np.eye(3)[[toy_model.COLOURS[one]]] for one in colours), np.full((1, 3), 0.01)))[0]


def test_hits_are_the_images_by_cosine_best_first(searcher: Searcher) -> None:
    answer = searcher.search(Query(text="a red square", k=4))
    assert ids(answer)[:2] == ["red.png", "yellow.png"]
    expected = [float(word("red") @ pixel(one.removesuffix(".png"))) for one in ids(answer)]
    np.testing.assert_allclose([hit.score for hit in answer.hits], expected, atol=1e-5)
    assert [hit.relevance for hit in answer.hits] == [None] * 4
    assert answer.match is None
    assert set(answer.seconds) == {"encode", "search"}


def test_a_translation_finds_the_same_and_its_language_is_told(searcher: Searcher) -> None:
    answer = searcher.search(Query(text="um quadrado vermelho", k=1))
    assert ids(answer) == ["red.png"]
    assert answer.hits[0].entry.captions["pt"] == "um quadrado vermelho"
    language = answer.language
    assert language is not None
    assert (language.code, language.given, language.trained) == ("pt", False, True)
    assert language.confidence > 0.8
    assert answer.warnings == ()


def test_a_language_outside_training_is_told_and_warned_of(searcher: Searcher) -> None:
    answer = searcher.search("koira juoksee rannalla")
    assert answer.language is not None
    assert (answer.language.code, answer.language.trained) == ("fi", False)
    assert answer.warnings == (
        "The model was not trained on Finnish (fi); results may be poor. Trained: en, pt.",
    )
    given = searcher.search(Query(text="koira juoksee rannalla", lang="pt-br"))
    assert given.language is not None
    assert (given.language.code, given.language.given, given.language.trained) == ("pt-BR", True, True)
    assert given.warnings == ()


def test_words_are_added_and_subtracted(searcher: Searcher) -> None:
    answer = searcher.search(Query(text="yellow +red -green", k=2))
    assert ids(answer) == ["red.png", "yellow.png"]
    expected = unit((word() + word("red") - 0.5 * word("green"))[None])[0]
    np.testing.assert_allclose(answer.hits[0].score, expected @ pixel("red"), atol=1e-5)


def test_what_the_model_cannot_read_is_told_and_never_matches(
    searcher: Searcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        toy_model.ToyModel, "reads", lambda self, texts: ["🐶" not in text for text in texts], raising=False
    )
    queries = ["🐶", "a red square", "🐶 +red", "?", "🐶 -red", 'red -"🐶"']
    lost, plain, added, mark, less, red = searcher.search_many([Query(text=text, k=4) for text in queries])
    for answer, text in ((lost, "🐶"), (mark, "?"), (less, "🐶")):
        assert (answer.hits, answer.match) == ((), False)
        assert f"The model can read nothing of '{text}'. Nothing was searched for." in answer.warnings[-1]
    assert (len(plain.hits), plain.match, plain.warnings) == (4, None, ())
    # The part that can be read is searched for alone.
    for answer in (added, red):
        assert ids(answer) == ids(searcher.search(Query(text="red", k=4)))
        assert "nothing of '🐶'. It was left out." in answer.warnings[-1]


def test_an_image_finds_its_like_and_turns_with_a_text(searcher: Searcher, world: Path) -> None:
    photo = save_picture(world / "query.png", (250, 10, 10))
    assert ids(searcher.search(Query(image=photo, k=1))) == ["red.png"]
    assert searcher.search(Query(image=Image.open(photo), k=1)).hits[0].score == pytest.approx(
        float(unit(np.array([[251, 11, 11]], np.float32))[0] @ pixel("red")), abs=1e-5
    )
    both = searcher.search(Query(text="green", image=photo, k=1))
    assert ids(both) == ["yellow.png"]
    assert searcher.search(Query(image=photo)).language is None


def test_more_like_this_leaves_this_out(searcher: Searcher) -> None:
    answer = searcher.search(Query(item_id="yellow.png", k=4))
    assert len(answer.hits) == 3
    assert "yellow.png" not in ids(answer)
    assert answer.hits[0].score == pytest.approx(float(pixel("yellow") @ pixel("green")), abs=1e-5)
    with pytest.raises(UserError, match="holds no item 'nobody'"):
        searcher.search(Query(item_id="nobody"))


def test_filters_and_least_scores_leave_hits_out(searcher: Searcher) -> None:
    assert ids(searcher.search(Query(text="red", filter="year>=2010"))) == ["blue.png"]
    assert ids(searcher.search(Query(text="red", min_score=0.6))) == ["red.png", "yellow.png"]
    with pytest.raises(UserError, match="stops making sense at character 5"):
        searcher.search(Query(text="red", filter="year"))


def test_a_least_score_that_is_no_number_is_refused(searcher: Searcher) -> None:
    with pytest.raises(UserError, match="min_score is not a number"):
        searcher.search("red", min_score=float("nan"))


def test_many_queries_are_answered_as_one_by_one(searcher: Searcher, world: Path) -> None:
    queries = [
        Query(text="red", k=2),
        Query(item_id="green.png", k=1),
        Query(text="blue -red", k=3, lang="en"),
        Query(text="green", image=world / "photos" / "blue.png", k=2),
    ]
    together = searcher.search_many(queries)
    assert (
        ids(together[0])
        == ids(searcher.search("red", k=2))
        == ids(searcher.search(queries[2], text="red", k=2))
    )
    with pytest.raises(TypeError, match="limit"):
        searcher.search("red", limit=2)
    for query, answer in zip(queries, together, strict=True):
        alone = searcher.search_many([query])[0]
        assert ids(answer) == ids(alone)
        assert [hit.score for hit in answer.hits] == pytest.approx([hit.score for hit in alone.hits])
        assert answer.language == alone.language
    assert searcher.search_many([]) == []


def test_filters_that_can_find_nothing_are_told(world: Path) -> None:
    """Sorts of values: year of numbers, inv of texts, both in mixed, good of truth, several tags."""
    rows = [
        {
            "path": "red.png",
            "year": 1950,
            "inv": "007",
            "mixed": 5,
            "good": True,
            "tags": ["a", "b"],
            "ok": True,
        },
        {"path": "blue.png", "year": 1960, "inv": "12", "mixed": "c. 1955", "ok": "true"},
    ]
    (world / "photos" / "metadata.csv").unlink()
    (world / "photos" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    index(world)
    told = {
        'inv="007"': "",
        "inv=007": "inv holds texts, such as '12', and 7 without quotes is compared with none of "
        "them. "
        'Quote a text as it is written: inv="12".',
        "year=1950 and not tags=b": "",
        'year="1950"': "year holds numbers, such as 1960, and '1950' is compared with none of them.",
        "mixed>=5": "mixed holds texts, such as 'c. 1955', and 5 without quotes is compared with none of "
        "them. "
        'Quote a text as it is written: mixed="c. 1955".',
        'mixed="5"': "mixed holds numbers as well, such as 5, and '5' is a text.",
        'mixed in ("c. 1955", x)': "",
        "good=yes": "good holds true and false, such as True, and 'yes' is compared with none of them.",
        "ok=true": "ok holds texts, such as 'true', and true without quotes is compared with none of them. "
        'Quote a text as it is written: ok="true".',
        'ok="true"': "ok holds true and false as well, and 'true' is a text.",
        "not yeer=1950": "No item has a field 'yeer': what compares it finds nothing, and with not "
        "everything. Did you mean year?",
        "kind=image or item_id=x": "",
    }
    with Searcher.open(world / "index") as searcher:
        for text, line in told.items():
            answer = searcher.search(Query(text="a red square", filter=text))
            assert answer.warnings == ((line,) if line else ()), text
        # Twice, as sorts that are known are not asked for again.
        assert searcher.search(Query(text="a red square", filter="inv=007")).warnings == (told["inv=007"],)


def test_filters_that_python_takes_for_equal_get_their_own_answers(searcher: Searcher, world: Path) -> None:
    values = {"number": 1, "truth": True, "text": "1", "part": 1.5, "none": False, "zero": 0}
    for name, value in values.items():
        picture = world / "photos" / "red.png"
        searcher.add(Entry(item_id=name, path=str(picture), metadata={"n": value}), picture)
    asked = {
        "n=1": ["number"],
        "n=true": ["truth"],
        "n=1.0": ["number"],
        'n="1"': ["text"],
        "n=0": ["zero"],
        "n=false": ["none"],
        "n in (1, 1.5)": ["number", "part"],
        "n in (true, 1.5)": ["part", "truth"],
        "not n=1 and n>0": ["part"],
        "not n=true and n>0": ["number", "part"],
    }
    together = searcher.search_many([Query(text="red", filter=text) for text in asked])
    assert [sorted(ids(answer)) for answer in together] == list(asked.values())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "The query is empty. Give a text, an image, a video, or an item"),
        ({"text": " \n "}, "The query is empty"),
        ({"text": "-dog"}, "The query only subtracts"),
        ({"text": "a\0"}, r"U\+0000"),
        ({"text": "red", "k": 0}, r"k must lie in 1\.\.10000, got 0"),
        ({"text": "red", "lang": "portuguese"}, "lang is 'portuguese'.*Or leave it out"),
        ({"image": "absent.png"}, r"absent\.png: no such file"),
    ],
)
def test_queries_that_cannot_be_answered_are_refused(
    searcher: Searcher, given: dict[str, object], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        searcher.search(Query(**given))  # type: ignore[arg-type]


def test_a_megabyte_of_text_is_cut_with_a_warning(searcher: Searcher) -> None:
    answer = searcher.search(Query(text="red " * 250_000, k=1))
    assert ids(answer) == ["red.png"]
    assert f"1,000,000 characters; the first {MAX_CHARACTERS:,} were read" in answer.warnings[0]


def test_what_another_process_indexes_is_found_by_the_next_search(searcher: Searcher, world: Path) -> None:
    save_picture(world / "photos" / "dark.png", (90, 0, 0))
    (world / "photos" / "green.png").unlink()
    index(world)
    assert "dark.png" in ids(searcher.search("red"))
    assert "green.png" not in ids(searcher.search("red"))
    assert searcher.info.count == 4


def test_a_new_model_is_swapped_in_under_searches(searcher: Searcher, world: Path) -> None:
    save_model(world / "other", "3" * 64, "4" * 64, targets=["pt", "fi"])
    live = searcher.store
    with searcher.writing() as opened:
        before = opened.store
    with ThreadPoolExecutor(2) as pool:
        stop = False

        def search() -> int:
            count = 0
            while not stop or not count:
                assert ids(searcher.search(Query(text="red", k=1))) == ["red.png"]
                count += 1
            return count

        running = [pool.submit(search) for _ in range(2)]
        index(world, "other")
        stop = True
        assert all(one.result() for one in running)
    assert searcher.search("koira juoksee rannalla").warnings == ()
    assert searcher.info.fingerprint == "3" * 64
    with pytest.raises(Exception, match="closed"):
        before.count()
    # What callers were given goes on with the store that took its place.
    assert live.count() == searcher.store.count() == 4


def test_searches_in_an_event_loop_are_those_outside_of_it(searcher: Searcher, world: Path) -> None:
    queries = [Query(text=text, k=k) for text in ("red", "a green square", "blue -red") for k in (1, 2, 4)]
    queries += [
        Query(image=world / "photos" / "red.png", k=3),
        Query(text="red", k=4, filter=parse("year>2005")),
    ]

    def found(answer: Answer) -> list[tuple[str, float]]:
        return [(hit.entry.item_id, hit.score) for hit in answer.hits]

    expected = [found(searcher.search(query)) for query in queries]

    async def ask() -> None:
        async def one(number: int) -> None:
            for at in range(number, number + len(queries)):
                at %= len(queries)
                # In a thread beside others, and on the loop itself, which is then not free meanwhile.
                assert found(await asyncio.to_thread(searcher.search, queries[at])) == expected[at]
                assert found(searcher.search(queries[at])) == expected[at]
                await asyncio.sleep(0)

        await asyncio.gather(*(one(number) for number in range(8)))
        # A task that is cancelled leaves the searcher as it was.
        task = asyncio.create_task(asyncio.to_thread(searcher.search_many, queries))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.to_thread(searcher.search_many, queries)) for _ in range(4)]
        assert [[found(answer) for answer in task.result()] for task in tasks] == [expected] * 4

    asyncio.run(ask())
    asyncio.run(ask())  # a loop of its own each time
    assert found(searcher.search(queries[0])) == expected[0]


def test_another_model_is_refused_with_the_command_that_helps(world: Path) -> None:
    other = save_model(world / "other", "3" * 64, "4" * 64)
    command = rf"dragoman index {other} {world / 'photos'} --out {world / 'index'}"
    with pytest.raises(UserError, match=rf"filled by another model .*until it is done\): {command}"):
        Searcher.open(world / "index", model=other)
    text_side = save_model(world / "text", "3" * 64, "2" * 64)
    with pytest.raises(UserError, match=r"no image is encoded again\): dragoman index"):
        Searcher.open(world / "index", model=text_side)
    same = shutil.copytree(world / "run", world / "same")
    shutil.rmtree(world / "run")
    with pytest.raises(UserError, match=r"no longer in .*run\. Say where it is now: --model FOLDER"):
        Searcher.open(world / "index")
    with Searcher.open(world / "index", model=same) as searcher:
        assert ids(searcher.search(Query(text="blue", k=1))) == ["blue.png"]


def test_no_index_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none does not exist.*dragoman index RUN MEDIA --out"):
        Searcher.open(tmp_path / "none")


def test_items_are_added_replaced_and_deleted(searcher: Searcher) -> None:
    searcher.add(Entry(item_id="mine", metadata={"year": 1}), Image.new("RGB", (4, 4), (0, 0, 255)))
    assert set(ids(searcher.search(Query(text="blue", k=2)))) == {"mine", "blue.png"}
    searcher.add(Entry(item_id="mine", metadata={"year": 2}), Image.new("RGB", (4, 4), (255, 0, 0)))
    assert ids(searcher.search(Query(text="red", filter="year=2"))) == ["mine"]
    assert set(ids(searcher.search(Query(text="red", k=2)))) == {"mine", "red.png"}
    assert searcher.delete(["mine", "nobody"]) == 1
    assert "mine" not in ids(searcher.search("red"))


def test_two_processes_do_not_write_at_once(searcher: Searcher, world: Path) -> None:
    with (
        sole_writer(world / "index"),
        pytest.raises(UserError, match="is being written by another dragoman process"),
    ):
        searcher.delete(["red.png"])


def test_media_files_stay_in_their_folder(searcher: Searcher, world: Path) -> None:
    (world / "secret.png").touch()
    (world / "photos" / "link.png").symlink_to(world / "secret.png")

    def file(path: str | None) -> Path | None:
        return searcher.media_file(Entry(item_id="x", path=path))

    assert file("red.png") == world / "photos" / "red.png"
    assert file(str(world / "secret.png")) == world / "secret.png"
    for path in ("../secret.png", "b/../../secret.png", "link.png", ".", "a\0b", "https://host/x.png", None):
        assert file(path) is None, path


def test_vectors_of_texts_and_images_are_the_models(searcher: Searcher, world: Path) -> None:
    np.testing.assert_allclose(searcher.encode_text(["red"]), word("red")[None], atol=1e-6)
    found = searcher.encode_image([world / "photos" / "blue.png"])
    np.testing.assert_allclose(found, pixel("blue")[None], atol=1e-6)


def test_the_package_offers_it_by_name() -> None:
    assert dragoman.Searcher is Searcher
