"""Texts as items over HTTP and on the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
from chromium import Page
from running import threaded
from shelf import letters, make_shelf, open_shelf
from starlette.testclient import TestClient
from test_items import png
from test_web_page import AXE, IDS, QUIET, VIOLATIONS, keep

from dragoman.index.uploads import UPLOADS
from dragoman.messages import catalogue, languages
from dragoman.records import Entry

BOAT = {"text": "  Um barco lilás \r\n no  Porto, de 1891", "lang": "pt_PT"}
TEXT = "Um barco lilás\nno Porto, de 1891"


@pytest.fixture
def client(service: Callable[..., TestClient], own_shelf: Path) -> TestClient:
    return service(own_shelf, allow_writes=True)


@pytest.mark.parametrize("way", ["json", "data"])
def test_a_text_is_put_found_and_taken_out(client: TestClient, own_shelf: Path, way: str) -> None:
    captions = {"en": "a lilac boat", "pt-PT": "outra coisa"}
    body: dict[str, Any] = BOAT | {"captions": captions, "metadata": {"year": 1891}}
    if way == "data":
        body = BOAT | {
            "captions": '{"en": "a lilac boat", "pt-PT": "outra coisa"}',
            "metadata": '{"year": 1891}',
        }
        added = client.put("/v1/items/r-1", files={name: (None, one) for name, one in body.items()})
    else:
        added = client.put("/v1/items/r-1", json=body)
    assert (added.status_code, added.headers["location"]) == (201, "/v1/items/r-1")
    item = {
        "item_id": "r-1",
        "kind": "text",
        "lang": "pt-PT",
        "metadata": {"year": 1891},
        "captions": {"en": "a lilac boat", "pt-PT": TEXT},
        "more_captions": {"pt-PT": ["outra coisa"]},
        "caption_roles": {"en": "human", "pt-PT": "human"},
        "thumbnail": None,
        "media": None,
    }
    assert added.json() == client.get("/v1/items/r-1").json() == item
    for picture in ("thumbnail", "media"):
        assert client.get(f"/v1/items/r-1/{picture}").status_code == 404
    with open_shelf(own_shelf) as searcher:
        (vector,) = searcher.store.vectors(["r-1"])
        assert vector @ letters(["Um barco lilás no Porto, de 1891"])[0] == pytest.approx(1, abs=1e-5)
    hits = client.post("/v1/search", json={"text": "barco lilás no Porto", "k": 40}).json()["hits"]
    assert hits[0]["item_id"] == "r-1"
    assert {hit["kind"] for hit in hits} == {"text", "image"}
    assert [hit["lang"] for hit in hits] == ["pt-PT"] + [None] * (len(hits) - 1)
    (only,) = client.post("/v1/search", json={"text": "barco", "filter": "kind=text"}).json()["hits"]
    assert only["item_id"] == "r-1"
    replaced = client.put("/v1/items/r-1", json={"text": "A ship", "lang": "en"})
    assert (replaced.status_code, replaced.json()["captions"]) == (200, {"en": "A ship"})
    assert client.delete("/v1/items/r-1").status_code == 204
    assert client.get("/v1/items/r-1").status_code == 404


def test_a_text_takes_the_place_of_a_picture_whose_file_goes(client: TestClient, own_shelf: Path) -> None:
    client.put("/v1/items/one", files={"image": png("red")})
    assert len(list((own_shelf / UPLOADS).iterdir())) == 1
    assert client.put("/v1/items/one", json=BOAT).status_code == 200
    assert list((own_shelf / UPLOADS).iterdir()) == []
    assert client.put("/v1/items/one", files={"image": png("red")}).json()["kind"] == "image"
    assert [file.suffix for file in (own_shelf / UPLOADS).iterdir()] == [".png"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "Give the image"),
        ({"text": "", "lang": "pt"}, "Give the image"),
        ({"text": "um barco"}, "Give the language of the text"),
        ({"text": " \u200b\n", "lang": "pt"}, "The text is empty"),
        ({"text": "um barco", "lang": "portuguese"}, "does not fit"),
        ({"text": "um\u0007barco", "lang": "pt"}, "does not fit"),
        ({"text": "b" * 10_001, "lang": "pt"}, "does not fit"),
        ({"text": "um barco", "lang": "pt", "image": "aGk="}, "not both"),
        ({"lang": "pt", "image": "aGk="}, "not both"),
        (
            {"text": "um barco", "lang": "pt", "metadata": {"kind": "letter"}},
            "no field of metadata called kind",
        ),
    ],
)
def test_what_is_neither_an_image_nor_a_text_is_refused(
    client: TestClient, body: dict[str, Any], said: str
) -> None:
    answer = client.put("/v1/items/r-1", json=body)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert client.get("/v1/items/r-1").status_code == 404


def test_a_text_of_which_the_model_knows_nothing_is_refused(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shelf.Spelling.reads", lambda _, texts: [False] * len(texts))
    answer = client.put("/v1/items/r-1", json=BOAT)
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        "The model knows nothing of this text. Write words.",
    )


def test_the_text_itself_is_no_caption_to_be_corrected(client: TestClient) -> None:
    client.put("/v1/items/r-1", json=BOAT | {"captions": {"en": "a lilac boat"}})
    refused = client.put("/v1/items/r-1/captions/pt-PT", json={"text": "um navio"})
    assert (refused.status_code, "put the item anew" in refused.json()["detail"]) == (422, True)
    assert client.get("/v1/items/r-1/captions/pt-PT").json()["text"] == TEXT
    assert client.put("/v1/items/r-1/captions/en", json={"text": "a purple boat"}).status_code == 200
    assert client.get("/v1/items/r-1").json()["captions"] == {"en": "a purple boat", "pt-PT": TEXT}


def test_kinds_are_a_field_where_there_are_several(client: TestClient) -> None:
    def fields() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = client.get("/v1/collections/shelf").json()["fields"]
        return found

    assert "kind" not in {field["name"] for field in fields()}
    client.put("/v1/items/r-1", json=BOAT)
    assert fields()[0] == {
        "name": "kind",
        "type": "text",
        "items": 13,
        "values": [{"value": "image", "count": 12}, {"value": "text", "count": 1}],
        "minimum": None,
        "maximum": None,
    }
    # What hides it from filters hides it here.
    client.put("/v1/items/one", files={"image": png("red"), "metadata": (None, '{"kind": "drawing"}')})
    assert [one["values"] for one in fields() if one["name"] == "kind"] == [
        [{"value": "drawing", "count": 1}]
    ]


def test_a_table_has_texts_in_columns_of_their_own(client: TestClient) -> None:
    client.put("/v1/items/r-1", json=BOAT | {"captions": {"en": "a lilac boat"}})
    answer = client.get("/v1/items", params={"filter": "kind=text"}, headers={"accept": "text/csv"})
    header, row = csv.reader(io.StringIO(answer.text.removeprefix("\ufeff")))
    assert dict(zip(header, row, strict=True)) == {
        "rank": "1",
        "item_id": "r-1",
        "kind": "text",
        "text pt-PT": TEXT,
        "caption en": "a lilac boat",
    }


# The page.

LONG = "Uma carta\n" + "do porto e dos seus barcos, das suas ruas e do rio " * 60
ARABIC = "رسالة من الميناء\nعن القوارب"
page_tests = pytest.mark.skipif(
    chromium.PROGRAM is None, reason="Chromium is missing; install it: sudo apt-get install chromium"
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A shelf with three texts."""
    index = make_shelf(tmp_path_factory.mktemp("texts"), items=12)
    with open_shelf(index) as searcher:
        for number, (lang, text, said) in enumerate(
            [
                ("pt", "Um barco lilás\nno Porto, de 1891", {"en": "A lilac boat"}),
                ("pt", LONG, {}),
                ("ar", ARABIC, {"en": "A letter", "de": "Ein Brief"}),
            ]
        ):
            entry = Entry(
                item_id=f"r-{number}",
                kind="text",
                lang=lang,
                captions={lang: text, **said},
                machine=frozenset({"de"} & said.keys()),
                metadata={"year": 1990 + number},
            )
            searcher.add(entry)
    with threaded(shelf=index) as start:
        yield start()[0]


def card(item_id: str) -> str:
    """The tile of an item."""
    return f"[...document.querySelectorAll('#results li')].find((row) => row.item.item_id === '{item_id}')"


@page_tests
def test_a_text_is_a_card_of_words_among_pictures(page: Page, url: str) -> None:
    page.go(f"{url}?q=barco%20lil%C3%A1s%20no%20Porto&lang=pt")
    page.wait(QUIET)
    assert page.ask(f"{IDS}[0]") == "r-0"
    assert page.ask(f"{IDS}.length") == 15
    shown = "((row) => [row.querySelectorAll('img').length, row.querySelector('.words').lang, "
    shown += "row.querySelector('.words').dir, row.querySelector('b').textContent, "
    shown += "row.querySelector('.words span').textContent, row.querySelector('.caption').hidden, "
    shown += "row.querySelector('.like').getAttribute('aria-label')])"
    assert page.ask(f"{shown}({card('r-0')})") == [
        *(0, "pt", "auto", "Um barco lilás", "no Porto, de 1891", True),
        "More like this: Um barco lilás",
    ]
    keep(page, "texts")
    # Who asks in English sees what it is called there.
    page.go(f"{url}?q=a%20lilac%20boat%20letter&lang=en")
    page.wait(QUIET)
    caption = "((one) => [one.textContent, one.lang, one.hidden, one.getAttribute('aria-hidden')])"
    assert page.ask(f"{caption}({card('r-2')}.querySelector('.caption'))") == ["A letter", "en", False, None]
    assert page.ask(f"getComputedStyle({card('r-2')}.querySelector('.words')).direction") == "rtl"
    assert page.ask(f"{card('r-1')}.querySelector('.caption').hidden") is True
    # A long text stays within its frame, which is as high as a picture.
    heights = {
        round(page.ask(f"{one}.getBoundingClientRect().height"))
        for one in (
            f"{card('r-1')}.querySelector('.frame')",
            f"{card('r-2')}.querySelector('.frame')",
            "document.querySelector('.frame:has(img)')",
        )
    }
    assert len(heights) == 1
    assert page.failures == []


@page_tests
def test_a_translation_of_a_text_by_machine_is_labelled(page: Page, url: str) -> None:
    page.look(1200, 820, language="de")
    page.go(f"{url}?f.kind=%7B%22values%22:%5B%22text%22%5D%7D")
    page.wait(QUIET)
    assert page.ask(IDS) == ["r-0", "r-1", "r-2"]
    assert (
        page.ask(f"{card('r-2')}.querySelector('.machine').textContent") == catalogue("de")["page"]["machine"]
    )
    assert page.ask(f"{card('r-0')}.querySelector('.machine')") is None


@page_tests
def test_the_details_of_a_text_are_its_words_and_steps_lead_on(page: Page, url: str) -> None:
    page.go(f"{url}?item=r-2")
    page.wait("document.querySelector('#detail .passage') !== null")
    told = "((words) => [words.textContent, words.lang, words.dir, getComputedStyle(words).whiteSpace])"
    assert page.ask(f"{told}(document.querySelector('#detail .passage'))") == [
        ARABIC,
        "ar",
        "auto",
        "pre-line",
    ]
    title = "((one) => [one.textContent, one.lang])(document.querySelector('#detail-title'))"
    assert page.ask(title) == ["رسالة من الميناء", "ar"]
    assert page.ask("document.querySelector('#original').checkVisibility()") is False
    said = "[...document.querySelectorAll('#detail .captions dd')].map((one) => one.textContent)"
    assert page.ask(said) == ["A letter", "Ein Brief Translated by machine"]
    assert page.ask("document.querySelector('#place').textContent") == "15 of 15"
    page.click("#previous")
    page.wait("document.querySelector('#detail-title').textContent === 'Uma carta'")
    # A long one is scrolled, by keys too.
    words = "document.querySelector('#detail .passage')"
    assert page.ask(f"{words}.scrollHeight > {words}.clientHeight && {words}.tabIndex === 0") is True
    for _ in range(2):
        page.click("#previous")
    page.wait("document.querySelector('#detail img')?.complete")
    assert page.ask("document.querySelector('#original').checkVisibility()") is True
    page.click("#next")
    page.wait("document.querySelector('#detail .passage') !== null")
    page.click("#like")
    page.wait(f"{QUIET} && new URLSearchParams(location.search).get('like') === 'r-0'")
    assert page.ask("document.querySelector('#heading').textContent") == "More like “Um barco lilás”"
    assert page.failures == []


@page_tests
@pytest.mark.parametrize("language", languages())
def test_kinds_are_chosen_in_every_language(page: Page, url: str, language: str) -> None:
    page.look(1200, 820, language=language)
    page.go(url)
    page.wait(QUIET)
    page.click("#toggle")
    words = catalogue(language)["page"]
    legend = "document.querySelector('#filters legend').textContent"
    page.wait(f"document.querySelector('#filters legend')?.textContent === '{words['kind']}'")
    assert page.ask(legend) == words["kind"]
    names = "[...document.querySelectorAll('#filters fieldset:first-child label span:first-of-type')]"
    assert page.ask(f"{names}.map((one) => one.textContent)") == [words["kind_image"], words["kind_text"]]
    page.ask("document.querySelectorAll('#filters input')[1].click(); 0")
    page.wait(f'{QUIET} && JSON.stringify({IDS}) === \'["r-0","r-1","r-2"]\'')


@page_tests
@pytest.mark.parametrize(
    ("language", "width", "dark", "query"),
    [
        ("en", 1200, False, "?q=letter"),
        ("ar", 360, True, "?f.kind=%7B%22values%22:%5B%22text%22%5D%7D"),
        ("pt", 1200, True, "?item=r-1"),
        ("de", 360, False, "?item=r-2"),
    ],
)
def test_axe_finds_nothing_of_texts(
    page: Page, url: str, language: str, width: int, dark: bool, query: str
) -> None:
    page.look(width, 820, dark=dark, language=language)
    page.go(f"{url}{query}")
    page.wait(QUIET)
    if "item=" in query:
        page.wait("document.querySelector('#detail .passage') !== null")
    page.ask(f"{AXE}; 0")
    assert page.ask(VIOLATIONS) == []
