"""Recognisers behind a server on this computer: requests, answers of several forms, and refusals."""

from __future__ import annotations

import io
import json
import time
import wave
from typing import Any

import numpy as np
import pytest
from chat_server import Answer, post_server
from fake_recogniser import syllables
from talking_server import hears

from dragoman.errors import UnavailableError, UserError
from dragoman.speech.recogniser import Recognised, open_recogniser

SOUND = syllables()


@pytest.fixture(autouse=True)
def patch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def test_the_sound_goes_as_a_file_with_key_model_and_language() -> None:
    with post_server(hears("um cão", "portuguese")) as (url, requests):
        found = open_recogniser(f"{url}#some/model").recognise(SOUND, "pt")
    assert found == Recognised(text="um cão", language="pt", no_speech=0.1, log_probability=-0.3)
    (request,) = requests
    assert (request["path"], request["headers"]["Authorization"]) == (
        "/v1/audio/transcriptions",
        "Bearer secret",
    )
    body = request["body"]
    with wave.open(io.BytesIO(body.pop("file"))) as file:
        assert file.getparams()[:4] == (1, 2, 16_000, len(SOUND))
        numbers = np.frombuffer(file.readframes(len(SOUND)), "<i2")
    np.testing.assert_allclose(numbers / 32768, SOUND, atol=1e-4)
    assert body == {
        "model": "some/model",
        "language": "pt",
        "response_format": "verbose_json",
        "temperature": "0",
    }


def test_words_that_are_expected_are_told_in_their_language_alone() -> None:
    with post_server(hears("um cão", "portuguese")) as (url, requests):
        recogniser = open_recogniser(url)
        recogniser.words = {"pt": "cachorro, praia."}
        recogniser.recognise(SOUND, "pt")
        recogniser.recognise(SOUND, "en")
        recogniser.recognise(SOUND, None)
    assert [request["body"].get("prompt") for request in requests] == ["cachorro, praia.", None, None]


@pytest.mark.parametrize(
    ("said", "tag"),
    [("portuguese", "pt"), ("Haitian Creole", "ht"), ("fr", "fr"), ("gibberish", None), (5, None)],
)
def test_a_language_is_known_by_its_name_or_its_code(said: Any, tag: str | None) -> None:
    with post_server(hears("um cão", said)) as (url, requests):
        assert open_recogniser(url).recognise(SOUND, None).language == tag
    assert "language" not in requests[0]["body"] and requests[0]["body"]["model"] == "whisper-1"


def test_measures_are_means_over_the_seconds_of_segments() -> None:
    segments = [
        {"start": 0, "end": 3, "no_speech_prob": 0.1, "avg_logprob": -0.2},
        {"start": 3, "end": 4, "no_speech_prob": 0.9, "avg_logprob": -1.0},
    ]
    answer = json.dumps({"text": "a dog", "language": "english", "segments": segments})
    with post_server(lambda request: (200, answer)) as (url, _):
        found = open_recogniser(url).recognise(SOUND, None)
    assert found.no_speech == pytest.approx(0.3) and found.log_probability == pytest.approx(-0.4)


def test_a_model_without_the_long_form_is_asked_for_the_short_one_from_then_on() -> None:
    def short(request: dict[str, Any]) -> Answer:
        refused = request["response_format"] == "verbose_json"
        return (400, "response_format is not supported") if refused else (200, json.dumps({"text": "a dog"}))

    with post_server(short) as (url, requests):
        recogniser = open_recogniser(url)
        for _ in range(2):
            assert recogniser.recognise(SOUND, None) == Recognised(text="a dog", language=None)
    forms = [one["body"]["response_format"] for one in requests]
    assert forms == ["verbose_json", "json", "json"]


@pytest.mark.parametrize(
    "content", ["", "[]", '{"text": 5}', '{"words": "a dog"}', '{"text": "a", "segments": 5}']
)
def test_an_answer_that_holds_no_words_is_an_error(content: str) -> None:
    with (
        post_server(lambda request: (200, content)) as (url, _),
        pytest.raises(
            UserError, match=r"recognises no speech by 'whisper-1': the answer .*Check the address"
        ),
    ):
        open_recogniser(url).recognise(SOUND, None)


def test_a_server_that_does_not_answer_is_unavailable() -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9/v1/audio/transcriptions failed 2 times"):
        open_recogniser("http://127.0.0.1:9/v1").recognise(SOUND, None)


def test_the_public_server_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match=r"The recogniser 'https://api\.openai\.com/v1' needs a key"):
        open_recogniser("https://api.openai.com/v1")
