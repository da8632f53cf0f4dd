"""The microphone of the page, in a real browser that hears a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import chromium
import numpy as np
import pytest
from chromium import Page, browser
from fake_recogniser import FakeRecogniser, as_wav, syllables
from running import threaded
from test_web_page import AXE, QUIET, VIOLATIONS, answered, expected

from dragoman.media.sound import RATE, Samples
from dragoman.messages import catalogue
from dragoman.speech.recogniser import Recognised

pytestmark = pytest.mark.skipif(
    chromium.PROGRAM is None, reason="Chromium is missing; install it: sudo apt-get install chromium"
)
PORTUGUESE = "três carros lilases na rua"
SAYS = "document.querySelector('#listening').textContent"
LABEL = "document.querySelector('#speak').getAttribute('aria-label')"
LEVEL = "Number(document.querySelector('#speak').style.getPropertyValue('--level'))"
EN = catalogue("en")["page"]


@dataclass
class Keeping(FakeRecogniser):
    """Keeps what it was asked with."""

    sounds: list[Samples] = field(default_factory=list)

    def recognise(self, samples: Samples, lang: str | None) -> Recognised:
        self.sounds.append(samples)
        return super().recognise(samples, lang)


@pytest.fixture(scope="module")
def debugger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("listening")
    (folder / "voice.wav").write_bytes(as_wav(syllables(4)))
    arguments = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    arguments.append(f"--use-file-for-fake-audio-capture={folder / 'voice.wav'}")
    with browser(folder / "profile", *arguments) as address:
        yield address


@pytest.fixture
def recogniser() -> Keeping:
    return Keeping(text=PORTUGUESE, language="pt")


@pytest.fixture
def serve(shelf: Path, recogniser: Keeping) -> Iterator[Callable[..., str]]:
    with threaded(shelf=shelf) as start:
        yield lambda **limits: start(limits, recogniser=recogniser)[0]


def hear(page: Page) -> None:
    """Wait until it hears a syllable, the pause behind it, and another one: less is no voice."""
    for level in ("> 0.5", "< 0.4", "> 0.5"):
        page.wait(f"{SAYS} === {EN['listening']!r} && {LEVEL} {level}")


def begin(page: Page, url: str) -> None:
    """Open the page, press the microphone, and wait until it hears something."""
    page.go(url)
    page.wait(QUIET)
    page.click("#speak")
    hear(page)


def test_what_was_said_is_understood_searched_for_and_can_be_corrected(
    page: Page, serve: Callable[..., str], recogniser: Keeping, shelf: Path
) -> None:
    page.go(serve())
    page.wait(QUIET)
    assert page.ask(LABEL) == EN["speak"]
    page.click("#speak")
    hear(page)
    assert page.ask(LABEL) == EN["speak_done"]
    # The language may be said beforehand.
    assert page.ask("document.querySelector('#spoken').hidden") is False
    page.click("#speak")
    answered(page, expected(shelf, PORTUGUESE))
    assert page.ask("document.querySelector('#query').value") == PORTUGUESE
    assert page.ask("new URLSearchParams(location.search).get('q')") == PORTUGUESE
    assert page.ask(SAYS) == EN["heard"].format(text=PORTUGUESE)
    assert page.ask("document.querySelector('#lang').selectedOptions[0].text") == "Detected: Portuguese"
    assert page.ask("document.activeElement.id") == "query"
    assert page.ask(LABEL) == EN["speak"]
    # The hum of 150 Hz, as it was played.
    (sound,) = recogniser.sounds
    spectrum = np.abs(np.fft.rfft(sound))
    assert spectrum.argmax() * RATE / len(sound) == pytest.approx(150, abs=5)
    page.type(" vermelhos")
    answered(page, expected(shelf, f"{PORTUGUESE} vermelhos"))
    assert page.ask(SAYS) == "" and len(recogniser.sounds) == 1
    assert page.failures == []


@pytest.mark.parametrize("way", ["button", "escape", "typing"])
def test_listening_is_cancelled_and_nothing_is_sent(
    page: Page, serve: Callable[..., str], recogniser: Keeping, shelf: Path, way: str
) -> None:
    begin(page, serve())
    if way == "button":
        page.click("#unspeak")
    elif way == "escape":
        page.press("Escape")
    else:
        page.click("#query")
        page.type("red cars")
        answered(page, expected(shelf, "red cars"))
    page.wait(f"{SAYS} === '' && document.querySelector('#unspeak').hidden")
    assert page.ask(LABEL) == EN["speak"]
    assert page.ask("document.activeElement.id") == ("query" if way == "typing" else "speak")
    assert recogniser.asked == [] and page.failures == []


def test_the_keyboard_speaks_as_well(
    page: Page, serve: Callable[..., str], recogniser: Keeping, shelf: Path
) -> None:
    page.go(serve())
    page.wait(QUIET)
    page.press("/", "Tab")
    assert page.ask("document.activeElement.id") == "speak"
    page.press("Enter")
    hear(page)
    page.press("Enter")
    answered(page, expected(shelf, PORTUGUESE))


def test_time_that_is_up_ends_the_recording(
    page: Page, serve: Callable[..., str], recogniser: Keeping, shelf: Path
) -> None:
    page.go(serve(max_speech_seconds=1.0))
    page.wait(QUIET)
    page.click("#speak")
    answered(page, expected(shelf, PORTUGUESE))
    assert len(recogniser.sounds[0]) == pytest.approx(RATE, abs=2)


def test_a_language_that_is_chosen_is_asked_for_and_an_unknown_one_is_told(
    page: Page, serve: Callable[..., str], recogniser: Keeping, shelf: Path
) -> None:
    url = serve()
    begin(page, f"{url}?lang=pt")
    page.click("#speak")
    answered(page, expected(shelf, PORTUGUESE, lang="pt"))
    assert [lang for _, lang in recogniser.asked] == ["pt"]
    page.go(f"{url}?lang=es&ui=pt")
    page.wait(QUIET)
    page.click("#speak")
    told = catalogue("pt")["service"]["speech_language_unknown"].format(language="espanhol")
    page.wait(f"{SAYS} === {told!r}")
    assert page.ask("document.querySelector('#unspeak').hidden") and len(recogniser.asked) == 1


def test_nothing_understood_is_told_and_said_again(
    page: Page, serve: Callable[..., str], recogniser: Keeping, shelf: Path
) -> None:
    recogniser.text = ""
    begin(page, serve())
    page.click("#speak")
    page.wait("!document.querySelector('#failure').hidden")
    told = page.ask("document.querySelector('#failure p').textContent")
    assert told == catalogue("en")["service"]["nothing_understood"]
    # The pictures of before are still there.
    assert page.ask("document.querySelectorAll('#results li').length") == 36
    recogniser.text = PORTUGUESE
    page.click("#failure button")
    hear(page)
    page.click("#speak")
    answered(page, expected(shelf, PORTUGUESE))
    assert page.ask("document.querySelector('#failure').hidden")


def test_a_microphone_that_is_refused_or_missing_is_told(
    page: Page, serve: Callable[..., str], recogniser: Keeping
) -> None:
    url = serve()
    page.go(url)
    page.wait(QUIET)
    refuse = "Promise.reject(new DOMException('', '%s'))"
    for name, code in (("NotAllowedError", "microphone_refused"), ("NotFoundError", "microphone_missing")):
        page.ask(f"void (navigator.mediaDevices.getUserMedia = () => {refuse % name})")
        page.click("#speak")
        page.wait(f"{SAYS} === {EN[code]!r}")
        assert page.ask(LABEL) == EN["speak"]
    # As where the page did not come over https.
    page.ask("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})")
    page.click("#speak")
    page.wait(f"{SAYS} === {EN['microphone_missing']!r}")
    assert recogniser.asked == []


@pytest.mark.parametrize("language", ["en", "ar"])
def test_axe_finds_nothing_while_it_listens(page: Page, serve: Callable[..., str], language: str) -> None:
    page.go(f"{serve()}?ui={language}")
    page.wait(QUIET)
    page.ask(f"{AXE}; 0")
    assert page.ask(VIOLATIONS) == []
    page.click("#speak")
    page.wait(f"{LEVEL} > 0.5 && document.querySelector('#unspeak').hidden === false")
    page.ask("document.querySelector('#speak').style.setProperty('--level', '0')")
    assert page.ask(VIOLATIONS) == []
