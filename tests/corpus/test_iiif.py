"""Manifests of IIIF: canvases as items, texts in their languages, images from disk or the network."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures_of_archives import jpeg, write

from dragoman.corpus import BuildOptions, build_iiif
from dragoman.corpus.readers.formats.downloads import Fetcher
from dragoman.corpus.readers.formats.iiif import _image, _metadata, _texts, read_iiif
from dragoman.errors import UserError

AT = "https://example.org"
OPTIONS = BuildOptions(lang="en", split="train")


def canvas(name: str, image: str, **more: Any) -> dict[str, Any]:
    """A canvas of version 3."""
    body = {"id": image, "type": "Image"}
    page = {
        "type": "AnnotationPage",
        "items": [{"type": "Annotation", "motivation": "painting", "body": body}],
    }
    return {"id": f"{AT}/canvas/{name}", "type": "Canvas", "items": [page]} | more


def manifest(*canvases: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": f"{AT}/manifest", "type": "Manifest", "items": list(canvases)} | more


def second(name: str, image: str, page: str, **more: Any) -> dict[str, Any]:
    """A manifest of version 2 with one canvas."""
    resource = {"@id": image, "@type": "dctypes:Image", "service": {"@id": f"{AT}/iiif/{name}"}}
    one = {"@id": f"{AT}/v2/{name}", "@type": "sc:Canvas", "label": page, "images": [{"resource": resource}]}
    return {"@id": f"{AT}/m/{name}", "@type": "sc:Manifest", "sequences": [{"canvases": [one]}]} | more


def told(folder: Path) -> list[str]:
    return [json.loads(line)["reason"] for line in (folder / "rejected.jsonl").read_text().splitlines()]


def rows(report: Any) -> list[tuple[str, str, str]]:
    names = ("item_id", "lang", "text")
    return list(zip(*(report.corpus.captions[name].to_pylist() for name in names), strict=True))


def test_canvases_of_version_3_are_items_with_texts_in_their_languages(tmp_path: Path) -> None:
    one = canvas(
        "1",
        f"{AT}/iiif/scan-1/full/max/0/default.jpg",
        label={"none": ["p. 1"], "en": ["A map of Porto"], "pt": ["Um mapa do Porto"]},
        summary={"en": ["<p>The river &amp; the town</p>"], "none": ["A map of Porto."]},
        metadata=[
            {"label": {"en": ["Creator"], "pt": ["Autor"]}, "value": {"en": ["Ana"], "pt": ["Ana S."]}}
        ],
        navDate="1890-05-03T00:00:00Z",
    )
    content = manifest(
        one,
        canvas("2", f"{AT}/files/b.png", label={"de": ["Ein Schiff"], "english": ["A ship"]}),
        label={"en": ["Maps"]},
        summary={"en": ["A whole book"]},
        rights="http://creativecommons.org/publicdomain/mark/1.0/",
        requiredStatement={"label": {"en": ["Attribution"]}, "value": {"en": ["The library"]}},
        metadata=[{"label": {"en": ["Creator"]}, "value": {"none": ["A printer"]}}],
    )
    write(tmp_path, {"m.json": json.dumps(content), "scans/scan-1.jpg": jpeg()})
    report = build_iiif(
        tmp_path / "m.json",
        tmp_path / "out",
        BuildOptions(lang="en", split="train", media_root=tmp_path / "scans"),
    )
    first, other = "example.org/canvas/1", "example.org/canvas/2"
    assert rows(report) == [
        (first, "en", "The river & the town"),
        (first, "en", "A map of Porto."),
        (first, "pt", "Um mapa do Porto"),
        (other, "de", "Ein Schiff"),
        (other, "en", "A ship"),
    ]
    shared = {
        "rights": "http://creativecommons.org/publicdomain/mark/1.0/",
        "required_statement": "The library",
    }
    shared |= {"object": "Maps", "kind": "image", "split": "train"}
    assert report.corpus.items.to_pylist() == [
        {
            "item_id": first,
            "path": str(tmp_path / "scans" / "scan-1.jpg"),
            "Creator": "Ana",
            "Autor": "Ana S.",
        }
        | {"date": "1890-05-03"}
        | shared,
        {"item_id": other, "path": f"{AT}/files/b.png", "Creator": "A printer", "Autor": None, "date": None}
        | shared,
    ]
    assert set(report.corpus.captions["found_in"].to_pylist()) == {"manifest"}
    assert "language 'english', which is no tag" in report.notes[0]
    assert build_iiif(
        tmp_path / "m.json",
        tmp_path / "out",
        BuildOptions(lang="en", split="train", media_root=tmp_path / "scans"),
    ).unchanged


def test_a_collection_of_version_2_is_read_from_the_files_beside_it(tmp_path: Path) -> None:
    label = [{"@value": "A dog", "@language": "en"}, {"@value": "Um cão", "@language": "pt"}]
    a = second(
        "a%2F1", f"{AT}/iiif/a%2F1/full/full/0/default.jpg", "1r", label=label, attribution="CC", license="x"
    )
    b = second("b", "pictures/b.jpg", "A cat")
    named = [{"@id": one, "@type": "sc:Manifest"} for one in (a["@id"], b["@id"], f"{AT}/absent")]
    top = {"@id": f"{AT}/top", "@type": "sc:Collection", "manifests": named}
    files = {"top.json": json.dumps(top), "a.json": json.dumps(a), "z.json": json.dumps(b), "bad.json": "{"}
    write(tmp_path, files | {"pictures/b.jpg": jpeg(), "1.jpg": jpeg()})
    report = build_iiif(tmp_path / "top.json", tmp_path / "out", OPTIONS)
    assert rows(report) == [
        ("example.org/v2/a%2F1", "en", "A dog"),
        ("example.org/v2/a%2F1", "pt", "Um cão"),
        ("example.org/v2/b", "en", "A cat"),
    ]
    paths = [str(tmp_path / "1.jpg"), str(tmp_path / "pictures" / "b.jpg")]
    assert report.corpus.items["path"].to_pylist() == paths
    assert report.corpus.items["rights"].to_pylist() == ["x", None]
    assert report.notes == (f"manifest of a collection that is not there (--download): 1 ({AT}/absent)",)


def test_files_of_one_name_are_told_apart_by_their_folders_or_given_to_none(tmp_path: Path) -> None:
    content = manifest(*(canvas(book, f"{AT}/{book}/001.jpg", label={"en": [f"Of {book}"]}) for book in "ab"))
    write(tmp_path, {"in/m.json": json.dumps(content), "in/a/001.jpg": jpeg(), "in/b/001.jpg": jpeg()})
    paths = build_iiif(tmp_path / "in", tmp_path / "out", OPTIONS).corpus.items["path"].to_pylist()
    assert paths == [str(tmp_path / "in" / book / "001.jpg") for book in "ab"]
    write(tmp_path, {"one/m.json": json.dumps(content), "one/001.jpg": jpeg()})
    report = build_iiif(tmp_path / "one", tmp_path / "of one", OPTIONS)
    assert report.corpus.items["path"].to_pylist() == [f"{AT}/a/001.jpg", f"{AT}/b/001.jpg"]
    assert report.notes == ("file that has the name of several images, given to none: 2 (001.jpg)",)


def test_a_manifest_opens_nothing_outside_and_bad_files_are_told(tmp_path: Path) -> None:
    outside = manifest(canvas("1", "../secret.jpg", label={"en": ["A dog"]}))
    endless = {"id": f"{AT}/c", "type": "Collection", "items": [{"id": f"{AT}/c", "type": "Collection"}]}
    files = {"in/a.json": json.dumps(outside), "in/b.json": "[" * 100_000, "in/c.json": json.dumps(endless)}
    write(tmp_path, files | {"in/d.json": "[]", "secret.jpg": jpeg()})
    report = build_iiif(tmp_path / "in", tmp_path / "out", OPTIONS)
    assert report.corpus.items["path"].to_pylist() == [None]
    reasons = told(tmp_path / "out")
    assert len(reasons) == 2
    assert "neither a manifest nor a collection" in reasons[1]
    with pytest.raises(UserError, match="does not exist"):
        build_iiif(tmp_path / "absent", tmp_path / "out", OPTIONS)
    with pytest.raises(UserError, match="--media-root"):
        build_iiif(tmp_path / "in", tmp_path / "other", OPTIONS, download=True)


@pytest.fixture
def server() -> Iterator[tuple[str, Counter[str], dict[str, bytes]]]:
    asked: Counter[str] = Counter()
    content: dict[str, bytes] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked[self.path] += 1
            busy = "busy" in self.path and asked[self.path] == 1
            code = 503 if busy else 200 if self.path in content else 404
            self.send_response(code)
            self.end_headers()
            self.wfile.write(content.get(self.path, b"") if code == 200 else b"")

        def log_message(self, *of: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}", asked, content
        running.shutdown()


Answer = Callable[[BaseHTTPRequestHandler], None]
Served = tuple[str, dict[str, Answer]]


@pytest.fixture
def served() -> Iterator[Served]:
    """A server that answers each address in a way of its own."""
    answers: dict[str, Answer] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers.get(self.path, gone)(self)

        def log_message(self, *of: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}", answers
        running.shutdown()


def gone(one: BaseHTTPRequestHandler) -> None:
    one.send_response(404)
    one.end_headers()


def whole(content: bytes) -> Answer:
    def answer(one: BaseHTTPRequestHandler) -> None:
        one.send_response(200)
        one.end_headers()
        one.wfile.write(content)

    return answer


def moved(place: str | None) -> Answer:
    def answer(one: BaseHTTPRequestHandler) -> None:
        one.send_response(302)
        if place is not None:
            one.send_header("location", place)
        one.end_headers()

    return answer


def test_images_and_manifests_are_fetched_only_where_asked_and_only_once(
    tmp_path: Path, server: tuple[str, Counter[str], dict[str, bytes]]
) -> None:
    url, asked, content = server
    served = second("x", f"{url}/iiif/busy/full/full/0/default.jpg", "A dog")
    served["sequences"][0]["canvases"][0]["images"][0]["resource"]["service"]["@id"] = f"{url}/iiif/busy"
    plain = manifest(
        canvas("gone", f"{url}/gone.jpg", label={"en": ["Gone"]}),
        canvas("text", f"{url}/text.jpg", label={"en": ["A text"]}),
        canvas("file", "file:///etc/passwd", label={"en": ["A file"]}),
        id=f"{url}/plain",
    )
    top = {
        "id": f"{url}/top",
        "type": "Collection",
        "items": [{"id": f"{url}/{one}"} for one in ("v2", "plain")],
    }
    write(tmp_path, {"top.json": json.dumps(top)})
    scaled = "/iiif/busy/full/!1024,1024/0/default.jpg"
    content |= {"/v2": json.dumps(served).encode(), "/plain": json.dumps(plain).encode()}
    content |= {scaled: jpeg(), "/text.jpg": b"no picture"}
    options = BuildOptions(lang="en", split="train", media_root=tmp_path / "scans")
    (tmp_path / "scans").mkdir()
    with pytest.raises(UserError, match=r"not there \(--download\): 2"):
        build_iiif(tmp_path / "top.json", tmp_path / "out", options)
    assert not asked
    report = build_iiif(tmp_path / "top.json", tmp_path / "out", options, download=True, pause=0)
    assert asked == {"/v2": 1, "/plain": 1, scaled: 2, "/gone.jpg": 1, "/text.jpg": 1}
    assert [Path(path).is_file() for path in report.corpus.items["path"].to_pylist()] == [
        True,
        False,
        False,
        False,
    ]
    reasons = told(tmp_path / "out")
    assert "the server answered 404" in reasons[0]
    assert "text.jpg" in reasons[1]
    assert "has no address of the web" in reasons[2]
    # What is there is not asked for again, nor needed from the network.
    again = build_iiif(tmp_path / "top.json", tmp_path / "again", options)
    assert again.corpus.items["path"].to_pylist() == report.corpus.items["path"].to_pylist()
    build_iiif(tmp_path / "top.json", tmp_path / "third", options, download=True, pause=0)
    assert asked == {"/v2": 1, "/plain": 1, scaled: 2, "/gone.jpg": 2, "/text.jpg": 2}


def test_a_file_that_is_too_large_is_not_kept(
    tmp_path: Path, server: tuple[str, Counter[str], dict[str, bytes]]
) -> None:
    url, _, content = server
    content["/a"] = jpeg() + bytes(1000)
    with pytest.raises(ValueError, match="larger than 1,000 bytes"):
        Fetcher(tmp_path, pause=0).fetch([f"{url}/a"], "a.jpg", largest=1000)
    assert list(tmp_path.iterdir()) == []


def test_addresses_lead_on_within_the_web_and_to_an_end(tmp_path: Path, served: Served) -> None:
    url, answers = served
    for one, other in {"/1": "/2", "/2": f"{url}/caf%C3%A9.jpg", "/a": "/b", "/b": "/a", "/n": None}.items():
        answers[one] = moved(other)
    answers["/file"], answers["/ftp"] = moved("file:///etc/passwd"), moved("ftp://127.0.0.1/a.jpg")
    answers["/caf%C3%A9.jpg"] = answers["/a%20b.jpg?x=1&y=%20"] = whole(jpeg())
    fetcher = Fetcher(tmp_path, pause=0)
    for number, address in enumerate(("/1", "/café.jpg", "/a b.jpg?x=1&y=%20")):
        assert fetcher.fetch([url + address], f"{number}.jpg").read_bytes() == jpeg()
    for address, why in {
        "/a": "the server answered 302, which leads nowhere",
        "/n": "the server answered 302, which leads nowhere",
        "/file": "the server answered 302, which leads nowhere",
        "/ftp": "the server leads to ftp://127.0.0.1/a.jpg, which is no address of the web",
    }.items():
        with pytest.raises(ValueError, match=rf"could not be fetched from {url}{address} \({why}\)"):
            fetcher.fetch([url + address], "lost.jpg")
    assert len(list(tmp_path.iterdir())) == 3


def test_what_comes_slowly_or_in_part_is_listed_and_asked_for_again_the_next_time(
    tmp_path: Path, served: Served
) -> None:
    url, answers = served
    ends = threading.Event()

    def never(one: BaseHTTPRequestHandler) -> None:
        ends.wait(60)

    def drop_by_drop(one: BaseHTTPRequestHandler) -> None:
        one.send_response(200)
        one.end_headers()
        with suppress(OSError):
            while not ends.wait(0.001):
                one.wfile.write(b"x")

    def half(one: BaseHTTPRequestHandler) -> None:
        one.send_response(200)
        one.send_header("content-length", str(len(jpeg())))
        one.end_headers()
        one.wfile.write(jpeg()[:-100])

    answers |= {"/never.jpg": never, "/drops.jpg": drop_by_drop, "/half.jpg": half, "/gone.jpg": gone}
    names = ["never", "drops", "half", "gone"]
    content = manifest(*(canvas(name, f"{url}/{name}.jpg", label={"en": [f"A {name}"]}) for name in names))
    write(tmp_path, {"m.json": json.dumps(content), "scans/.keep": ""})
    fetcher = Fetcher(tmp_path / "scans", pause=0, timeout=2.0, longest=1.0, tries=1)
    read = partial(read_iiif, tmp_path / "m.json", media_root=tmp_path / "scans", lang="en", fetcher=fetcher)
    source = read()
    rows = list(source.items)
    assert [one.fault for one in rows if one.fault] == [
        f"the image of {AT}/canvas/{name} could not be fetched from {url}/{name}.jpg ({why})."
        for name, why in {
            "never": "timed out",
            "drops": "it took longer than 1 seconds",
            "half": "the answer ended 100 bytes too early",
            "gone": "the server answered 404",
        }.items()
    ]
    # The items stay, and their captions.
    assert [one.fields["path"] for one in rows if not one.fault] == [f"{url}/{name}.jpg" for name in names]
    assert len(list(source.captions)) == 4
    assert [one.name for one in (tmp_path / "scans").iterdir()] == [".keep"]
    ends.set()
    answers |= {f"/{name}.jpg": whole(jpeg()) for name in names}
    rows = list(read().items)
    assert [one.fault for one in rows] == [None] * 4
    assert all(Path(str(one.fields["path"])).is_file() for one in rows)


def test_a_manifest_that_is_none_is_listed_once_and_not_kept(tmp_path: Path, served: Served) -> None:
    url, answers = served
    good = manifest(canvas("1", f"{url}/1.jpg", label={"en": ["A dog"]}), id=f"{url}/good")
    answers |= {"/good": moved("/elsewhere"), "/elsewhere": whole(json.dumps(good).encode())}
    answers |= {"/broken": whole(b'{"id": '), "/deep": whole(b"[" * 100_000), "/page": whole(b"<html>")}
    answers |= {"/other": whole(b'{"type": "Canvas"}'), "/gone": gone, "/1.jpg": whole(jpeg())}
    names = ("good", "broken", "deep", "page", "other", "gone")
    top = {"id": f"{url}/top", "type": "Collection", "items": [{"id": f"{url}/{one}"} for one in names]}
    write(tmp_path, {"top.json": json.dumps(top), "scans/.keep": ""})
    options = BuildOptions(lang="en", split="train", media_root=tmp_path / "scans")
    report = build_iiif(tmp_path / "top.json", tmp_path / "out", options, download=True, pause=0)
    assert rows(report) == [("example.org/canvas/1", "en", "A dog")]
    reasons = dict(one.split(" could not be fetched from ") for one in told(tmp_path / "out"))
    assert list(reasons) == [f"{url}/{one}" for one in names[1:]]
    assert [one.partition(" (")[2].partition(" (")[0].rstrip(".)") for one in reasons.values()] == [
        "it is no JSON",
        "it is no JSON",
        "it is no JSON",
        "it is neither a manifest nor a collection of IIIF",
        "the server answered 404",
    ]
    # Told above, and not a second time as one that is not there.
    assert report.notes == ()
    assert len(list((tmp_path / "scans").glob("manifest*.json"))) == 1
    answers["/broken"] = whole(json.dumps(good | {"id": f"{url}/broken"}).encode())
    build_iiif(tmp_path / "top.json", tmp_path / "again", options, download=True, pause=0)
    assert len(told(tmp_path / "again")) == 4


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["@value", "@language", "id", "@id", "items", "body", "images", "resource", "label", "value"]
            )
            | st.sampled_from(
                ["metadata", "service", "default", "requiredStatement", "navDate", "en", "none"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["items", "images", "metadata", "label", "navDate", "rights"]), JSON))
def test_no_json_breaks_the_reading_of_a_canvas(value: dict[str, Any]) -> None:
    image = _image(value)
    assert image is None or isinstance(image[0], str)
    assert all(isinstance(one, str) and one for one in _metadata(value, "en"))
    assert all(
        isinstance(text, str) and text for texts in _texts(value.get("label")).values() for text in texts
    )
