"""Queries that are spoken: what was understood is asked, told, and searched for as the same text typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import toy_model
from chat_server import post_server
from click.testing import CliRunner, Result
from fake_recogniser import FakeRecogniser, as_wav, syllables
from talking_server import hears
from toy_model import save_model, save_picture

from dragoman.cli import dragoman
from dragoman.errors import UserError
from dragoman.index.job import index_media
from dragoman.media.sound import SoundError
from dragoman.messages import message_of
from dragoman.search.printing import understood
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
from dragoman.speech.hearing import Heard, NothingUnderstoodError

TALK = as_wav(syllables())


@pytest.fixture(autouse=True)
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    toy_model.install(monkeypatch)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    save_model(tmp_path / "run")
    for colour in ("red", "green", "blue"):
        save_picture(tmp_path / "photos" / f"{colour}.png", colour)
    index_media(tmp_path / "run", tmp_path / "photos", tmp_path / "index")
    (tmp_path / "question.wav").write_bytes(TALK)
    return tmp_path / "index"


def typed(*arguments: object) -> Result:
    return CliRunner().invoke(dragoman, ["search", "index", *map(str, arguments)])


@pytest.mark.parametrize("speech", ["question.wav", Path("question.wav"), TALK])
def test_a_spoken_query_finds_what_the_same_text_finds(index: Path, speech: str | Path | bytes) -> None:
    with Searcher.open(index, recogniser=FakeRecogniser(text="um quadrado vermelho", language="pt")) as one:
        spoken = one.search(speech=speech, k=2)
        text = one.search("um quadrado vermelho", k=2)
    assert spoken.hits == text.hits and spoken.hits[0].entry.item_id == "red.png"
    assert spoken.heard == Heard(text="um quadrado vermelho", language="pt", confidence=0.9, given=False)
    assert text.heard is None and "hear" not in text.seconds
    assert spoken.language is not None and spoken.seconds["hear"] > 0
    told = spoken.language.code, spoken.language.confidence, spoken.language.given, spoken.language.trained
    assert told == ("pt", 0.9, False, True)


def test_a_language_that_is_given_is_heard_and_kept(index: Path) -> None:
    recogniser = FakeRecogniser(text="um quadrado vermelho")
    with Searcher.open(index, recogniser=recogniser) as one:
        answer = one.search(speech=TALK, lang="pt")
    assert [lang for _, lang in recogniser.asked] == ["pt"]
    assert answer.language is not None
    assert (answer.language.code, answer.language.confidence, answer.language.given) == ("pt", 1.0, True)


def test_where_a_recogniser_tells_no_language_the_text_does(index: Path) -> None:
    with Searcher.open(index, recogniser=FakeRecogniser(text="um quadrado vermelho", language=None)) as one:
        answer = one.search(speech=TALK)
        assert answer.language == one.search("um quadrado vermelho").language
        assert answer.heard is not None and answer.heard.language is None


def test_it_goes_with_pictures_and_among_other_queries(index: Path) -> None:
    with Searcher.open(index, recogniser=FakeRecogniser(text="green")) as one:
        queries = [
            Query(text="blue", k=1),
            Query(speech=TALK, image="photos/green.png", k=1),
            Query(text="red"),
        ]
        blue, green, red = one.search_many(queries)
    assert [answer.hits[0].entry.item_id for answer in (blue, green, red)] == [
        "blue.png",
        "green.png",
        "red.png",
    ]
    assert [answer.heard is not None for answer in (blue, green, red)] == [False, True, False]


def test_what_cannot_be_asked_is_told(index: Path) -> None:
    with Searcher.open(index) as one, pytest.raises(UserError, match="--recogniser openai/whisper-base"):
        one.search(speech=TALK)
    with Searcher.open(index, recogniser=FakeRecogniser(text="")) as one:
        with pytest.raises(NothingUnderstoodError):
            one.search(speech=TALK)
        with pytest.raises(SoundError, match="no such file"):
            one.search(speech="none.wav")
        with pytest.raises(UserError, match="not both") as raised:
            one.search("a dog", speech=TALK)
        told = message_of(raised.value)
        assert told is not None and told.code == "speech_and_text"


def test_the_command_line_prints_what_was_understood_before_the_hits() -> None:
    with post_server(hears("um quadrado vermelho\x1b", "portuguese")) as (url, requests):
        done = typed("--speech", "question.wav", "--recogniser", url, "-k", 1)
        assert done.exit_code == 0, done.output
        lines = done.output.splitlines()
        # Without what steers a terminal.
        assert lines[0] == "Understood: Portuguese (pt), 100% sure (--lang says it): um quadrado vermelho"
        assert lines[1].split()[-1].endswith("red.png")
        # The language is told once.
        assert not any(line.startswith("Language:") for line in lines)
        done = typed("--speech", "question.wav", "--recogniser", url, "--lang", "pt", "--json")
        (line,) = done.stdout.splitlines()
        said = json.loads(line)
        assert said["heard"] == {
            "text": "um quadrado vermelho",
            "language": "pt",
            "confidence": 1.0,
            "given": True,
        }
        assert said["query"]["speech"] == "question.wav" and said["query"]["text"] == said["heard"]["text"]
    assert [one["body"].get("language") for one in requests] == [None, "pt"]


def test_the_command_line_tells_what_it_lacks() -> None:
    def refused(*arguments: str) -> str:
        done = typed(*arguments)
        assert done.exit_code != 0 and isinstance(done.exception, UserError)
        return str(done.exception)

    asked = ("--speech", "question.wav")
    assert "needs a recogniser of speech" in refused(*asked)
    assert "leave out TEXT, --speech" in refused(*asked, "--queries", "-")
    with post_server(hears("", "english")) as (url, _):
        assert "No words were understood" in refused(*asked, "--recogniser", url)
        assert "red.png: no sound of a known" in refused("--speech", "photos/red.png", "--recogniser", url)


def test_a_language_that_units_of_sound_do_not_tell_is_not_shown() -> None:
    assert understood(Heard(text="𓀀𓀁", language="und")) == "Understood: 𓀀𓀁"
    assert understood(Heard(text="𓀀𓀁", language="pt", given=True)) == "Understood: Portuguese (pt): 𓀀𓀁"
