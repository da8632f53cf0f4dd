"""The pages: complete in themselves, safe against what captions hold, readable from right to left."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from markupsafe import escape
from PIL import Image
from reporting_world import FakeModel, edit_captions, write_world

from dragoman.corpus.corpus import ITEMS, Corpus
from dragoman.pages import demo, trust
from dragoman.pages.benchmark import BenchmarkPage, SystemLine
from dragoman.pages.charts import histogram, interval_chart, recall_curves
from dragoman.pages.engine import label, render
from dragoman.pages.report import InlineThumbnails
from dragoman.pipelines.evaluate import evaluate
from dragoman.reports.examples import AskedCaption, Disagreement
from dragoman.reports.settings import EvaluationSettings
from dragoman.trust.calibration import GOOD

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
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("page")
    write_world(place / "corpus")

    def hostile(rows: list[dict]) -> list[dict]:
        return [r | {"text": f"{r['text']} {HOSTILE} ولد يلعب"} if r["lang"] == "ar" else r for r in rows]

    edit_captions(place / "corpus", hostile)
    evaluate(
        FakeModel(), place / "corpus", EvaluationSettings(languages=["pt", "en", "ar"]), out=place / "report"
    )
    return place


@pytest.fixture(scope="module")
def page(world: Path) -> str:
    return (world / "report" / "report.html").read_text(encoding="utf-8")


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
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in page


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


def drill_down(page: str) -> list[str]:
    return re.findall(r"<article class='example apart'>.*?</article>", page, flags=re.DOTALL)


def test_the_items_on_which_languages_disagree_most_come_first_with_their_ranks(world: Path) -> None:
    page = (world / "report" / "report.html").read_text(encoding="utf-8")
    lines = pq.read_table(world / "report" / "consistency.parquet").to_pylist()
    ranks: dict[str, dict[str, float]] = {}
    for x in lines:
        if (x["row"], x["direction"]) == ("direct", "text_to_image"):
            ranks.setdefault(x["item_id"], {})[x["language"]] = x["rank"]
    by_std = sorted(ranks, key=lambda item: (-np.std(list(ranks[item].values())), item))[:6]
    shown = drill_down(page)
    assert [re.findall(r"title='(t\d\d)'", one)[0] for one in shown] == by_std
    for item, one in zip(by_std, shown, strict=True):
        assert re.findall(r"class='at'>([\d.]+)<", one) == [
            f"{rank:g}" for rank in sorted(ranks[item].values())
        ]
        for name, language in [("Portuguese", "pt"), ("English", "en"), ("Arabic", "ar")]:
            back = next(
                x["rank"]
                for x in lines
                if (x["item_id"], x["language"], x["row"], x["direction"])
                == (item, language, "direct", "image_to_text")
            )
            assert f"{name} · image to text:&nbsp;{back:g}<" in one
            assert f"dir='auto' lang='{language}'" in one


def test_the_drill_down_escapes_what_captions_hold(page: str) -> None:
    shown = "".join(drill_down(page))
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &#34;quoted&#34; &amp; &lt;/style&gt;" in shown
    assert "&lt;b&gt;pt&lt;/b&gt;" in shown


def test_the_section_says_in_words_and_in_figures_how_far_languages_agree(world: Path) -> None:
    page = (world / "report" / "report.html").read_text(encoding="utf-8")
    block = json.loads((world / "report" / "report.json").read_text())["consistency"]["direct"]
    there = block["text_to_image"]
    assert f"of 23, the system ranks it {there['mrv_std']:.1f} places apart" in page
    assert "Asked in Portuguese, English and Arabic" in page
    assert f"two languages share {10 * there['overlap@10']:.1f} (by chance 4.3)" in page
    for name in ("mrv_std", "mrv_std_clipped", "mrv_std_log"):
        low, high = block["image_to_text"]["intervals"][name]
        assert f"<td>{block['image_to_text'][name]:.2f}<small>{low:.2f} – {high:.2f}</small></td>" in page
    worst = block["spread"]["mean_recall"]
    names = {"pt": "Portuguese", "en": "English", "ar": "Arabic"}
    assert f"<tr class='worst'><th scope='row'>{names[worst['min_language']]}</th>" in page
    assert f"Mean recall: lowest {worst['min']:.1f}, range {worst['range']:.1f}" in page
    assert "no consistency of fused: only pt has the row fused" in page


def test_without_pictures_the_drill_down_names_the_items(tmp_path: Path) -> None:
    write_world(tmp_path / "corpus")
    for path in (tmp_path / "corpus").glob("*.png"):
        path.unlink()
    evaluate(
        FakeModel(noise=1.4),
        tmp_path / "corpus",
        EvaluationSettings(languages=["pt", "en"]),
        out=tmp_path / "report",
    )
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "<img" not in page
    assert re.search(r"<span class='right' title='(t\d\d)'><b>\1</b>", "".join(drill_down(page)))


def test_languages_that_agree_everywhere_have_nothing_to_show(tmp_path: Path) -> None:
    write_world(tmp_path / "corpus")
    evaluate(
        FakeModel(noise=0),
        tmp_path / "corpus",
        EvaluationSettings(languages=["pt", "en"]),
        out=tmp_path / "report",
    )
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "Nowhere: every picture has the same rank in all languages." in page
    assert drill_down(page) == []


def test_one_language_alone_gets_the_reason_instead_of_figures(tmp_path: Path) -> None:
    write_world(tmp_path / "corpus")
    evaluate(FakeModel(), tmp_path / "corpus", EvaluationSettings(languages=["ar"]), out=tmp_path / "report")
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    assert "<li>no consistency: ar is the only language; ranks of two or more can be compared</li>" in page
    assert "Where languages disagree most" not in page


def test_of_many_languages_the_best_and_the_worst_are_shown(tmp_path: Path) -> None:
    asked = [
        AskedCaption(language=f"l{n}", text=f"caption {n}", rank=float(n), rank_back=1.0, first_id="a")
        for n in range(1, 12)
    ]
    one = Disagreement(item_id="a", std=3.0, gallery=20, asked=asked)
    names = {one.language: one.language for one in asked}
    thumbnails = thumbnails_of(tmp_path, {"a": None})
    shown = render("disagreement.html", one=one, names=names, thumbnails=thumbnails)
    assert re.findall(r"class='at'>(\d+)<", shown) == ["1", "2", "3", "4", "8", "9", "10", "11"]
    assert "3 more languages in between" in shown


def test_a_row_that_the_page_does_not_know_is_called_by_its_name() -> None:
    assert escape(label("re_ranked<")) == "re ranked&lt;"
    assert label("fused") == "both fused"


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


def test_the_histogram_is_as_tall_as_its_fullest_bin() -> None:
    drawing = ElementTree.fromstring(histogram(np.array([0.01, 0.97, 0.99, 1.0]), bins=10))
    bars = [(float(one.attrib["x"]), float(one.attrib["height"])) for one in drawing.findall(".//rect")]
    # Bins are 18 wide and drawn with a gap; one value against three.
    assert bars == [(1.1, 11.3), (163.1, 34.0)]
    assert ElementTree.fromstring(histogram(np.array([]))).findall(".//rect") == []


def require_safe(page: str, times: int) -> None:
    """Assert that a page is well formed, runs nothing, and shows the hostile text so many times."""
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert "script" not in tags.seen
    assert HOSTILE not in page
    assert page.count(str(escape(HOSTILE))) == times


def test_the_page_of_trust_escapes_texts_ids_and_engines(tmp_path: Path) -> None:
    texts = {name: [HOSTILE] for name in ("caption_id", "engine", "source", "text", "back", "failure")}
    table = pa.table({"lang": ["pt"], "trust": [0.25], **texts, **{name: [0.5] for name in GOOD}})
    page = trust.write_trust_page(tmp_path / "report.html", table).read_text(encoding="utf-8")
    # The engine stands in both tables as well.
    require_safe(page, times=8)
    assert "<b>0.250</b>" in page


def test_the_page_of_the_demonstration_escapes_queries_and_names(tmp_path: Path) -> None:
    place = tmp_path / "demo"
    place.mkdir()
    paths = {"a": "a.png", HOSTILE: "b.mp4"}
    corpus = corpus_of(tmp_path, dict(paths))
    example = demo.DemoExample(lang="pt", text=HOSTILE, item_id="a", found=["a", HOSTILE], rank=1)
    result = {"text_to_image": dict.fromkeys(("recall@1", "recall@5", "recall@10"), 12.34), "sum_r": 300.0}
    cells = [("pt", HOSTILE, "nrccr", result, (290.0, 310.04))]
    path = demo.write_demo_page(place / "report.html", cells, [HOSTILE], corpus, [example])
    page = path.read_text(encoding="utf-8")
    require_safe(page, times=4)
    assert "<td>12.3</td><td>12.3</td><td>12.3</td><td>300.0</td><td>290.0 to 310.0</td>" in page
    assert "<img src='../a.png' alt='a' class='right'>" in page
    assert "<video src='../b.mp4' title='" in page


def test_the_page_of_a_benchmark_escapes_names_and_says_what_is_missing(tmp_path: Path) -> None:
    ours = SystemLine(system=HOSTILE, values={"de": "2.0 ± 1.4"}, source="this run")
    theirs = SystemLine(system="UC2", values={"de": "3", "fr": "4"}, source=HOSTILE, otherwise="seeds: 1")
    tables = {"SumR": [ours, theirs], "AR": [ours]}
    BenchmarkPage(title=HOSTILE, about=[HOSTILE], tables=tables).write(tmp_path / "benchmark.html")
    page = (tmp_path / "benchmark.html").read_text(encoding="utf-8")
    require_safe(page, times=6)
    assert "<tr><td>UC2</td><td>3</td><td>4</td>" in page
    assert page.count("No published figure of this kind was verified") == 1


def corpus_of(folder: Path, paths: dict[str, str | None]) -> Corpus:
    rows = [{"item_id": i, "kind": "image", "path": p, "split": "test"} for i, p in paths.items()]
    pq.write_table(pa.Table.from_pylist(rows, schema=ITEMS), folder / "items.parquet")
    return Corpus(folder, {})


def thumbnails_of(folder: Path, paths: dict[str, str | None]) -> InlineThumbnails:
    return InlineThumbnails(corpus_of(folder, paths))


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
