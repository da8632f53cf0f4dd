"""The first document of the page and the house that it shows, without a browser."""

from __future__ import annotations

import html
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from starlette.testclient import TestClient

from dragoman.errors import UserError
from dragoman.messages import catalogue, languages
from dragoman.service.config import ServiceSettings
from dragoman.service.front import make_front
from dragoman.service.house import House, contrast, read_house
from dragoman.service.negotiation import accepts, language_of


@pytest.mark.parametrize(
    ("address", "accepted", "cookie", "language"),
    [
        ("/", "pt-BR,pt;q=0.9,en;q=0.8", "", "pt-BR"),
        ("/", "pt-AO", "", "pt"),
        ("/", "fi, de;q=0.3, cs;q=0.7", "", "cs"),
        ("/", "fi", "", "en"),
        ("/", "", "", "en"),
        ("/", "de", "ar", "ar"),
        ("/?ui=sw", "de", "ar", "sw"),
        ("/?ui=xx", "de", "../..", "de"),
    ],
)
def test_the_page_comes_in_the_language_of_its_reader(
    client: TestClient, address: str, accepted: str, cookie: str, language: str
) -> None:
    headers = {"accept-language": accepted} | ({"cookie": f"dragoman_language={cookie}"} if cookie else {})
    answer = client.get(address, headers=headers)
    assert answer.headers["content-language"] == language
    assert {"Accept-Language", "Cookie"} <= {one.strip() for one in answer.headers["vary"].split(",")}
    direction = "rtl" if language == "ar" else "ltr"
    assert f'<html lang="{language}" dir="{direction}">' in answer.text
    again = client.get(address, headers={**headers, "if-none-match": answer.headers["etag"]})
    assert again.status_code == 304


@pytest.mark.parametrize("language", languages())
def test_a_document_holds_the_texts_of_its_language(client: TestClient, language: str) -> None:
    document = client.get(f"/?ui={language}").text
    texts, english = catalogue(language), catalogue("en")
    (data,) = re.findall(r'<script type="application/json" id="given">(.*?)</script>', document)
    given = json.loads(data)
    assert given["strings"] == {**texts["page"], **texts["service"]}
    assert (given["language"], given["house"]) == (language, "Dragoman")
    shown = html.unescape(document.replace(data, ""))
    for key in ("placeholder", "hint", "filters", "key_hint", "more", "keys"):
        assert texts["page"][key] in shown
        assert language == "en" or english["page"][key] not in shown
    assert shown.count("<option") == len(languages())
    assert f'<option value="{language}" lang="{language}" selected>' in shown


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("*", "cs"),
        ("fi;q=1, *;q=0.5, de;q=0.1", "cs"),
        ("de;q=0", "cs"),
        ("en;q=0.1,ja", "ja"),
        ("de;q=x", "de"),
    ],
)
def test_weights_of_languages_count(header: str, language: str) -> None:
    assert language_of(header, "cs") == language


def test_what_is_named_by_a_weight_of_nothing_is_not_accepted() -> None:
    assert accepts("text/html, text/csv;q=0.001", "text/csv")
    assert not accepts("text/csv; q=0, */*", "text/csv")
    assert not accepts("", "text/csv")


def test_a_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)
    assert contrast("#123456", "#123456") == 1


def test_a_house_speaks_the_language_of_its_reader() -> None:
    house = House(name={"pt": "Museu", "en": "Museum", "": "M"}, licence={"de": "Rechte", "cs": "Práva"})
    assert [house.said("name", tag) for tag in ("pt-BR", "en", "fi")] == ["Museu", "Museum", "M"]
    assert [house.said("licence", tag) for tag in ("cs", "pt")] == ["Práva", "Rechte"]
    assert House(licence={"de": "Rechte", "cs": "Práva"}, language="cs").said("licence", "pt") == "Práva"
    assert House().said("terms", "en") == ""


def test_a_file_describes_a_house(tmp_path: Path) -> None:
    content = io.BytesIO()
    Image.new("RGB", (60, 20)).save(content, "PNG")
    (tmp_path / "logo.png").write_bytes(content.getvalue())
    (tmp_path / "house.toml").write_text(
        'name = "Museu </script> \\"da\\" Pesca"\nlogo = "logo.png"\naccent = "#20565b"\n'
        'accent_dark = "#86c5c4"\n'
        'contact = "a@b.example"\ncaptions = "human"\nhidden = []\nlanguage = "pt_BR"\n'
    )
    house = read_house(tmp_path / "house.toml")
    assert (house.captions, house.hidden, house.language) == ("human", (), "pt-BR")
    assert house.picture is not None and house.picture[1:] == ("image/png", 60, 20)
    assert house.style() == (
        ":root { --accent: #20565b; --on-accent: #ffffff; }\n"
        "@media (prefers-color-scheme: dark) { :root { --accent: #86c5c4; --on-accent: #111111; }\n}\n"
    )
    made = make_front(house, ServiceSettings())
    document = bytes(made.documents["en"].body).decode()
    assert document.count("</script>") == 2
    assert "<title>Museu &lt;/script&gt; &#34;da&#34; Pesca</title>" in document
    assert '<img src="page/logo" alt="" width="60" height="20">' in document
    assert bytes(made.files["logo"].body) == content.getvalue()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "is no TOML"),
        ("nmae = 'x'", "has a setting 'nmae'. Did you mean name?"),
        ("picture = 'x'", "has a setting 'picture'. It takes name, logo,"),
        ("name = 3", "name is a text, or a table of a text for each language, not 3"),
        ("name = ''", "name is one line of text that can be seen, not ''"),
        ("[name]", "name is a text, or a table"),
        ("accent = 'red'", "accent is a colour of six digits, as #20565b, not 'red'"),
        ("accent = '#ffff00'", "cannot be read well on the paper of the page #faf8f4 (contrast 1.0"),
        ("accent_dark = '#000080'", "Choose a lighter one"),
        ("terms = 'javascript:alert(1)'", "terms is an address, as https://museum.example/terms, not"),
        ("contact = 'ana'", "or an address of mail, not 'ana'"),
        ("captions = 'mine'", "captions is one of reader, human, not 'mine'"),
        ("hidden = 'split'", "hidden is a list of names of fields"),
        ("language = 'fi'", "language is a language that the page speaks"),
        ("logo = 'logo.gif'", "logo is a file of the kind .svg"),
        ("logo = 'none.svg'", "cannot be read (No such file or directory)"),
        ("logo = 'house.svg'", "is no picture of its kind"),
        ("logo = 'large.png'", "has 1,000,001 bytes; at most 1,000,000 are sent"),
    ],
)
def test_a_house_that_does_not_fit_is_told_in_one_error(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "house.svg").write_text("no picture")
    (tmp_path / "large.png").write_bytes(b"x" * 1_000_001)
    file = tmp_path / "house.toml"
    file.write_text(text)
    with pytest.raises(UserError, match=re.escape(said)) as told:
        read_house(file)
    assert str(told.value).startswith(str(file))


def test_a_house_without_a_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.toml does not exist"):
        read_house(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("svg", "size"),
    [
        ('<svg viewBox="0 0 64 40">', (160, 100)),
        ('<svg width="30px" height="10" viewBox="0 0 1 1">', (300, 100)),
        ("<svg>", (100, 100)),
    ],
)
def test_the_place_of_a_logo_has_its_proportions(tmp_path: Path, svg: str, size: tuple[int, int]) -> None:
    (tmp_path / "logo.svg").write_text(svg)
    (tmp_path / "house.toml").write_text("logo = 'logo.svg'")
    logo = read_house(tmp_path / "house.toml").picture
    assert logo is not None and (logo.width, logo.height) == size


def test_files_of_the_page_are_all_that_is_served(service: Callable[..., TestClient]) -> None:
    client = service()
    assert client.get("/page/logo").status_code == 404
    assert client.get("/page/index.html").status_code == 404
    assert client.get("/page/house.css").text == ""
    assert client.get("/page/strings.js").headers["content-type"].startswith("text/javascript")
