"""The contract of stores: every module of `dragoman/stores` keeps it; a new one is found by its name.

A store that needs a server, a package or a setting brings `tests/stores/<name>_setup.py` with

    settings()   a context manager that yields the arguments of its `Config`; it may skip
    ALONE        True where only one handle at a time can open an index (False where it is missing)

A store that can be opened with its defaults needs none.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import MISSING, FrozenInstanceError, dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from index_world import WIDTH, Oracle, draw_vectors, make_entries, make_entry, typed, unit

from dragoman import plugins
from dragoman.errors import UserError
from dragoman.records import Entry
from dragoman.stores import STORES, Filter, Store, parse
from dragoman.stores.filters import Compare, In


@dataclass
class Kind:
    """A store that is ready to be opened."""

    name: str
    settings: dict[str, Any]
    alone: bool

    def open(self, folder: Path, index: str, width: int = WIDTH) -> Store:
        module = module_of(self.name)
        opened: Store = module.open_store(folder, module.Config(**self.settings), width, index)
        return opened

    def drop(self, folder: Path, index: str) -> None:
        module = module_of(self.name)
        module.drop_store(folder, module.Config(**self.settings), index)


def module_of(name: str) -> Any:
    """The store as a module, or a failure that says what its file lacks."""
    module = plugins.load(STORES, name, "store")
    for part in ("Config", "open_store", "drop_store"):
        if not hasattr(module, part):
            pytest.fail(f"src/dragoman/stores/{name}.py lacks {part}; stores/contract.py says what it is")
    unset = [one.name for one in fields(module.Config) if one.default is one.default_factory is MISSING]
    if unset:
        pytest.fail(f"Config in src/dragoman/stores/{name}.py has no default for {', '.join(unset)}")
    return module


def test_what_a_store_lacks_is_told_by_the_name_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "load", lambda *_: SimpleNamespace(open_store=None))
    with pytest.raises(pytest.fail.Exception, match=r"^src/dragoman/stores/odd\.py lacks Config; "):
        module_of("odd")


@pytest.fixture(scope="module", params=plugins.names(STORES))
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    name, folder = request.param, tmp_path_factory.mktemp("first")
    if importlib.util.find_spec(f"{name}_setup") is None:
        found = Kind(name, {}, False)
        try:
            require_whole(found, folder)
        except UserError as error:
            pytest.fail(
                f"The store {name!r} does not open with its defaults ({error}). Write "
                f"tests/stores/{name}_setup.py with settings(), a context manager that yields the arguments "
                "of its Config. See faiss_setup.py beside it."
            )
        yield found
        return
    setup = importlib.import_module(f"{name}_setup")
    with setup.settings() as settings:
        found = Kind(name, settings, getattr(setup, "ALONE", False))
        require_whole(found, folder)
        yield found


def require_whole(kind: Kind, folder: Path) -> None:
    """Open a store once, so that a method that it lacks is told before anything is asked of it."""
    try:
        with kind.open(folder, "first") as store:
            assert isinstance(store, Store)
    except TypeError as error:
        if "abstract" not in str(error):
            raise
        pytest.fail(f"src/dragoman/stores/{kind.name}: {error}; stores/contract.py says what it does")
    kind.drop(folder, "first")


Opener = Callable[..., Store]


@pytest.fixture
def opener(kind: Kind, tmp_path: Path) -> Iterator[Opener]:
    """Opens the index of this test, or another one by its name."""
    test = uuid.uuid4().hex[:8]
    with ExitStack() as stack:

        def open_one(index: str = "photos", width: int = WIDTH) -> Store:
            return stack.enter_context(kind.open(tmp_path / index, f"{index}_{test}", width))

        yield open_one


@pytest.fixture
def index(opener: Opener) -> Store:
    return opener()


def filled(index: Store, count: int) -> Oracle:
    """Put entries into an index, and the same into an oracle."""
    entries, vectors = make_entries(count), draw_vectors(count)
    if count:
        index.add(entries, vectors)
    oracle = Oracle()
    oracle.put(entries, vectors)
    return oracle


def assert_same_answers(
    index: Store, oracle: Oracle, queries: np.ndarray, k: int, filter: Filter | None = None
) -> None:
    found, expected = index.search(queries, k, filter), oracle.search(queries, k, filter)
    assert [[match.item_id for match in one] for one in found] == [[i for i, _ in one] for one in expected]
    for one, right in zip(found, expected, strict=True):
        assert [match.score for match in one] == pytest.approx([score for _, score in right], abs=2e-6)


@pytest.mark.parametrize("count", [0, 1, 9, 300])
def test_ids_and_scores_are_those_of_exact_search(index: Store, count: int) -> None:
    oracle = filled(index, count)
    for queries in (draw_vectors(1, seed=1), draw_vectors(23, seed=2)):
        for k in (1, 10, count + 5):
            assert_same_answers(index, oracle, queries, k)


def test_no_query_has_no_answer_and_no_hit_is_no_hit(index: Store) -> None:
    filled(index, 5)
    assert index.search(draw_vectors(0), 3) == []
    assert index.search(draw_vectors(2), 0) == [[], []]


def test_equal_scores_come_in_the_order_of_their_ids(index: Store) -> None:
    # By code points: U+FF5E comes before U+1F600, though not in UTF-16; capitals before small letters.
    ids = ["b", "a", "B", "é", "z", "～", "😀", "a b", "10", "9", "ة"]
    same = np.repeat(draw_vectors(1), len(ids), axis=0)
    index.add([Entry(item_id=item_id) for item_id in ids], same)
    index.add([Entry(item_id="other")], -same[:1])
    expected = sorted(ids, key=lambda item_id: [ord(letter) for letter in item_id])
    for k in (1, 4, len(ids)):
        (found,) = index.search(same[:1], k)
        assert [match.item_id for match in found] == expected[:k]
        assert len({match.score for match in found}) == 1
    assert [entry.item_id for entry in index.scan()] == sorted([*expected, "other"], key=str.encode)


def test_an_entry_comes_back_as_it_went_in(index: Store) -> None:
    odd = Entry(
        item_id="../a b?é😀'\"\\%_",
        kind="video",
        path="https://example.org/ü?a=1&b=2",
        metadata={
            "int": -(2**63),
            "large": 2**63 - 1,
            "float": 0.1,
            "whole": 2.0,
            "tiny": 5e-324,
            "true": True,
            "false": False,
            "text": "ção \"quoted\" 'single' \\ back\nline",
            "empty": "",
            "many": ("b", "a", "a", 1, 1.0, True),
            "one": ("alone",),
            "a.b c'\"$": "odd name",
            "kind": "shadow",
        },
        captions={"pt": "um cão a correr", "ar": "كلب", "zh": ""},
        more_captions={"pt": ("um cachorro", "", "um cão"), "zh": ("狗",)},
        machine=frozenset({"ar", "zh"}),
        source="sha256:00",
    )
    plain = Entry(item_id="plain")
    said = {"pt": "uma carta", "gl": "unha carta\nde 1902", "en": "a letter"}
    text = Entry(
        item_id="text",
        kind="text",
        lang="gl",
        captions=said,
        more_captions={"gl": ("b",)},
        machine=frozenset({"en"}),
    )
    assert text.text == "unha carta\nde 1902"
    index.add([odd, plain, text], draw_vectors(3))
    found = index.get(["plain", "nowhere", odd.item_id, "plain"])
    assert found == [plain, None, odd, plain]
    assert found[2] is not None
    assert typed(found[2].metadata) == typed(odd.metadata)
    assert index.scan() == [odd, plain, text]
    assert index.get(["text"]) == [text]
    assert index.scan(filter=parse("kind=text")) == [text]


def test_vectors_come_back_bit_for_bit_and_in_the_order_asked_for(index: Store) -> None:
    oracle = filled(index, 20)
    ids = list(oracle.entries)[::-3]
    np.testing.assert_array_equal(index.vectors(ids), np.stack([oracle.vectors[i] for i in ids]), strict=True)
    assert index.vectors([]).shape == (0, WIDTH)
    with pytest.raises(KeyError, match="nowhere"):
        index.vectors([ids[0], "nowhere"])


def test_a_sample_is_of_entries_that_pass(index: Store) -> None:
    assert index.sample(5).shape == (0, WIDTH)
    oracle = filled(index, 60)
    index.delete(["photo-000000"])
    del oracle.entries["photo-000000"]
    for filter in (None, parse("kind=text"), parse("not kind=text"), parse("year=1"), parse("place=Porto")):
        passing = {oracle.vectors[entry.item_id].tobytes() for entry in oracle.passing(filter)}
        for count in (1, 7, 200):
            sample = index.sample(count, filter)
            assert sample.shape[1] == WIDTH
            assert min(count, len(passing)) / 2 <= len(sample) <= min(count, len(passing))
            assert len({row.tobytes() for row in sample} & passing) == len(sample)
            np.testing.assert_array_equal(sample, index.sample(count, filter))


BAD_ENTRIES = {
    "known": ("photo-000000", "holds 'photo-000000' already"),
    "empty id": ("", "empty"),
    "control character": ("a\nb", "control characters"),
    "zero": ("a\0b", "control characters"),
    "half a letter": ("a\ud800", "no valid Unicode"),
    "too long": ("é" * 257, "514 bytes; at most 512"),
}


@pytest.mark.parametrize(("item_id", "message"), BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_a_bad_id_is_refused_and_nothing_is_stored(index: Store, item_id: str, message: str) -> None:
    filled(index, 4)
    batch = [Entry(item_id="fine"), Entry(item_id=item_id), Entry(item_id="fine as well")]
    with pytest.raises(UserError, match=message):
        index.add(batch, draw_vectors(3))
    assert (index.count(), index.get(["fine"])) == (4, [None])


def test_an_id_that_comes_twice_is_refused(index: Store) -> None:
    for write in (index.add, index.update):
        with pytest.raises(UserError, match="'a' is there twice"):
            write([Entry(item_id="a"), Entry(item_id="b"), Entry(item_id="a")], draw_vectors(3))
    assert index.count() == 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lang": None}, "is a text, but holds none"),
        ({"lang": "gl"}, "is a text, but holds none"),
        ({"machine": frozenset({"pt"})}, "is a text, but holds none"),
        ({"path": "a.txt"}, "is a text, which has no path"),
        ({"metadata": {"kind": "letter"}}, "no field of metadata called kind"),
        ({"kind": "image"}, "is no text, but one .pt. is said to be it"),
    ],
)
def test_an_entry_is_a_text_or_none(index: Store, changed: dict[str, Any], message: str) -> None:
    text = {"item_id": "r", "kind": "text", "lang": "pt", "captions": {"pt": "uma carta"}}
    with pytest.raises(UserError, match=message):
        index.add([Entry(item_id="a"), Entry(**text | changed)], draw_vectors(2))
    assert index.count() == 0


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"x": None}, "type NoneType"),
        ({"x": ["a"]}, "type list"),
        ({"x": ()}, "no value in the field 'x'"),
        ({"x": ("a", None)}, "type NoneType"),
        ({"x": math.nan}, "not finite"),
        ({"x": 2**63}, "does not fit 64 bits"),
        ({"": 1}, "empty"),
        ({"a\nb": 1}, "control characters"),
        ({"x": "\udfff"}, "no valid Unicode"),
        ({"x": "a\0"}, "control characters"),
    ],
)
def test_metadata_that_not_every_store_can_hold_is_refused(
    index: Store, metadata: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        index.add([Entry(item_id="a", metadata=metadata)], draw_vectors(1))
    assert index.count() == 0


def test_further_captions_follow_a_first_one(index: Store) -> None:
    lone = Entry(item_id="a", captions={"en": "a dog"}, more_captions={"pt": ("um cão",)})
    with pytest.raises(UserError, match=r"further captions \(pt\), but no first one"):
        index.add([lone], draw_vectors(1))
    assert index.count() == 0


def test_a_machine_has_translated_only_captions_that_are_there(index: Store) -> None:
    lone = Entry(item_id="a", captions={"en": "a dog"}, machine=frozenset({"pt"}))
    with pytest.raises(UserError, match=r"a machine's caption \(pt\), but has none"):
        index.add([lone], draw_vectors(1))
    assert index.count() == 0


BAD_VECTORS = {
    "not finite": (np.full((1, WIDTH), np.nan, np.float32), "'a' is not finite"),
    "too long": (draw_vectors(1) * np.float32(1.01), "has length 1.01"),
    "zero": (np.zeros((1, WIDTH), np.float32), "has length 0"),
    "another width": (draw_vectors(1, width=WIDTH + 1), f"rows of {WIDTH}"),
    "one dimension": (draw_vectors(1)[0], f"rows of {WIDTH}"),
    "too many": (draw_vectors(2), "1 items came with 2 vectors"),
    "whole numbers": (np.eye(1, WIDTH, dtype=np.int64), "int64"),
}


@pytest.mark.parametrize(("vectors", "message"), BAD_VECTORS.values(), ids=BAD_VECTORS)
def test_a_bad_vector_is_refused_and_nothing_is_stored(
    index: Store, vectors: np.ndarray, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        index.add([Entry(item_id="a")], vectors)
    assert index.count() == 0
    index.add([Entry(item_id="a")], draw_vectors(1, seed=3))
    with pytest.raises(UserError, match=message):
        index.update([Entry(item_id="a", source="new")], vectors)
    assert index.get(["a"]) == [Entry(item_id="a")]
    np.testing.assert_array_equal(index.vectors(["a"]), draw_vectors(1, seed=3))


def test_a_bad_query_is_refused(index: Store) -> None:
    filled(index, 3)
    for queries, message in (
        (draw_vectors(2, width=WIDTH - 1), f"rows of {WIDTH}"),
        (np.full((1, WIDTH), np.inf, np.float32), "query vector 0 is not finite"),
    ):
        with pytest.raises(UserError, match=message):
            index.search(queries, 1)


def test_update_replaces_entries_and_vectors(index: Store) -> None:
    oracle = filled(index, 30)
    chosen = list(oracle.entries)[5:15]
    new = [make_entry(item_id, 50 + i) for i, item_id in enumerate(chosen)]
    index.update(new, draw_vectors(10, seed=5))
    oracle.put(new, draw_vectors(10, seed=5))
    assert index.get(chosen) == new
    assert_same_answers(index, oracle, draw_vectors(7, seed=6), 12)
    assert index.count() == 30


def test_update_without_vectors_keeps_them(index: Store) -> None:
    oracle = filled(index, 12)
    (item_id,) = list(oracle.entries)[4:5]
    changed = replace(oracle.entries[item_id], metadata={"year": 1900}, captions={"gl": "can"}, path="x.jpg")
    index.update([changed])
    oracle.put([changed])
    assert index.get([item_id]) == [changed]
    assert_same_answers(index, oracle, draw_vectors(3, seed=7), 12)
    old = [entry.item_id for entry in index.scan(filter=parse("year<1950"))]
    assert old == [item_id]


@pytest.mark.parametrize("vectors", [None, draw_vectors(2, seed=8)], ids=["entries", "vectors as well"])
def test_update_of_an_unknown_id_changes_nothing(index: Store, vectors: np.ndarray | None) -> None:
    oracle = filled(index, 3)
    known = next(iter(oracle.entries))
    with pytest.raises(UserError, match="does not hold 'nowhere'"):
        index.update([replace(oracle.entries[known], source="new"), Entry(item_id="nowhere")], vectors)
    assert index.get([known]) == [oracle.entries[known]]
    assert_same_answers(index, oracle, draw_vectors(2, seed=9), 3)


def test_what_is_deleted_is_gone_and_may_come_back(index: Store) -> None:
    oracle = filled(index, 25)
    ids = list(oracle.entries)
    assert index.delete([*ids[3:9], "nowhere", ids[3]]) == 6
    assert oracle.delete(ids[3:9]) == 6
    assert index.delete(ids[3:9]) == 0
    assert index.count() == 19
    assert index.get(ids[2:4])[1] is None
    assert_same_answers(index, oracle, draw_vectors(5, seed=10), 25)
    again = [make_entry(ids[4], 99)]
    index.add(again, draw_vectors(1, seed=11))
    oracle.put(again, draw_vectors(1, seed=11))
    assert_same_answers(index, oracle, draw_vectors(5, seed=10), 25)
    assert index.delete(iter(list(oracle.entries))) == 20
    assert (index.count(), index.scan(), index.search(draw_vectors(1), 3)) == (0, [], [[]])


FILTERS = [
    "year=2003",
    "year!=2003",
    "year>=2015",
    "year<2001.5",
    "year>2004 and year<=2006",
    "place=Porto",
    'place in (Porto, "São Paulo", 上海)',
    "place>=S and place<上海",
    "place>2000",
    "year<Porto",
    "tag=night",
    "tag!=rain",
    "not tag=rain and tag=night",
    "tag=7",
    "tag=true",
    "tag>6",
    "tag>=night and tag<=night",
    "flag=true",
    "flag=false",
    "flag!=true",
    "flag=1",
    "flag<true",
    "mixed=1",
    "mixed=true",
    'mixed="1"',
    'mixed="true"',
    "mixed>=0.5",
    "mixed in (0.5, true)",
    "missing=1",
    "missing!=1",
    "not missing>0",
    "kind=video",
    "kind=text",
    "not kind=text and year<2005",
    "kind!=video and year<2010",
    "path<photos/photo-02",
    "item_id=photo-007919",
    "item_id>photo-05 or not (place in (Vigo) or year>2010)",
    "kind=1",
    "path=true",
    'year=2003 or place="" or not (not tag=rain)',
]


@pytest.fixture
def photos(index: Store) -> Oracle:
    return filled(index, 120)


def test_every_filter_lets_pass_what_the_oracle_says(index: Store, photos: Oracle) -> None:
    queries = draw_vectors(2, seed=12)
    # Text that reads as a number or as truth, and what the language of filters cannot say.
    odd: list[Filter] = [In("year", ()), Compare("place", "=", ""), Compare("year", "=", 2003.0)]
    odd += [
        Compare("mixed", "<", -1e300),
        Compare("year", "<", 2**63 - 1),
        Compare("it's", "=", "' OR 1=1 --"),
    ]
    passed = set()
    for filter in [*map(parse, FILTERS), *odd]:
        expected = photos.passing(filter)
        assert index.count(filter) == len(expected), filter
        assert index.scan(limit=1000, filter=filter) == expected, filter
        assert_same_answers(index, photos, queries, 10, filter)
        passed.add(len(expected))
    assert {0, 120} < passed
    assert len(passed) > 15


def test_a_field_of_metadata_hides_what_an_entry_has_of_that_name(index: Store) -> None:
    index.add(
        [
            Entry(item_id="a", kind="image", metadata={"kind": ("drawing", 3)}),
            Entry(item_id="b", kind="image", path="b.jpg", metadata={"item_id": "other", "path": True}),
            Entry(item_id="c", kind="video"),
        ],
        draw_vectors(3),
    )
    for text, expected in (
        ("kind=image", ["b"]),
        ("kind=drawing", ["a"]),
        ("kind>2", ["a"]),
        ("kind!=image", ["a", "c"]),
        ("item_id=b", []),
        ("item_id=other", ["b"]),
        ("path=b.jpg", []),
        ("path=true", ["b"]),
        ("path!=b.jpg", ["a", "b", "c"]),
    ):
        assert [entry.item_id for entry in index.scan(filter=parse(text))] == expected, text


def test_filters_see_updates_and_deletions(index: Store) -> None:
    index.add([make_entry(name, 1) for name in "abc"], draw_vectors(3))
    new = parse("year=1999")
    assert index.count(new) == 0
    index.update([Entry(item_id="b", metadata={"year": 1999})])
    assert [entry.item_id for entry in index.scan(filter=new)] == ["b"]
    index.update([Entry(item_id="a", metadata={"year": 1999})], draw_vectors(1, seed=4))
    assert {match.item_id for match in index.search(draw_vectors(1), 5, new)[0]} == {"a", "b"}
    assert index.count(parse("year=2001")) == 1
    index.delete(["b"])
    assert (index.count(new), index.count(parse("not year=1999"))) == (1, 1)


def test_pages_of_a_walk_hold_everything_once_and_in_order(index: Store, photos: Oracle) -> None:
    for filter in (None, parse("year>=2010")):
        walked: list[Entry] = []
        while page := index.scan(after=walked[-1].item_id if walked else "", limit=17, filter=filter):
            assert len(page) <= 17
            walked += page
        assert walked == photos.passing(filter)


def test_hostile_ids_are_simply_not_there(index: Store) -> None:
    filled(index, 2)
    hostile = ["", "\0", "\ud800", "x" * 100_000, "'; DROP TABLE entries; --", "%", "\n"]
    assert index.get(hostile) == [None] * len(hostile)
    assert index.delete(hostile) == 0
    with pytest.raises(KeyError):
        index.vectors(["\ud800"])
    with pytest.raises(UserError, match="no valid Unicode"):
        index.scan(after="\ud800")
    assert index.count() == 2


def test_what_was_written_is_there_when_the_index_is_opened_again(opener: Opener, kind: Kind) -> None:
    first = opener()
    oracle = filled(first, 40)
    first.delete(list(oracle.entries)[:5])
    oracle.delete(list(oracle.entries)[:5])
    first.close()
    first.close()
    again = opener()
    assert again.count() == 35
    assert again.scan() == oracle.passing()
    assert_same_answers(again, oracle, draw_vectors(4, seed=13), 10)


def test_another_handle_sees_what_was_written_since(opener: Opener, kind: Kind) -> None:
    if kind.alone:
        pytest.skip(f"only one handle at a time can open an index of {kind.name} here")
    writer, reader = opener(), opener()
    oracle = filled(writer, 10)
    assert_same_answers(reader, oracle, draw_vectors(2), 4)
    more = [make_entry("late", 3)]
    writer.add(more, draw_vectors(1, seed=14))
    oracle.put(more, draw_vectors(1, seed=14))
    writer.delete(list(oracle.entries)[:2])
    oracle.delete(list(oracle.entries)[:2])
    assert_same_answers(reader, oracle, draw_vectors(2), 9)
    assert reader.count(parse("year=2003")) == len(oracle.passing(parse("year=2003")))
    reader.update([make_entry("late", 4)])
    assert writer.get(["late"]) == [make_entry("late", 4)]


def test_indexes_are_strangers_to_one_another(opener: Opener) -> None:
    one, other = opener("one"), opener("other", width=3)
    filled(one, 5)
    other.add([Entry(item_id="a")], np.eye(1, 3, dtype=np.float32))
    assert (one.count(), other.count()) == (5, 1)
    assert other.search(np.eye(1, 3, dtype=np.float32), 9) == [[("a", 1.0)]]


def test_an_index_of_another_width_is_refused(opener: Opener) -> None:
    opener().close()
    with pytest.raises(UserError, match=f"{WIDTH}"):
        opener(width=WIDTH + 1)


def test_a_search_sees_all_of_a_write_or_nothing(index: Store) -> None:
    """Entries come and go in pairs of one vector: no answer may hold half a pair."""
    vector = draw_vectors(1)
    torn: list[object] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            try:
                (found,) = index.search(vector, 100)
                ids = sorted(match.item_id[2:] for match in found)
                torn.extend(ids if ids[::2] != ids[1::2] else [])
            except BaseException as error:
                torn.append(error)

    searchers = [threading.Thread(target=search) for _ in range(2)]
    for thread in searchers:
        thread.start()
    for round_ in range(12):
        pair = [Entry(item_id=f"{side}-{round_}") for side in "ab"]
        index.add(pair, np.repeat(vector, 2, axis=0))
        if round_ % 3 == 1:
            index.update(pair, np.repeat(vector, 2, axis=0))
        if round_ % 3 == 2:
            index.delete([f"a-{round_ - 1}", f"b-{round_ - 1}"])
    done.set()
    for thread in searchers:
        thread.join()
    assert torn == []
    assert index.count() == 16


def test_several_threads_may_write(index: Store) -> None:
    def add(start: int) -> None:
        for i in range(start, start + 5):
            index.add([Entry(item_id=f"{i:02}")], draw_vectors(1, seed=i))

    writers = [threading.Thread(target=add, args=(start,)) for start in (0, 5, 10)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    assert [entry.item_id for entry in index.scan()] == [f"{i:02}" for i in range(15)]
    ids = [f"{i:02}" for i in range(15)]
    np.testing.assert_array_equal(
        index.vectors(ids), np.concatenate([draw_vectors(1, seed=i) for i in range(15)])
    )


def test_it_says_how_large_it_is_and_what_it_is(index: Store) -> None:
    filled(index, 200)
    size = index.size()
    assert size == 0 or size >= 200 * WIDTH * 4
    assert json.loads(json.dumps(dict(index.describe()))) == dict(index.describe())


def test_what_is_dropped_is_gone_and_the_others_stay(kind: Kind, tmp_path: Path) -> None:
    test = uuid.uuid4().hex[:8]
    for index in ("kept", "dropped"):
        with kind.open(tmp_path / index, f"{index}_{test}") as store:
            filled(store, 5)
    for _ in range(2):  # what is not there is passed over
        kind.drop(tmp_path / "dropped", f"dropped_{test}")
        shutil.rmtree(tmp_path / "dropped", ignore_errors=True)
    with kind.open(tmp_path / "dropped", f"dropped_{test}") as store:
        assert store.count() == 0
    if not kind.settings.get("url", "").startswith(":memory:"):
        with kind.open(tmp_path / "kept", f"kept_{test}") as store:
            assert [entry.item_id for entry in store.scan()] == sorted(e.item_id for e in make_entries(5))


def test_its_settings_have_defaults_and_are_frozen(kind: Kind) -> None:
    config = module_of(kind.name).Config()
    for one in fields(config):
        with pytest.raises(FrozenInstanceError):
            setattr(config, one.name, None)


def test_score_and_order_do_not_depend_on_the_batch(index: Store) -> None:
    """Copies of a vector have one score, wherever they stand and whoever else asks."""
    rows = unit(np.concatenate([draw_vectors(37), np.repeat(draw_vectors(1, seed=20), 6, axis=0)]))
    order = np.random.default_rng(1).permutation(43)
    index.add([Entry(item_id=f"{i:02}") for i in order], rows[order])
    query = unit(draw_vectors(1, seed=20) + 0.3 * draw_vectors(1, seed=21))
    (alone,) = index.search(query, 6)
    among = index.search(np.concatenate([draw_vectors(9, seed=22), query]), 6)[-1]
    assert [match.item_id for match in alone] == [f"{i:02}" for i in range(37, 43)]
    assert among == alone
