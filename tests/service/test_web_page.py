"""The page in a real browser.

With DRAGOMAN_SCREENSHOTS=docs/images the pictures of the documentation are taken on the way.
"""

from __future__ import annotations

import base64
import csv
import io
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import chromium
import numpy as np
import pytest
from chromium import Page
from PIL import Image
from running import threaded
from shelf import make_shelf, open_shelf
from tiny_videos import save_slides, save_sound, save_video

from dragoman.folders import sole_writer
from dragoman.index.entries import moment_id
from dragoman.messages import catalogue
from dragoman.records import Entry
from dragoman.search.query import Query
from dragoman.service.access import KeyFile, new_key
from dragoman.service.house import House, read_house
from dragoman.stores import parse

pytestmark = pytest.mark.skipif(
    chromium.PROGRAM is None, reason="Chromium is missing; install it: sudo apt-get install chromium"
)
IDS = "[...document.querySelectorAll('#results li')].map((row) => row.item.item_id)"
# While a page is loaded anew it has no body for a moment.
QUIET = "document.body?.classList.contains('busy') === false && document.querySelector('#count')?.textContent"
PORTUGUESE = "três carros lilases na rua"
ARABIC = "سيارات أرجوانية صغيرة"
HOLD_THE_RED_ONE = """
const real = fetch;
window.held = 0;
window.fetch = async (...all) => {
  const answer = await real(all[0], {...all[1], signal: undefined});
  if ((all[1]?.body ?? "").includes("red")) {
    held += 1;
    await new Promise((done) => (window.release = done));
    held = 100;
  }
  return answer;
};
document.querySelector("#query").focus();
"""
PASTE = """(() => {
  const bytes = Uint8Array.from(atob("%s"), (letter) => letter.charCodeAt(0));
  const clip = new DataTransfer();
  clip.items.add(new File([bytes], "%s", {type: "%s"}));
  document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: clip, bubbles: true, cancelable: true}));
})()"""
KINDS = {".jpg": "image/jpeg", ".webm": "video/webm"}
PIXEL = """(() => {
  const drawn = document.createElement("canvas").getContext("2d");
  const shown = %s;
  drawn.canvas.width = shown.videoWidth;
  drawn.canvas.height = shown.videoHeight;
  drawn.drawImage(shown, 0, 0);
  return [...drawn.getImageData(%d, %d, 1, 1).data].slice(0, 3);
})()"""


@pytest.fixture(scope="module")
def url(shelf: Path) -> Iterator[str]:
    with threaded(shelf=shelf) as start:
        yield start()[0]


def keep(page: Page, name: str) -> None:
    """For the documentation, where that is asked for."""
    folder = os.environ.get("DRAGOMAN_SCREENSHOTS")
    if folder:
        shot = page.picture().convert("RGB")
        shot.quantize(200, dither=Image.Dither.NONE).save(Path(folder, f"page_{name}.png"), optimize=True)


def expected(shelf: Path, text: str, **more: object) -> list[str]:
    with open_shelf(shelf) as searcher:
        return [hit.entry.item_id for hit in searcher.search(Query(text=text, k=48, **more)).hits]  # type: ignore[arg-type]


def attach(page: Page, url: str, file: Path, way: str) -> None:
    """Open the page and give it a file to search by."""
    page.go(url)
    page.wait(QUIET)
    if way == "pick":
        page.choose_file("#file", file)
    elif way == "drop":
        page.drop_file(file)
    else:
        content = base64.b64encode(file.read_bytes()).decode()
        page.ask(PASTE % (content, file.name, KINDS[file.suffix]))


def answered(page: Page, ids: list[str]) -> None:
    """Wait until the page shows exactly these."""
    page.wait(f"{QUIET} && JSON.stringify({IDS}) === JSON.stringify({ids})")


def test_typing_portuguese_shows_pictures_as_one_types(page: Page, url: str, shelf: Path) -> None:
    page.go(url)
    assert page.ask("document.querySelector('#heading').textContent") == "From the collection"
    page.press("/")
    page.type(PORTUGUESE)
    answered(page, expected(shelf, PORTUGUESE))
    assert page.ask("document.querySelector('#lang').selectedOptions[0].text") == "Detected: Portuguese"
    first = page.ask(
        "(({lang, dir, textContent}) => [lang, dir, textContent])"
        "(document.querySelector('#results .caption'))"
    )
    assert first == ["pt", "auto", "Uma foto de três carros lilases no centro na rua"]
    assert page.ask("document.querySelector('#results img').alt") == first[2]
    assert page.ask("document.querySelector('#count').textContent") == "Results: 36"
    assert page.ask("new URLSearchParams(location.search).get('q')") == PORTUGUESE
    keep(page, "search")
    page.send("Page.reload")
    answered(page, expected(shelf, PORTUGUESE))
    assert page.ask("document.querySelector('#query').value") == PORTUGUESE
    assert page.failures == []


def test_a_page_in_arabic_runs_from_right_to_left_and_warns_of_the_language(
    page: Page, url: str, shelf: Path
) -> None:
    page.look(1200, 820, language="ar-EG")
    page.go(url)
    page.click("#query")
    page.type(ARABIC)
    answered(page, expected(shelf, ARABIC))
    assert page.ask("[document.documentElement.dir, document.documentElement.lang]") == ["rtl", "ar"]
    assert page.ask("getComputedStyle(document.querySelector('#query')).direction") == "rtl"
    assert page.ask("document.querySelector('#results .caption').lang") == "ar"
    assert page.ask("[...document.querySelectorAll('#notice p')].map((one) => one.textContent)") == [
        catalogue("ar")["service"]["language_untrained"].format(
            language="العربية", languages="الإنجليزية, الإسبانية, البرتغالية, الصينية"
        )
    ]
    lefts = "[...document.querySelectorAll('#results li')].slice(0, 2).map((row) => row.offsetLeft)"
    right, left = page.ask(lefts)
    assert right > left
    keep(page, "arabic")
    page.press("ArrowDown", "ArrowLeft")
    assert page.ask("document.activeElement.closest('li').item.item_id") == expected(shelf, ARABIC)[1]


def test_nothing_is_looked_for_while_an_input_method_composes(page: Page, url: str, shelf: Path) -> None:
    page.go(url)
    page.wait(QUIET)
    page.ask(
        "window.asked = []; const real = fetch; window.fetch = (...all) => "
        "{ asked.push(all[1]?.body ?? ''); return real(...all); }; document.querySelector('#query').focus()"
    )
    page.compose("q", "qi", "qiche", "汽车")
    page.ask("new Promise((done) => setTimeout(done, 600))")
    assert page.ask("asked") == []
    page.commit("汽车")
    answered(page, expected(shelf, "汽车"))
    assert page.ask("asked.map((body) => JSON.parse(body).text)") == ["汽车"]


def test_only_the_last_answer_is_shown(page: Page, url: str, shelf: Path) -> None:
    page.go(url)
    page.wait(QUIET)
    # The first answer is held back until the second has come.
    page.ask(HOLD_THE_RED_ONE)
    page.type("red")
    page.wait("held === 1")
    page.ask("document.querySelector('#query').select()")
    page.type("snow")
    answered(page, expected(shelf, "snow"))
    page.ask("release()")
    page.wait("held === 100")
    page.ask("new Promise((done) => setTimeout(done, 100))")
    assert page.ask(IDS) == expected(shelf, "snow")


@pytest.mark.parametrize("way", ["pick", "drop", "paste"])
def test_searching_by_a_photo_and_then_by_photo_and_words(
    page: Page, url: str, shelf: Path, way: str
) -> None:
    photo = shelf.parent / "photos" / "011.jpg"
    attach(page, url, photo, way)
    answered(page, expected(shelf, "", image=photo))
    assert page.ask(f"{IDS}[0]") == "011.jpg"
    page.click("#query")
    page.type("apple")
    answered(page, expected(shelf, "apple", image=photo))
    keep(page, "photo") if way == "drop" else None
    page.click("#detach")
    answered(page, expected(shelf, "apple"))


@pytest.mark.parametrize("way", ["pick", "drop", "paste"])
def test_searching_by_a_video_and_then_by_video_and_words(
    page: Page, url: str, shelf: Path, tmp_path: Path, way: str
) -> None:
    photo = shelf.parent / "photos" / "011.jpg"
    clip = save_slides(tmp_path / "a clip.webm", [photo, photo])
    attach(page, url, clip, way)
    answered(page, expected(shelf, "", video=clip))
    assert page.ask(f"{IDS}[0]") == "011.jpg"
    # Its first frame is shown, and nothing is heard.
    preview = "document.querySelector('#attached video')"
    page.wait(f"{preview}.readyState >= 2")
    assert page.ask(f"[{preview}.muted, {preview}.paused, {preview}.getAttribute('aria-label')]") == [
        True,
        True,
        "a clip.webm",
    ]
    assert page.ask(f"[{preview}.hidden, {preview}.previousElementSibling.hidden]") == [False, True]
    with Image.open(photo) as opened:
        wanted = opened.convert("RGB").getpixel((96, 30))
    assert np.abs(np.subtract(page.ask(PIXEL % (preview, 96, 30)), wanted)).max() < 40
    page.click("#query")
    page.type("apple")
    answered(page, expected(shelf, "apple", video=clip))
    keep(page, "video") if way == "drop" else None
    # A photo takes its place, and either can be taken away.
    page.choose_file("#file", photo)
    answered(page, expected(shelf, "apple", image=photo))
    assert page.ask(f"[{preview}.hidden, {preview}.hasAttribute('src')]") == [True, False]
    page.choose_file("#file", clip)
    answered(page, expected(shelf, "apple", video=clip))
    page.click("#detach")
    answered(page, expected(shelf, "apple"))
    assert page.ask("document.querySelector('#attached').hidden")
    assert page.failures == []


def test_a_file_to_search_by_that_is_none_is_refused(
    page: Page, url: str, shelf: Path, tmp_path: Path
) -> None:
    page.go(url)
    page.wait(QUIET)
    (tmp_path / "a.txt").write_text("words")
    page.choose_file("#file", tmp_path / "a.txt")
    page.wait("!document.querySelector('#notice').hidden")
    told = "document.querySelector('#notice').textContent"
    assert page.ask(told) == "This file is neither a picture nor a video."
    page.choose_file("#file", save_sound(tmp_path / "a.mp3").rename(tmp_path / "sound.mp4"))
    page.wait("!document.querySelector('#failure').hidden")
    told = "document.querySelector('#failure').textContent"
    assert page.ask(told) == "The video cannot be used: it has no video stream, only sound.Try again"
    page.click("#detach")
    page.wait("document.querySelector('#failure').hidden")


def test_more_like_this_and_back(page: Page, url: str, shelf: Path) -> None:
    page.go(f"{url}?q=green")
    answered(page, expected(shelf, "green"))
    first = expected(shelf, "green")[0]
    page.click("#results .like")
    answered(page, expected(shelf, "", item_id=first))
    heading = page.ask("document.querySelector('#heading').textContent")
    assert heading == "More like “There are some big books.”"
    assert page.ask("document.title") == f"{heading} – Dragoman"
    page.ask("history.back()")
    answered(page, expected(shelf, "green"))
    assert page.ask("document.title") == "Results for “green” – Dragoman"


def test_filters_come_from_the_metadata_and_combine(page: Page, url: str, shelf: Path) -> None:
    page.go(f"{url}?q=car")
    page.wait(QUIET)
    page.click("#toggle")
    legends = page.ask("[...document.querySelectorAll('#filters legend')].map((one) => one.textContent)")
    assert legends == ["colour", "ground", "loan", "thing", "year"]
    page.ask(
        "[...document.querySelectorAll('#filters label')].find((l) => l.textContent.startsWith('beach'))"
        ".querySelector('input').click()"
    )
    answered(page, expected(shelf, "car", filter="ground=beach"))
    page.ask("document.querySelector('#filters .ends input').focus()")
    page.type("2000")
    answered(page, expected(shelf, "car", filter="ground=beach and year>=2000"))
    # Each filter is one step of the Back button, however many digits it has.
    page.ask("history.back()")
    answered(page, expected(shelf, "car", filter="ground=beach"))
    page.ask("history.back()")
    answered(page, expected(shelf, "car"))
    assert page.ask("document.querySelectorAll('#filters input:checked').length") == 0
    page.ask("history.go(2)")
    answered(page, expected(shelf, "car", filter="ground=beach and year>=2000"))
    assert page.ask("document.querySelector('#active').textContent") == "2"
    page.ask("scrollTo(0, 0)")
    keep(page, "filters")
    page.ask("document.querySelector('#filters .ends input').focus()")
    page.type("99")
    page.wait("!document.querySelector('#empty').hidden")
    assert page.ask("document.querySelector('#empty p').textContent") == "Nothing passes these filters."
    page.click("#empty button")
    answered(page, expected(shelf, "car"))


def test_an_error_is_told_and_can_be_tried_again(page: Page, shelf: Path) -> None:
    with threaded(shelf=shelf) as start:
        address, stop = start()
        page.go(f"{address}?f.year=%7B%22least%22:1e999%7D&f.none=not+json")
        page.wait(QUIET)
        assert page.ask("document.querySelector('#failure').hidden")
        stop()
        page.ask("document.querySelector('#query').focus()")
        page.type("boat")
        page.wait("!document.querySelector('#failure').hidden")
        told = page.ask("document.querySelector('#failure').textContent")
        assert told == "The service cannot be reached.Try again"
        assert page.ask("document.querySelector('#failure').getAttribute('role')") == "alert"


@pytest.mark.parametrize(
    ("language", "told"),
    [("en", "The index holds no item 'nowhere.jpg'."), ("pt-PT", "A coleção não tem o item 'nowhere.jpg'.")],
)
def test_an_error_of_the_service_is_told_in_the_language_of_the_page(
    page: Page, url: str, language: str, told: str
) -> None:
    page.look(1200, 820, language=language)
    page.go(url)
    page.wait(QUIET)
    assert page.ask("document.querySelectorAll('#results .hit').length") == 36
    page.ask("history.pushState(null, '', '?like=nowhere.jpg'); dispatchEvent(new PopStateEvent('popstate'))")
    page.wait("!document.querySelector('#failure').hidden")
    assert told in page.ask("document.querySelector('#failure').textContent")
    # Pictures of the search before would pass for its answer.
    assert page.ask("document.querySelectorAll('#results li').length") == 0


def test_the_keyboard_does_everything(page: Page, url: str, shelf: Path) -> None:
    page.go(url)
    page.press("/")
    page.type("tree")
    found = expected(shelf, "tree")
    answered(page, found)
    columns = page.ask(
        "(() => { const rows = [...document.querySelectorAll('#results li')];"
        " return rows.filter((row) => row.offsetTop === rows[0].offsetTop).length; })()"
    )
    here = "document.activeElement.closest('li')?.item.item_id"
    page.press("ArrowDown", "ArrowRight")
    assert page.ask(here) == found[1]
    page.press("ArrowDown")
    assert page.ask(here) == found[1 + columns]
    page.press("End")
    assert page.ask(here) == found[-1]
    page.press("Home", "Enter")
    page.wait("document.querySelector('#detail').open && document.querySelector('#detail img').complete")
    assert page.ask("document.querySelectorAll('#detail .captions dt').length") == 4
    keep(page, "detail")
    page.press("Escape")
    page.wait("!document.querySelector('#detail').open")
    assert page.ask(here) == found[0]
    page.press("m")
    answered(page, expected(shelf, "", item_id=found[0]))
    page.press("ArrowDown", "Escape")
    assert page.ask("document.activeElement.id") == "query"


def test_a_screen_reader_finds_names_and_roles(page: Page, url: str) -> None:
    page.go(f"{url}?q=boat")
    page.wait(QUIET)
    page.wait("document.querySelectorAll('#results img.there').length > 3")
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    named = {(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n.get("ignored")}
    roles = {role for role, _ in named}
    assert ("searchbox", "What to look for") in named
    assert ("button", "Search by a photo or a video") in named
    assert {"search", "main", "status", "list", "listitem"} <= roles
    captions = page.ask("[...document.querySelectorAll('#results img')].slice(0, 4).map((i) => i.alt)")
    assert {("link", caption) for caption in captions} <= named
    assert {("link", f"More like this: {caption}") for caption in captions} <= named
    assert ("heading", "Results for “boat”") in named
    assert [
        name for role, name in named if role in ("button", "link", "image", "combobox") and not name
    ] == []


@pytest.mark.parametrize("dark", [False, True])
def test_a_narrow_screen_needs_no_scrolling_sideways(page: Page, url: str, dark: bool) -> None:
    page.look(360, 740, dark=dark, language="es-MX" if dark else "pt-PT")
    page.go(f"{url}?q=casa")
    page.wait(QUIET)
    page.click("#toggle")
    assert page.ask("document.documentElement.scrollWidth") == 360
    page.click("#toggle")
    page.ask("scrollTo(0, 0)")
    tops = page.ask("[...document.querySelectorAll('#results li')].slice(0, 3).map((row) => row.offsetTop)")
    assert tops[0] == tops[1] < tops[2]
    red, green, blue = page.picture().convert("RGB").getpixel((2, 300))  # type: ignore[misc]
    assert (max(red, green, blue) < 60) is dark
    keep(page, "narrow_dark" if dark else "narrow")


def test_a_page_behind_a_key_asks_for_it_and_then_shows_pictures(
    page: Page, tmp_path: Path, shelf: Path
) -> None:
    key = new_key(tmp_path / "keys.txt")
    with threaded(shelf=shelf) as start:
        address, _ = start(keys=KeyFile(tmp_path / "keys.txt"))
        page.go(address)
        page.wait("document.querySelector('#asking').open")
        page.type("wrong")
        page.press("Enter")
        page.wait("document.querySelector('#asking p').textContent === 'This key does not fit.'")
        page.type(key)
        page.press("Enter")
        page.wait("document.querySelectorAll('#results img.there').length > 3")
        assert page.ask("document.querySelector('#results img').src.startsWith('blob:')")
        assert page.ask("document.querySelector('#asking').open") is False


def test_two_collections_can_be_chosen_between(page: Page, shelf: Path, tmp_path: Path) -> None:
    small = make_shelf(tmp_path / "small", items=12)
    with threaded(shelf=shelf, **{"small one": small}) as start:
        address, _ = start()
        page.go(f"{address}?q=car")
        answered(page, expected(shelf, "car"))
        page.ask(
            "(() => { const s = document.querySelector('#collection'); s.value = 'small one';"
            " s.dispatchEvent(new Event('change')); })()"
        )
        answered(page, expected(small, "car"))
        assert page.ask("new URLSearchParams(location.search).get('c')") == "small one"


def test_a_moment_of_a_video_is_played_from_its_beginning(page: Page, own_shelf: Path) -> None:
    film = own_shelf.parent / "photos" / "film.webm"
    save_video(film, ["red"] * 20 + ["green"] * 20)
    with open_shelf(own_shelf) as searcher:
        (vector,) = searcher.encode_text(["film"])
        moment = Entry(
            item_id=moment_id("film.webm", 2, 4),
            kind="video",
            path="film.webm",
            metadata={"start": 2.0, "end": 4.0},
            captions={"en": "a green film"},
            more_captions={"en": ("it was red before",)},
            source="digest",
        )
        searcher.store.add([moment], vector[None])
        times = {"start": 3723.0, "end": 36061.5}
        silent: dict[str, Any] = {"captions": {}, "more_captions": {}}
        late = replace(moment, item_id=moment_id("late.webm", 3723, 36061.5), metadata=times, **silent)
        # A whole video may have such metadata of its own.
        whole = replace(moment, item_id="whole.webm", **silent)
        searcher.store.add([late, whole], np.stack([vector, vector]))
    with threaded(shelf=own_shelf) as start:
        page.go(start()[0])
        page.press("/")
        page.type("film")
        page.wait("document.querySelector('#results li')?.item.item_id === 'film.webm#t=2.00,4.00'")
        assert page.ask("document.querySelector('#results .time').textContent") == "0:02\u20130:04"
        shown = "Object.fromEntries([...document.querySelectorAll('#results li')].map(li => [li.item.item_id,"
        shown += " li.querySelector('.time')?.textContent ?? null]))"
        times_of = page.ask(shown)
        assert times_of["late.webm#t=3723.00,36061.50"] == "1:02:03\u201310:01:01"
        assert times_of["whole.webm"] is None
        page.wait("document.querySelector('#results img').naturalWidth === 64")
        green = (
            "(() => { const c = document.createElement('canvas').getContext('2d');"
            "c.drawImage(document.querySelector('#results img'), 0, 0);"
            "return [...c.getImageData(9, 9, 1, 1).data] })()"
        )
        red, lime, blue, _ = page.ask(green)
        assert red < 60 and lime > 150 and blue < 60
        page.ask("document.querySelector('#results .hit').click()")
        page.wait("document.querySelector('#detail video')?.readyState > 0")
        assert page.ask("document.querySelector('#detail video').src").endswith("#t=2,4")
        further = "[...document.querySelectorAll('#detail .captions dd')].map((one) => one.textContent)"
        assert page.ask(further) == ["it was red before"]
        page.wait("Math.abs(document.querySelector('#detail video').currentTime - 2) < 0.2")


AXE = (resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
VIOLATIONS = """axe.run(document, {resultTypes: ["violations"]}).then(
  (found) => found.violations.map((one) => [one.id, one.nodes[0].html]))"""


@pytest.mark.parametrize(
    ("language", "width", "dark", "query", "then"),
    [
        ("en", 1200, False, "", ""),
        ("pt", 1200, True, "?q=casa", "document.querySelector('#toggle').click()"),
        ("ar", 360, False, f"?q={ARABIC}", ""),
        ("cs", 1200, False, "?item=003.jpg", ""),
        ("de", 360, True, "?q=boat&item=003.jpg", ""),
        ("en", 1200, False, "?f.year=%7B%22least%22:3000%7D", ""),
    ],
)
def test_axe_finds_nothing_best_practice_included(
    page: Page, url: str, language: str, width: int, dark: bool, query: str, then: str
) -> None:
    page.look(width, 820, dark=dark, language=language)
    page.go(f"{url}{query}")
    page.wait(QUIET)
    if "item=" in query:
        page.wait("document.querySelector('#detail img')?.complete")
    page.ask(f"{then}; 0" if then else "0")
    page.ask(f"{AXE}; 0")
    assert page.ask(VIOLATIONS) == []


SHIFTS = """
window.shifts = 0;
new PerformanceObserver((seen) => {
  for (const one of seen.getEntries()) if (!one.hadRecentInput) shifts += one.value;
}).observe({type: "layout-shift", buffered: true});
window.counts = [];
addEventListener("DOMContentLoaded", () => {
  const count = document.querySelector("#count");
  new MutationObserver(() => counts.push(count.textContent)).observe(count, {childList: true});
});
"""


JUDGE = """
const real = fetch;
window.answers = [];
window.fetch = async (...all) => {
  const answer = await real(...all);
  if (!String(all[0]).includes("v1/search")) return answer;
  const told = {...(await answer.json()), ...%s[Math.min(answers.length, 1)]};
  answers.push(told);
  return new Response(JSON.stringify(told));
};
document.querySelector("#query").focus();
"""


def test_reasons_for_no_percentages_are_told_and_late_translations_come_after(page: Page, url: str) -> None:
    page.look(1200, 820, language="cs")
    page.go(url)
    page.wait(QUIET)
    late = {"channel": {"name": "direct", "best": "fused", "translation": None}, "unjudged": "unknown_words"}
    come = {"channel": {"name": "fused", "best": "fused", "translation": "a dog"}, "unjudged": None}
    page.ask(JUDGE % json.dumps([late, come]))
    page.type("pes")
    told = "[...document.querySelectorAll('#notice p')].map((one) => one.textContent)"
    reason = catalogue("cs")["page"]["unknown_words"]
    page.wait(f"{told}.includes({json.dumps(reason)}) && document.querySelector('#asked').hidden")
    assert page.ask("document.querySelector('#results .score').textContent") == ""
    page.wait("answers.length === 2 && !document.querySelector('#asked').hidden")
    said = catalogue("cs")["page"]["asked_as"].format(text="a dog")
    assert page.ask("document.querySelector('#asked').textContent") == said
    assert reason not in page.ask(told)
    assert page.ask(f"{IDS}.length") == 36
    assert page.failures == []


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_jumps_on_a_slow_network_and_the_wait_is_told(page: Page, url: str, width: int) -> None:
    page.look(width, 820)
    page.send("Network.enable")
    page.send("Page.addScriptToEvaluateOnNewDocument", source=SHIFTS)
    page.send(
        "Network.emulateNetworkConditions",
        offline=False,
        latency=800,  # twice as long as a wait that is not told
        downloadThroughput=200_000,
        uploadThroughput=100_000,
    )
    page.send("Page.navigate", url=url)
    blank = "document.querySelectorAll('#results .blank').length === 12"
    said = "document.querySelector('#heading').textContent === 'Loading …'"
    runs = "parseFloat(getComputedStyle(document.querySelector('.progress'), '::before').width) > 100"
    page.wait(f"{blank} && {said} && document.body.classList.contains('busy') && {runs}")
    page.wait("document.querySelectorAll('#results img.there').length > 5")
    page.wait(QUIET)
    page.ask("document.querySelector('#query').focus()")
    page.type("koira juoksee")
    page.wait("!document.querySelector('#notice').hidden")
    page.wait("document.querySelectorAll('#results img.there').length > 5")
    assert page.ask("counts.includes('Loading …') && counts.includes('Searching …')")
    assert page.ask("shifts") < 0.1


def test_the_first_load_is_small_and_thumbnails_come_by_need(page: Page, url: str) -> None:
    page.look(1200, 600)
    page.go(url)
    page.wait("document.querySelectorAll('#results img.there').length > 3")
    sent = dict(
        page.ask("performance.getEntriesByType('resource').map((one) => [one.name, one.encodedBodySize])")
    )
    sent[url] = page.ask("performance.getEntriesByType('navigation')[0].encodedBodySize")
    texts = {name: size for name, size in sent.items() if "/thumbnail" not in name and "/media" not in name}
    assert len(texts) > 8 and all(
        0 < size < 12_000 or name.endswith("house.css") for name, size in texts.items()
    )
    assert sum(texts.values()) < 60_000
    sizes = page.ask("[...document.images].filter((one) => one.id !== '').length")
    assert sizes == 0
    assert page.ask("[...document.querySelectorAll('#results img')].every((one) => one.width && one.loading)")


@pytest.mark.parametrize(
    "asked", ["", "?q=car", "?f.ground=%7B%22values%22:%5B%22beach%22,%22room%22%5D%7D&q=car"]
)
def test_more_is_shown_until_the_end_of_the_collection(page: Page, shelf: Path, asked: str) -> None:
    chosen = "ground in (beach, room)" if "f." in asked else None
    with open_shelf(shelf) as searcher:
        wanted = searcher.store.count(parse(chosen) if chosen else None)
    with threaded(shelf=shelf) as start:
        address, _ = start(limits={"max_k": 7})
        page.go(f"{address}{asked}")
        page.wait(QUIET)
        assert page.ask("document.querySelector('#count').textContent") == f"Results: 7 of {wanted}"
        count = 7
        while count < wanted:
            page.click("#more")
            count = min(count + 7, wanted)
            page.wait(f"{QUIET} && {IDS}.length === {count}")
        found = page.ask(IDS)
        assert page.ask("document.querySelector('#more').hidden")
        assert page.ask("document.querySelector('#count').textContent") == f"Results: {wanted}"
        # The focus does not fall back to the beginning when the button goes away.
        assert page.ask("document.activeElement.closest('li').item.item_id") == found[-((wanted - 1) % 7 + 1)]
    with open_shelf(shelf) as searcher:
        if "q=" in asked:
            best = searcher.search(Query(text="car", k=48, filter=chosen)).hits
            assert found == [hit.entry.item_id for hit in best]
        else:
            assert found == [entry.item_id for entry in searcher.store.scan()]


def test_a_picture_has_an_address_and_neighbours_and_back_closes_it(
    page: Page, url: str, shelf: Path
) -> None:
    found = expected(shelf, "tree")
    with open_shelf(shelf) as searcher:
        captions = [entry.captions["en"] for entry in searcher.store.get(found[:2]) if entry]
    page.go(f"{url}?q=tree")
    answered(page, found)
    page.click("#results .hit")
    page.wait("document.querySelector('#detail').open")
    shown = (
        "[document.querySelector('#detail h2').textContent, document.title,"
        " document.querySelector('#place').textContent]"
    )
    assert page.ask(shown) == [captions[0], f"{captions[0]} – Dragoman", "1 of 36"]
    assert page.ask("document.querySelector('#previous').disabled")
    page.click("#next")
    assert page.ask(shown) == [captions[1], f"{captions[1]} – Dragoman", "2 of 36"]
    assert page.ask("new URLSearchParams(location.search).get('item')") == found[1]
    page.press("ArrowLeft")
    assert page.ask(shown)[0] == captions[0]
    page.press("ArrowRight")
    address = page.ask("location.href")
    page.ask("history.back()")
    page.wait("!document.querySelector('#detail').open")
    assert page.ask(IDS) == found
    assert page.ask("location.search") == "?q=tree"
    # By its address it opens anywhere; closing it leaves the search.
    page.go(address)
    page.wait("document.querySelector('#detail').open")
    assert page.ask(shown)[0] == captions[1]
    page.press("Escape")
    page.wait("!document.querySelector('#detail').open && location.search === '?q=tree'")
    assert page.ask("document.title") == "Results for “tree” – Dragoman"


def test_captions_of_machines_are_told_and_files_stand_in_for_captions(page: Page, own_shelf: Path) -> None:
    with open_shelf(own_shelf) as searcher:
        one, other = (entry for entry in searcher.store.get(["001.jpg", "002.jpg"]) if entry)
        told = {"metadata": {"split": "train", "year": 1950}, "more_captions": {}}
        captions = {"en": "a human caption", "pt": "uma legenda da máquina"}
        searcher.store.update([replace(one, captions=captions, machine=frozenset({"pt"}), **told)])  # type: ignore[arg-type]
        searcher.store.add(
            [replace(other, item_id="box/lost.jpg", captions={}, **told)], searcher.store.vectors(["002.jpg"])
        )  # type: ignore[arg-type]
    tile = "[...document.querySelectorAll('#results li')].find((row) => row.item.item_id === '%s')"
    with threaded(shelf=own_shelf) as start:
        page.look(1200, 820, language="pt-PT")
        for captions_of, caption, label in [
            ("reader", "uma legenda da máquina", "Traduzido por máquina"),
            ("human", "a human caption", None),
        ]:
            address, _ = start(house=House(captions=captions_of))  # type: ignore[arg-type]
            page.go(address)
            page.wait(QUIET)
            where = tile % "001.jpg"
            assert page.ask(f"{where}.querySelector('.caption').textContent") == caption
            assert page.ask(f"{where}.querySelector('.machine')?.textContent ?? null") == label
            assert page.ask(f"{tile % 'box/lost.jpg'}.querySelector('.caption').textContent") == "lost.jpg"
            page.ask(f"{where}.querySelector('.hit').click()")
            page.wait("document.querySelector('#detail').open")
            said = page.ask("document.querySelector('#detail').innerText")
            assert "Traduzido por máquina" in said and "1950" in said and "train" not in said
        page.press("Escape")
        page.click("#toggle")
        legends = page.ask("[...document.querySelectorAll('#filters legend')].map((one) => one.textContent)")
        assert "year" in legends and "split" not in legends


def test_the_language_of_the_page_is_switched_and_kept(page: Page, url: str, shelf: Path) -> None:
    page.look(1200, 820, language="en-GB")
    page.go(f"{url}?q=casa&ui=es")
    page.wait(QUIET)
    assert page.ask("[document.documentElement.lang, document.querySelector('#more').textContent]") == [
        "es",
        "Mostrar más",
    ]
    page.ask(
        "(() => { const s = document.querySelector('#page-language'); s.value = 'pt-BR';"
        " s.dispatchEvent(new Event('change')); })()"
    )
    page.wait("document.documentElement?.lang === 'pt-BR'")
    page.wait(QUIET)
    assert page.ask(
        "[document.querySelector('#query').value, document.querySelector('#query').placeholder]"
    ) == [
        "casa",
        "Busque em qualquer idioma",
    ]
    assert page.ask(IDS) == expected(shelf, "casa")
    page.go(url)
    assert page.ask("document.documentElement.lang") == "pt-BR"
    page.ask("document.cookie = 'dragoman_language=; max-age=0; path=/'")


def test_results_are_saved_as_a_table(page: Page, url: str, shelf: Path) -> None:
    page.go(f"{url}?q=three+cars")
    page.wait(QUIET)
    page.ask(
        "window.saved = null; const made = URL.createObjectURL; let table;"
        "URL.createObjectURL = (blob) => made.call(URL, (table = blob));"
        "HTMLAnchorElement.prototype.click = async function () {"
        " saved = [this.download, await table.text()]; }"
    )
    page.click("#table")
    name, text = page.wait("saved")
    assert name == "three-cars.csv"
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert [row["item_id"] for row in rows] == expected(shelf, "three cars")


def test_a_house_is_shown_on_its_page(page: Page, shelf: Path, tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 30 10"/>')
    (tmp_path / "house.toml").write_text(
        'name = "Museu <da> Pesca"\nlogo = "logo.svg"\naccent = "#7a2230"\ncontact = "a@museu.example"\n'
        'terms = "https://museu.example/t"\n[licence]\npt = "CC BY, Museu"\nen = "CC BY, museum"\n',
        encoding="utf-8",
    )
    with threaded(shelf=shelf) as start:
        address, _ = start(house=read_house(tmp_path / "house.toml"))
        page.look(1200, 820, language="pt-BR")
        page.go(f"{address}?q=casa")
        page.wait(QUIET)
        assert page.ask("document.title") == "Resultados para “casa” – Museu <da> Pesca"
        assert page.ask("document.querySelector('.mark').innerText.trim()") == "Museu <da> Pesca"
        assert page.ask("(({width, height}) => [width, height])(document.querySelector('.mark img'))") == [
            115,
            38,
        ]
        links = page.ask(
            "[...document.querySelectorAll('.house a')].map((one) => [one.textContent, one.href])"
        )
        assert links == [
            ["Termos de uso", "https://museu.example/t"],
            ["Contato", "mailto:a@museu.example"],
        ]
        assert page.ask("document.querySelector('.house span').textContent") == "CC BY, Museu"
        assert (
            page.ask("getComputedStyle(document.querySelector('.go')).backgroundColor") == "rgb(122, 34, 48)"
        )
        assert page.failures == []


def machine_wrote(index: Path, item_id: str, text: str) -> None:
    """Let the Portuguese caption of an item be a machine's."""
    with open_shelf(index) as searcher:
        (entry,) = searcher.store.get([item_id])
        assert entry is not None
        captions = {**entry.captions, "pt": text}
        searcher.store.update([replace(entry, captions=captions, machine=frozenset({"pt"}))])


CORRECT = ".correction button, .captions button"
BUTTONS = f"[...document.querySelectorAll({CORRECT!r})].map((one) => one.ariaLabel)"


def test_a_translation_is_corrected_by_keyboard_and_taken_back(
    page: Page, own_shelf: Path, tmp_path: Path
) -> None:
    machine_wrote(own_shelf, "003.jpg", "um carro vermelha")
    key = new_key(tmp_path / "keys.txt")
    with threaded(shelf=own_shelf) as start:
        address, _ = start(keys=KeyFile(tmp_path / "keys.txt"), public_search=True)
        page.look(1200, 820, language="pt")
        # Visitors correct nothing.
        page.go(f"{address}?item=003.jpg")
        page.wait("document.querySelector('#detail').open")
        assert page.ask("document.querySelector('#detail h2').textContent") == "um carro vermelha"
        page.wait("document.querySelector('#detail img')?.complete")
        assert page.ask(BUTTONS) == []
        page.go(f"{address}?key&item=003.jpg")
        page.wait("document.querySelector('#asking').open")
        page.type(key)
        page.press("Enter")
        page.wait("document.querySelector('#detail').open")
        page.wait(f"{BUTTONS}.length")
        assert page.ask(BUTTONS) == ["Corrigir esta tradução (português)"]

        page.ask(f"document.querySelector({CORRECT!r}).focus(); 0")
        page.press("Enter")
        page.wait("document.activeElement.matches('textarea')")
        assert page.ask("document.activeElement.labels[0].innerText.trim()") == "Legenda em português"
        page.ask(f"{AXE}; 0")
        assert page.ask(VIOLATIONS) == []
        keep(page, "correct")
        # Escape leaves the form, not the picture; arrows move in the text.
        page.press("ArrowRight", "Escape")
        assert page.ask("document.querySelector('#detail').open && document.activeElement.ariaLabel") == (
            "Corrigir esta tradução (português)"
        )
        page.press("Enter")
        page.wait("document.activeElement.matches('textarea')")
        page.ask("document.activeElement.select(); 0")
        page.type("um carro vermelho")
        page.ask("document.querySelector('.correcting .primary').focus(); 0")
        page.press("Enter")
        page.wait("document.querySelector('#said').textContent === 'Guardado.'")
        assert page.ask("document.querySelector('#detail h2').textContent") == "um carro vermelho"
        assert page.ask("document.querySelector('#detail .machine').hidden")
        row = "document.querySelectorAll('#results li')[3]"
        assert page.ask(f"{row}.querySelector('img').alt") == "um carro vermelho"
        assert page.ask(f"{row}.querySelector('.machine')") is None

        # To whoever opens it later, it is a correction that can be changed and taken back.
        page.go(f"{address}?item=003.jpg")
        page.wait(f"{BUTTONS}.length === 2")
        labels = ["Corrigir esta tradução (português)", "Retirar a correção (português)"]
        assert page.ask(BUTTONS) == labels
        page.ask(f"{AXE}; 0")
        assert page.ask(VIOLATIONS) == []
        page.click(".correction button:last-of-type")
        page.wait("document.querySelector('#detail h2').textContent === 'um carro vermelha'")
        assert page.ask("document.querySelector('#detail .machine').hidden") is False
    assert (own_shelf / "corrections.jsonl").read_text() == ""


def test_a_correction_that_is_refused_is_told(page: Page, own_shelf: Path) -> None:
    machine_wrote(own_shelf, "003.jpg", "um carro vermelha")
    with threaded(shelf=own_shelf) as start:
        address, _ = start(allow_writes=True)
        page.look(360, 820, language="en")
        page.go(f"{address}?item=003.jpg")
        page.wait(f"{BUTTONS}.length")
        assert page.ask(BUTTONS) == ["Correct this translation (Portuguese)"]
        page.click(CORRECT)
        page.wait("document.activeElement.matches('textarea')")
        page.ask("document.activeElement.value = 'x'; 0")
        with sole_writer(own_shelf):
            page.click(".correcting .primary")
            page.wait("document.querySelector('.refusal')?.role === 'alert'")
        assert page.ask("document.querySelector('textarea').value") == "x"
        assert page.ask("document.documentElement.scrollWidth <= innerWidth")
        page.click(".correcting .primary")
        page.wait("document.querySelector('#said').textContent === 'Saved.'")
        assert "x" in page.ask("document.querySelector('.captions').textContent")
