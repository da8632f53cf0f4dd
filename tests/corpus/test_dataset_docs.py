"""The counts on the page about published data sets are those of the real files."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pyarrow.compute as pc
import pytest
from dataset_tables import counts

from dragoman.corpus import BuildReport, ReadOptions, build_dataset

PAGE = Path(__file__).parents[2] / "docs" / "datasets.md"
DATA = Path(__file__).parents[3] / "shared" / "data" / "published_formats"
REAL = {
    "flickr8k-cn": "flickr8k_cn",
    "multi30k-task1": "multi30k",
    "multi30k-task2": "multi30k",
    "wit": "wit",
    "xflickrco": "xflickrco",
    "xtd10": "xtd10",
}
# What is said of the real files when all their languages are read.
NOTES = {
    "flickr8k-cn": [
        "caption of an image in no split left out, en: 460",
        "caption of an image in no split left out, zh: 455",
    ],
    "multi30k-task1": ["tab inside a caption read as a blank, de: 1 (2706743557)"],
    "multi30k-task2": ["tab inside a caption read as a blank, de: 1 (4820596540)"],
    "wit": [
        "empty caption left out, el: 1 (wit-test_6139)",
        "empty caption left out, id: 1 (wit-test_7639)",
        "test items with captions in all 11 languages: 0 of 6,192",
    ],
    "xflickrco": [
        "empty caption left out, de: 1 (COCO_val2014_000000122239)",
        "empty caption left out, id: 1 (6312211170)",
        "test items with captions in all 8 languages: 1,998 of 2,000",
        "test captions that repeat another, de: 6",
        "test captions that repeat another, ru: 3",
        "test captions that repeat another, tr: 3",
        "test captions that repeat another, zh: 1",
    ],
    "xtd10": ["test captions that repeat another, de: 3"],
}
# Captions and images of each language of WIT, as IGLUE counts them; two of the captions are empty.
WIT = {
    "ar": (890, 792), "bg": (860, 806), "da": (891, 814), "el": (570 - 1, 541), "en": (1000, 685),
    "et": (874, 780), "id": (901 - 1, 854), "ja": (1000, 842), "ko": (931, 889), "tr": (721, 681),
    "vi": (946, 869),
}  # fmt: skip


Built = Callable[[str, str | None], BuildReport]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Builds a data set from its real files, each once."""

    @functools.cache
    def build(name: str, test: str | None) -> BuildReport:
        out = tmp_path_factory.mktemp("real") / "out"
        return build_dataset(name, DATA / REAL[name], out, reading=ReadOptions(test=test))

    return build


OTHER_TESTS = [("multi30k-task1", test) for test in ("2017_flickr", "2017_mscoco", "2018_flickr")]


@pytest.mark.parametrize(("name", "test"), [*((name, None) for name in REAL), *OTHER_TESTS])
@pytest.mark.skipif(not DATA.is_dir(), reason=f"the published files are not at {DATA}")
def test_the_counts_are_those_of_the_real_files(name: str, test: str | None, built: Built) -> None:
    report = built(name, test)
    called = f"{name} --test {test}" if test else name
    page = PAGE.read_text(encoding="utf-8").splitlines()
    shown = [row for row in page if row.startswith(f"| `{called}` ")]
    assert shown == counts(name, report.corpus, test)
    assert report.rejected == 0
    # Published numbers of items are those of the real files, or a note would say otherwise.
    assert not [note for note in report.notes if "are published" in note]
    if test:
        return
    assert [line for line in NOTES[name] if not any(note.startswith(line) for note in report.notes)] == []


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the published files are not at {DATA}")
def test_wit_holds_as_many_images_and_captions_a_language_as_published(built: Built) -> None:
    captions = built("wit", None).corpus.captions
    found = captions.group_by("lang").aggregate([([], "count_all"), ("item_id", "count_distinct")])
    # The image of the empty Greek caption has no other; that of the empty Indonesian one neither.
    expected = {lang: (n, images - (lang in ("el", "id"))) for lang, (n, images) in WIT.items()}
    assert {r["lang"]: (r["count_all"], r["item_id_count_distinct"]) for r in found.to_pylist()} == expected


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the published files are not at {DATA}")
def test_languages_of_multi30k_pair_line_by_line(built: Built) -> None:
    captions = built("multi30k-task1", None).corpus.captions
    rows = captions.filter(pc.equal(captions["item_id"], "1007129816")).to_pylist()
    assert {r["lang"]: r["text"] for r in rows if r["lang"] != "fr"} == {
        "en": "A man in an orange hat starring at something.",
        "de": "Ein Mann mit einem orangefarbenen Hut, der etwas anstarrt.",
        "cs": "Muž v oranžovém klobouku na něco zírá.",
    }
