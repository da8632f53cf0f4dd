"""Whisper in both forms: spectrograms as its authors make them, prompts, measures, and damaged folders."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fake_recogniser import syllables
from tiny_whisper import IDS, NEVER, NOT_FIRST, convert_tiny, save_tiny
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

from dragoman.errors import UserError
from dragoman.media.sound import RATE
from dragoman.speech.recogniser import open_recogniser
from dragoman.speech.recognisers import ctranslate2, huggingface
from dragoman.speech.recognisers.whisper import log_mel

SOUND = syllables(2)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    # Random weights find no end.
    for kind in (huggingface, ctranslate2):
        monkeypatch.setattr(kind, "MOST_TOKENS", 6)


@pytest.fixture(scope="module")
def english(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A converted model of English alone; the folder that it was converted from lies beside it."""
    return convert_tiny(tmp_path_factory.mktemp("english") / "tiny", multilingual=False)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("many") / "tiny")


@pytest.mark.parametrize("bands", [80, 128])
@pytest.mark.parametrize("seconds", [0.01, 3.3, 30.0, 31.0])
def test_spectrograms_are_those_of_the_authors(bands: int, seconds: float) -> None:
    samples = np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32) * 0.1
    extractor = WhisperFeatureExtractor(feature_size=bands)
    (wanted,) = extractor(samples, sampling_rate=RATE, return_tensors="np").input_features
    found = log_mel(samples, bands)
    assert found.shape == wanted.shape == (bands, 3000)
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_both_libraries_write_the_same_and_are_as_sure_of_it(
    english: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctranslate2, "COMPUTE", "float32")
    ours, theirs = (open_recogniser(folder) for folder in (english, english.parent / f"{english.name}-saved"))
    assert ours.languages == theirs.languages == ("en",)
    found, wanted = (one.recognise(SOUND, None) for one in (ours, theirs))
    assert len(wanted.text.split()) >= 3 and found.text == wanted.text
    assert (found.language, found.confidence) == (wanted.language, wanted.confidence) == ("en", 1.0)
    assert found.no_speech == pytest.approx(wanted.no_speech, rel=1e-3)
    # Cut at six tokens, one has no end, and the other counts one.
    assert found.log_probability is not None and wanted.log_probability is not None
    assert found.log_probability * 7 / 6 == pytest.approx(wanted.log_probability, rel=1e-3)


def test_measures_are_those_of_a_count_token_by_token(many: Path) -> None:
    found = open_recogniser(many).recognise(SOUND, "pt")
    model = WhisperForConditionalGeneration.from_pretrained(many).eval()
    mel = torch.from_numpy(log_mel(SOUND, 80))[None]
    ids = [IDS[f"<|{name}|>"] for name in ("startoftranscript", "pt", "transcribe", "notimestamps")]
    words = [int(word.removeprefix("w")) for word in found.text.split()]
    assert len(words) == 6
    total = 0.0
    with torch.inference_mode():
        first = model(mel, decoder_input_ids=torch.tensor([ids[:1]])).logits[0, -1].softmax(-1)
        assert found.no_speech == pytest.approx(float(first[IDS["<|nospeech|>"]]), rel=1e-4)
        for number, word in enumerate(words):
            logits = model(mel, decoder_input_ids=torch.tensor([ids])).logits[0, -1]
            logits[NEVER + (NOT_FIRST if number == 0 else [])] = -torch.inf
            total += float(logits.log_softmax(-1)[word])
            ids.append(word)
    # Cut at six tokens, it has no end.
    assert found.log_probability == pytest.approx(total / 6, rel=1e-4)


def test_words_that_are_expected_stand_before_the_start(many: Path) -> None:
    recogniser = open_recogniser(many)
    before = recogniser.recognise(SOUND, "pt")
    recogniser.words = {"pt-BR": "w5 w9", "en": "w7"}
    found = recogniser.recognise(SOUND, "pt")
    model = WhisperForConditionalGeneration.from_pretrained(many).eval()
    mel = torch.from_numpy(log_mel(SOUND, 80))[None]
    names = ("startoftranscript", "pt", "transcribe", "notimestamps")
    ids = [IDS["<|startofprev|>"], 5, 9, *(IDS[f"<|{name}|>"] for name in names)]
    with torch.inference_mode():
        silent = model(mel, decoder_input_ids=torch.tensor([ids[:4]])).logits[0, -1].softmax(-1)
    assert found.text != before.text
    assert found.no_speech == pytest.approx(float(silent[IDS["<|nospeech|>"]]), rel=1e-3)
    assert found.no_speech != pytest.approx(before.no_speech, rel=1e-2)


def test_the_language_is_the_likeliest_after_the_first_token(many: Path) -> None:
    recogniser = open_recogniser(many)
    assert recogniser.languages is not None and len(recogniser.languages) == 99
    # Javanese has had another code since.
    assert "jv" in recogniser.languages and "jw" not in recogniser.languages
    found = recogniser.recognise(SOUND, None)
    model = WhisperForConditionalGeneration.from_pretrained(many).eval()
    with torch.inference_mode():
        start = torch.tensor([[IDS["<|startoftranscript|>"]]])
        logits = model(torch.from_numpy(log_mel(SOUND, 80))[None], decoder_input_ids=start).logits[0, -1]
    of_languages = logits[range(IDS["<|en|>"], IDS["<|en|>"] + 99)].softmax(-1)
    assert found.confidence == pytest.approx(float(of_languages.max()), rel=1e-4)
    assert found.language == recogniser.languages[int(of_languages.argmax())]


class Model:
    """A stand-in for a converted model of many languages."""

    is_multilingual, n_mels = True, 80

    def __init__(self) -> None:
        self.prompts: list[list[str]] = []

    def encode(self, mel: Any) -> str:
        return "encoded"

    def detect_language(self, encoded: str) -> list[list[tuple[str, float]]]:
        assert encoded == "encoded"
        return [[("<|jw|>", 0.7), ("<|en|>", 0.3)]]

    def generate(self, encoded: str, prompts: list[list[str]], **how: Any) -> list[Any]:
        self.prompts += prompts
        assert how["max_length"] == 2 * 6
        return [SimpleNamespace(sequences_ids=[[5, 6, 7]], scores=[-0.8], no_speech_prob=0.25)]


class Tokenizer:
    def get_added_tokens_decoder(self) -> dict[int, Any]:
        return {
            at: SimpleNamespace(content=f"<|{code}|>") for at, code in enumerate(("en", "jw", "translate"))
        }

    def decode(self, ids: list[int], *, skip_special_tokens: bool) -> str:
        return f" words {ids} "

    def encode(self, text: str, *, add_special_tokens: bool) -> Any:
        assert not add_special_tokens
        return SimpleNamespace(tokens=[*text])


def test_a_converted_model_is_prompted_with_the_code_of_the_language() -> None:
    model = Model()
    recogniser = ctranslate2.CTranslate2Whisper(lambda: model, Tokenizer())
    assert recogniser.languages == ("en", "jv")
    found = recogniser.recognise(SOUND, None)
    assert (found.text, found.language, found.confidence) == ("words [5, 6, 7]", "jv", 0.7)
    # A mean over three tokens, of a sum that holds the end.
    assert (found.no_speech, found.log_probability) == (0.25, pytest.approx(-0.8 * 3 / 4))
    recogniser.recognise(SOUND, "en")
    start, rest = "<|startoftranscript|>", ["<|transcribe|>", "<|notimestamps|>"]
    assert model.prompts == [[start, "<|jw|>", *rest], [start, "<|en|>", *rest]]
    recogniser.words = {"en": "x" * 300}
    recogniser.recognise(SOUND, "en")
    assert model.prompts[-1] == ["<|startofprev|>", " ", *"x" * 222, start, "<|en|>", *rest]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_of_a_fork_hears_as_its_parent_and_ends(english: Path, tmp_path: Path) -> None:
    """In a process of its own: this one has threads of many libraries."""
    code = (
        "import os, sys\n"
        "from dragoman.speech.recognisers import ctranslate2\n"
        "from fake_recogniser import syllables\n"
        "ctranslate2.MOST_TOKENS = 6\n"
        "model = ctranslate2.load(sys.argv[1], 'cpu')\n"
        "print(model.recognise(syllables(), 'en').text, flush=True)\n"
        "child = os.fork()\n"
        "if child: sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "print(model.recognise(syllables(), 'en').text, flush=True)\n"
    )
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", code, str(english)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": paths},
    )
    parent, child = done.stdout.splitlines()
    assert done.returncode == 0 and parent == child != "", done.stderr


@pytest.fixture
def broken(many: Path, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "broken"
    folder.mkdir()
    for file in many.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    yield folder


def test_damaged_folders_are_told(broken: Path, english: Path, tmp_path: Path) -> None:
    (broken / "model.safetensors").rename(broken / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"only pickled weights \(pytorch_model\.bin\)"):
        open_recogniser(broken)
    (broken / "pytorch_model.bin").rename(broken / "model.safetensors")
    (broken / "model.safetensors").write_bytes(b"\x08" + bytes(30))
    with pytest.raises(UserError, match=r"cannot be loaded as a recogniser of speech"):
        open_recogniser(broken)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "config.json").write_bytes((english / "config.json").read_bytes())
    (bare / "model.bin").write_bytes(b"nothing")
    with pytest.raises(UserError, match=r"has no tokenizer\.json\. Convert it: ct2-transformers-converter"):
        open_recogniser(bare)
    (bare / "tokenizer.json").write_bytes((english / "tokenizer.json").read_bytes())
    with pytest.raises(UserError, match=r"cannot be loaded as a recogniser"):
        open_recogniser(bare)
    # A converted model of translation.
    (bare / "config.json").write_text(json.dumps({"bos_token": "<s>"}))
    with pytest.raises(UserError, match=r"holds no recogniser of speech that is known"):
        open_recogniser(bare)
