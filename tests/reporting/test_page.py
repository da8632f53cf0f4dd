"""The page: complete in itself, safe against what captions hold, readable from right to left."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from reporting_world import FakeModel, edit_captions, write_world

from dragoman.corpus.store import ITEMS, Corpus
from dragoman.reporting import evaluate
from dragoman.reporting.charts import interval_chart, recall_curves
from dragoman.reporting.thumbnails import Thumbnails

HOSTILE = "<script>alert('x')</script> \"quoted\" & </style>"


class Tags(HTMLParser):
    """Opened and closed tags, and all addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img", "br", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("page")
    write_world(place / "corpus")

    def hostile(rows: list[dict]) -> list[dict]:
        return [r | {"text": f"{r['text']} {HOSTILE} ولد يلعب"} if r["lang"] == "ar" else r for r in rows]

    edit_captions(place / "corpus", hostile)
    evaluate(FakeModel(), place / "corpus", languages=["pt", "en", "ar"], out=place / "report")
    return (place / "report" / "report.html").read_text(encoding="utf-8")


def test_the_page_is_well_formed_and_asks_for_nothing_from_elsewhere(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.addresses
    assert all(one.startswith("data:image/jpeg;base64,") for one in tags.addresses)
    assert "url(" not in page
    assert "@import" not in page
    assert {"script", "link", "iframe"}.isdisjoint(tags.seen)


def test_captions_are_text_and_never_markup(page: str) -> None:
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in page


def test_captions_run_in_their_own_direction(page: str) -> None:
    queries = re.findall(r"<p class='query'([^>]*)>", page)
    assert queries
    assert all("dir='auto'" in one for one in queries)


def test_the_summary_says_in_words_what_the_table_says(page: str) -> None:
    found = re.search(r"Of 46 captions, ([\d.]+)&nbsp;% bring up their own image first among 24", page)
    assert found is not None
    assert f"<td>{found[1]}<small>" in page
    assert "<h3>Portuguese</h3>" in page
    assert "both fused" in page


def test_an_item_without_file_gets_a_placeholder(page: str) -> None:
    assert "title='t01'><b>t01</b></span>" in page
    assert "title='t00'><img alt='t00' src='data:" in page


def test_both_charts_are_valid_svg(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) == 1 + 3
    for one in drawings:
        ElementTree.fromstring(one)


def test_the_curve_passes_through_the_recalls() -> None:
    drawing = recall_curves({"direct": np.array([1.0, 2.0, 5.0, 50.0])}, 100, "x")
    path = ElementTree.fromstring(drawing).find(".//path[@class='curve direct']")
    assert path is not None
    points = [tuple(map(float, p.split(","))) for p in path.attrib["d"].removeprefix("M").split(" L")]
    assert points[0] == (40.0, 24 + 196 * 0.75)  # a quarter of the queries rank first
    assert points[-1] == (330.0, 24.0)  # all are found in the whole gallery


def test_the_interval_chart_places_values_on_its_scale() -> None:
    drawing = ElementTree.fromstring(
        interval_chart({"pt": {"direct": (100.0, 50.0, 200.0)}}, {"pt": "<P>"}, 200.0)
    )
    dot, bar = drawing.find(".//circle"), drawing.find(".//line[@class='interval']")
    assert dot is not None
    assert bar is not None
    assert [float(dot.attrib["cx"]), float(bar.attrib["x1"]), float(bar.attrib["x2"])] == [
        550.0,
        370.0,
        910.0,
    ]


def thumbnails_of(folder: Path, paths: dict[str, str | None]) -> Thumbnails:
    rows = [{"item_id": i, "kind": "image", "path": p, "split": "test"} for i, p in paths.items()]
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(rows, schema=ITEMS), folder / "items.parquet")
    return Thumbnails(Corpus(folder, {}))


def test_a_thumbnail_is_a_small_upright_jpeg(tmp_path: Path) -> None:
    photo = Image.new("RGB", (800, 400), "red")
    exif = photo.getexif()
    exif[0x0112] = 6  # turned by a quarter
    photo.save(tmp_path / "a.jpg", exif=exif)
    uri = thumbnails_of(tmp_path, {"a": "a.jpg"}).of("a")
    assert uri is not None
    small = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert (small.format, small.size) == ("JPEG", (66, 132))


def test_what_cannot_be_read_has_no_thumbnail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (300, 300)).save(tmp_path / "bomb.png")
    (tmp_path / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 torn")
    paths = {
        "none": None,
        "away": "https://x.org/a.jpg",
        "gone": "gone.jpg",
        "torn": "torn.jpg",
        "bomb": "bomb.png",
    }
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 60_000)  # 300 x 300 warns, above twice that raises
    thumbnails = thumbnails_of(tmp_path, paths)
    assert {name: thumbnails.of(name) for name in paths} == dict.fromkeys(paths)


def test_transparency_becomes_white(tmp_path: Path) -> None:
    Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    uri = thumbnails_of(tmp_path, {"a": "clear.png"}).of("a")
    assert uri is not None
    small = Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))
    assert small.getpixel((5, 5)) == (255, 255, 255)
