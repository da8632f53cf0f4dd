"""Queries that are spoken over HTTP."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from chat_server import post_server
from fake_recogniser import FakeRecogniser, as_wav, syllables
from starlette.testclient import TestClient
from talking_server import hears

from dragoman.service.access import KeyFile, new_key
from dragoman.speech.recogniser import open_recogniser

PORTUGUESE = "duas casas verdes em um gramado"
TALK = as_wav(syllables())
WORDS = {"text": PORTUGUESE, "language": "pt", "confidence": 0.9, "given": False}


@pytest.fixture
def recogniser() -> Iterator[FakeRecogniser]:
    fake = FakeRecogniser(text=PORTUGUESE, language="pt")
    yield fake
    fake.going.set()


@pytest.fixture
def client(service: Callable[..., TestClient], recogniser: FakeRecogniser) -> TestClient:
    return service(recogniser=recogniser)


def said(client: TestClient, sound: bytes = TALK, **fields: str) -> Any:
    return client.post("/v1/search", files={"speech": ("q.wav", sound)}, data=fields)


def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
    found: dict[str, Any] = answer.json()
    assert (answer.status_code, found["code"]) == (status, code), found
    return found


@pytest.mark.parametrize("way", ["base64", "form"])
def test_a_spoken_query_finds_what_the_same_text_finds(client: TestClient, way: str) -> None:
    if way == "form":
        answer = said(client, k="4", filter="year>=1995")
    else:
        body = {"speech": base64.b64encode(TALK).decode(), "k": 4, "filter": "year>=1995"}
        answer = client.post("/v1/search", json=body)
    assert answer.status_code == 200, answer.json()
    text = client.post("/v1/search", json={"text": PORTUGUESE, "k": 4, "filter": "year>=1995"}).json()
    got = answer.json()
    assert got["hits"] == text["hits"] and len(got["hits"]) == 4
    assert got["heard"] == WORDS and text["heard"] is None
    assert got["language"] == {"code": "pt", "confidence": 0.9, "given": False, "trained": True}
    assert got["seconds"]["hear"] > 0


def test_a_language_that_is_given_is_heard_in_and_an_unknown_one_is_told(
    client: TestClient, recogniser: FakeRecogniser
) -> None:
    got = said(client, lang="pt-BR").json()
    assert got["heard"] == WORDS | {"language": "pt-BR", "confidence": 1.0, "given": True}
    assert [lang for _, lang in recogniser.asked] == ["pt"]
    told = problem(said(client, lang="gl"), 422, "speech_language_unknown")
    assert told["arguments"] == {"language": "gl"} and "Galician" in told["detail"]
    assert len(recogniser.asked) == 1


def test_it_goes_with_a_picture_and_in_a_batch_and_as_a_table(client: TestClient, red: bytes) -> None:
    both = client.post("/v1/search", files={"speech": ("q.wav", TALK), "image": ("r.png", red)}).json()
    words = client.post("/v1/search", data={"text": PORTUGUESE}, files={"image": ("r.png", red)}).json()
    assert both["hits"] == words["hits"] and both["heard"] == WORDS
    queries = [{"speech": base64.b64encode(TALK).decode()}, {"text": "a red car"}]
    spoken, typed = client.post("/v1/search/batch", json={"queries": queries}).json()["answers"]
    assert (spoken["heard"], typed["heard"]) == (WORDS, None)
    table = client.post("/v1/search", files={"speech": ("q.wav", TALK)}, headers={"accept": "text/csv"})
    assert table.status_code == 200 and table.headers["content-type"].startswith("text/csv")


def test_without_a_recogniser_the_service_says_so_everywhere(service: Callable[..., TestClient]) -> None:
    client = service()
    problem(said(client), 422, "speech_unread")
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert "speech" not in schemas["SearchRequest"]["properties"] | schemas["SearchForm"]["properties"]
    assert client.get("/v1/collections/shelf").json()["speech"] is None
    page = client.get("/")
    assert 'id="speak"' not in page.text
    assert "microphone=()" in page.headers["permissions-policy"]


def test_with_one_it_says_which_languages_and_for_how_long(
    service: Callable[..., TestClient], recogniser: FakeRecogniser
) -> None:
    client = service(recogniser=recogniser, limits={"max_speech_seconds": 12})
    described = client.get("/openapi.json").json()
    schemas = described["components"]["schemas"]
    assert schemas["SearchRequest"]["properties"]["speech"]["anyOf"][0] == {
        "format": "speech",
        "type": "string",
    }
    assert schemas["SearchForm"]["properties"]["speech"]["format"] == "binary"
    body = described["paths"]["/v1/search"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert body["encoding"]["speech"] == {"contentType": "audio/*"}
    hearing = client.get("/v1/collections/shelf").json()["speech"]
    assert hearing == {"languages": ["en", "pt"], "max_seconds": 12}
    page = client.get("/")
    assert 'id="speak"' in page.text
    # For this page alone, and nothing else.
    assert "microphone=(self)" in page.headers["permissions-policy"]
    assert "camera=()" in page.headers["permissions-policy"]


@pytest.mark.parametrize(
    ("sound", "code", "detail"),
    [
        (b"", "speech_unusable", "The sound cannot be used: the file is empty."),
        (b"RIFF", "speech_unusable", "The sound cannot be used: no sound of a known format"),
        (TALK[:8000], "speech_unusable", "The sound cannot be used: it breaks off after 0.2 of 1.0 seconds."),
        (as_wav(syllables(31)), "speech_unusable", "it lasts longer than 30 seconds"),
        (
            as_wav(np.zeros(16_000, np.float32)),
            "nothing_understood",
            "No words were understood: speak closer",
        ),
    ],
    ids=["empty", "no sound", "cut off", "long", "silent"],
)
def test_a_sound_that_cannot_be_used_is_told(
    client: TestClient, recogniser: FakeRecogniser, sound: bytes, code: str, detail: str
) -> None:
    assert detail in problem(said(client, sound), 422, code)["detail"]
    assert recogniser.asked == []


def test_words_that_were_made_up_are_not_asked(client: TestClient, recogniser: FakeRecogniser) -> None:
    recogniser.no_speech, recogniser.log_probability = 0.9, -1.5
    problem(said(client), 422, "nothing_understood")


def test_a_text_beside_the_sound_is_refused(client: TestClient) -> None:
    problem(said(client, text="a dog"), 422, "speech_and_text")


def test_what_is_not_base64_or_too_large_is_refused(service: Callable[..., TestClient]) -> None:
    client = service(recogniser=FakeRecogniser(), limits={"max_body_mb": 0.02})
    assert client.post("/v1/search", json={"speech": "?"}).json()["detail"] == "speech is not base64."
    problem(said(client), 413, "body_too_large")


def test_keys_count_for_sounds_as_well(service: Callable[..., TestClient], tmp_path: Any) -> None:
    key = new_key(tmp_path / "keys")
    client = service(recogniser=FakeRecogniser(), keys=KeyFile(tmp_path / "keys"))
    problem(said(client), 401, "key_needed")
    client.headers["authorization"] = f"Bearer {key}"
    assert said(client).status_code == 200


def test_a_server_that_recognises_is_not_named_to_strangers(
    service: Callable[..., TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    gone = service(recogniser=open_recogniser("http://127.0.0.1:9/v1"))
    with post_server(hears(PORTUGUESE, "portuguese")) as (url, _):
        assert said(service(recogniser=open_recogniser(url))).json()["heard"]["language"] == "pt"
    with post_server(lambda request: (200, "nonsense")) as (url, _):
        for client in (gone, service(recogniser=open_recogniser(url))):
            told = problem(said(client), 503, "server_silent")
            assert "127.0.0.1" not in str(told)


def test_while_one_is_heard_others_wait_and_texts_and_monitors_do_not(
    service: Callable[..., TestClient], recogniser: FakeRecogniser
) -> None:
    client = service(recogniser=recogniser)
    recogniser.going.clear()
    with ThreadPoolExecutor(4) as threads:
        waiting = [threads.submit(said, client) for _ in range(3)]
        until = time.monotonic() + 30
        while not recogniser.asked and time.monotonic() < until:
            time.sleep(0.01)
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.post("/v1/search", json={"text": PORTUGUESE}).status_code == 200
        # One at a time, so that they do not slow one another down.
        assert len(recogniser.asked) == 1
        recogniser.going.set()
        assert [one.result().status_code for one in waiting] == [200] * 3
    assert len(recogniser.asked) == 3


def test_a_recogniser_that_takes_too_long_ends_in_a_504_and_the_next_waits_for_it(
    service: Callable[..., TestClient], recogniser: FakeRecogniser
) -> None:
    client = service(recogniser=recogniser, limits={"request_seconds": 0.3})
    recogniser.going.clear()
    problem(said(client), 504, "too_late")
    problem(said(client), 504, "too_late")
    # The first goes on although nobody waits for it: a second beside it would only slow both.
    assert len(recogniser.asked) == 1
    recogniser.going.set()
    until = time.monotonic() + 30
    while said(client).status_code != 200:
        assert time.monotonic() < until


def test_metrics_tell_speech_from_text(client: TestClient) -> None:
    said(client)
    page = client.get("/metrics").text
    assert 'dragoman_queries_total{lang="pt",modality="speech"} 1.0' in page
    assert 'dragoman_search_stage_duration_seconds_count{stage="hear"} 1.0' in page
