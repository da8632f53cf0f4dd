"""Units of sound, against values by hand and slow, obvious ways."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fake_recogniser import as_wav, syllables
from numpy.typing import NDArray
from tiny_sounds import tone
from tiny_whisper import save_tiny

from dragoman.errors import DamagedError, UserError
from dragoman.media.sound import RATE, Samples
from dragoman.speech.frames import (
    BANDS,
    COEFFICIENTS,
    CONTEXT,
    FRAME,
    MelFrames,
    WhisperFrames,
    audible,
    cosines,
    in_context,
    mel_power,
)
from dragoman.speech.hearing import NothingUnderstoodError, hear
from dragoman.speech.recogniser import open_recogniser
from dragoman.speech.recognisers.whisper import log_mel, mel_filters
from dragoman.speech.units import (
    CODEBOOK,
    FIRST,
    MOST_WORDS,
    UnitSettings,
    collapsed,
    fit_codebook,
    fit_units,
    nearest,
    open_units,
    worded_units,
)
from dragoman.texts import visible, worded


def babble(seed: int, seconds: float = 1.0) -> Samples:
    """[T] syllables of changing pitch that come and go, others for each seed."""
    draws = np.random.default_rng(seed)
    parts = [tone(float(draws.uniform(200, 3000)), 0.12, RATE) for _ in range(round(seconds / 0.12))]
    loud = 0.1 + np.hanning(len(parts[0]))
    return np.asarray(np.concatenate([part * loud for part in parts]) * 0.3, np.float32)


def letters(*units: int) -> str:
    return "".join(chr(FIRST + unit) for unit in units)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("units") / "units"
    fit_units(map(babble, range(6)), out, UnitSettings(count=12), {"sounds": "abc"})
    return out


def test_power_in_mel_bands_is_that_of_a_slow_transform() -> None:
    sound = babble(3, 0.3)[: 2 * FRAME + 100]
    padded = np.concatenate([np.zeros(120), sound.astype(np.float64), np.zeros(1000)])
    expected = np.zeros((3, BANDS))
    times = np.arange(400)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * times / 400)
    for frame in range(3):
        for part in range(4):
            piece = padded[frame * 640 + part * 160 :][:400] * window
            power = [abs(sum(piece * np.exp(-2j * math.pi * bin_ * times / 400))) ** 2 for bin_ in range(201)]
            expected[frame] += mel_filters(BANDS).astype(np.float64) @ power / 4
    np.testing.assert_allclose(mel_power(sound), expected, rtol=1e-3, atol=1e-7)


def test_cosines_of_bands_by_hand() -> None:
    found = cosines().astype(np.float64)
    assert found.shape == (COEFFICIENTS, BANDS)
    np.testing.assert_allclose(found @ found.T, np.eye(COEFFICIENTS), atol=1e-6)
    assert found[0, 17] == pytest.approx(1 / math.sqrt(40))
    assert found[2, 5] == pytest.approx(math.sqrt(1 / 20) * math.cos(math.pi * 2 * 5.5 / 40))


def test_frames_are_seen_between_their_neighbours() -> None:
    found = in_context(np.array([[1, 2], [3, 4], [5, 6]], np.float32), 1)
    assert found.tolist() == [[1, 2, 1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 5, 6]]


def test_a_pause_is_no_frame_and_how_loud_a_sound_is_changes_none() -> None:
    voice = babble(1)
    paused = np.concatenate([voice[: 10 * FRAME], np.zeros(5 * FRAME, np.float32), voice[10 * FRAME :]])
    assert audible(voice).all() and len(audible(voice)) == math.ceil(len(voice) / FRAME)
    assert np.flatnonzero(~audible(paused)).tolist() == [10, 11, 12, 13, 14]
    loud, soft = MelFrames().of(voice), MelFrames().of(voice / 8)
    assert loud.shape == (len(audible(voice)), (2 * CONTEXT + 1) * COEFFICIENTS)
    np.testing.assert_allclose(loud, soft, atol=1e-3)


def test_of_silence_there_are_no_frames() -> None:
    hiss = np.asarray(np.random.default_rng(0).standard_normal(RATE) * 1e-3, np.float32)  # -60 dB
    for sound in (np.zeros(0, np.float32), np.zeros(RATE, np.float32), hiss):
        assert len(MelFrames().of(sound)) == 0


def test_frames_of_a_layer_are_those_of_the_encoder_on_the_sound_alone(tmp_path: Path) -> None:
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    tiny = save_tiny(tmp_path / "tiny")
    voice = babble(2)
    count = 2 * len(audible(voice))
    config = WhisperConfig.from_pretrained(tiny)
    config.max_source_positions = count
    encoder = WhisperForConditionalGeneration(config).get_encoder().eval()
    whole = WhisperForConditionalGeneration.from_pretrained(tiny).get_encoder().state_dict()
    whole["embed_positions.weight"] = whole["embed_positions.weight"][:count]
    encoder.load_state_dict(whole)
    seen: list[torch.Tensor] = []
    encoder.layer_norm.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    with torch.inference_mode():
        encoder(torch.from_numpy(log_mel(voice, 80, count * RATE // 50)[None]))
    expected = seen[0][0].numpy().reshape(-1, 2, 16).mean(1)
    found = WhisperFrames(str(tiny), None)
    assert (found.layer, found.identity["frames"]) == (1, "whisper")
    np.testing.assert_allclose(found.of(voice), expected - expected.mean(0), atol=1e-4)
    assert found.of(np.zeros(RATE, np.float32)).shape == (0, 16)


def test_states_of_a_layer_are_divided_by_their_deviation(tmp_path: Path) -> None:
    tiny = save_tiny(tmp_path / "tiny")
    settings = UnitSettings(count=4, encoder=str(tiny))
    units = fit_units(map(babble, range(3)), tmp_path / "units", settings, {})
    seen = np.concatenate([WhisperFrames(str(tiny), None).of(babble(seed)) for seed in range(3)])
    np.testing.assert_allclose(units.scale, seen.std(0), rtol=1e-3)
    np.testing.assert_allclose(units.codebook, fit_codebook(seen / units.scale, 4), rtol=1e-4, atol=1e-5)
    expected = nearest(WhisperFrames(str(tiny), None).of(babble(5)) / units.scale, units.codebook)
    assert units.units(babble(5)) == collapsed(expected)


def test_a_codebook_of_another_encoder_is_told(tmp_path: Path) -> None:
    tiny = save_tiny(tmp_path / "tiny")
    settings = UnitSettings(count=4, encoder=str(tiny))
    fit_units(map(babble, range(2)), tmp_path / "units", settings, {})
    assert open_units(tmp_path / "units").units(babble(1))
    save_tiny(tmp_path / "tiny", multilingual=False)
    with pytest.raises(UserError, match="is another than the one whose frames"):
        open_units(tmp_path / "units")


def test_layers_and_encoders_that_are_not_there_are_told(tmp_path: Path) -> None:
    tiny = save_tiny(tmp_path / "tiny")
    with pytest.raises(UserError, match="has layers 1 to 1, and no 2"):
        WhisperFrames(str(tiny), 2)


def test_the_nearest_centre_is_that_of_a_slow_search_and_the_first_of_several() -> None:
    draws = np.random.default_rng(0)
    frames, centres = draws.standard_normal((50, 7)), draws.standard_normal((9, 7))
    centres[4] = centres[2]
    expected = [min(range(9), key=lambda k: (round(math.dist(x, centres[k]), 9), k)) for x in frames]
    assert nearest(frames.astype(np.float32), centres.astype(np.float32)).tolist() == expected
    assert 2 in expected and 4 not in expected


def slow_k_means(frames: NDArray[np.float64], centres: NDArray[np.float64], rounds: int) -> list[list[float]]:
    """Lloyd's rounds, one frame at a time."""
    found = [list(one) for one in centres]
    for _ in range(rounds):
        of_centre: list[list[Sequence[float]]] = [[] for _ in found]
        for frame in frames.tolist():
            of_centre[min(range(len(found)), key=lambda k: math.dist(frame, found[k]))].append(frame)
        found = [
            [sum(column) / len(mine) for column in zip(*mine, strict=True)] if mine else before
            for mine, before in zip(of_centre, found, strict=True)
        ]
    return found


def test_a_codebook_is_that_of_slow_k_means_and_the_same_each_time() -> None:
    frames = np.random.default_rng(1).standard_normal((80, 3)).astype(np.float32)
    known = np.unique(frames, axis=0).astype(np.float64)
    begun = np.random.default_rng(5).choice(known, 6, replace=False)
    found = fit_codebook(frames, 6, seed=5)
    np.testing.assert_allclose(found, slow_k_means(frames.astype(np.float64), begun, 20), rtol=1e-5)
    np.testing.assert_allclose(fit_codebook(frames[::-1], 6, seed=5), found, rtol=1e-6)
    assert not np.allclose(fit_codebook(frames, 6, seed=6), found)


def test_too_few_frames_for_a_codebook_are_told() -> None:
    frames = np.zeros((100, 3), np.float32)
    with pytest.raises(UserError, match="1 different frames of sound are too few for 2 units"):
        fit_codebook(frames, 2)


def test_repeated_units_count_once() -> None:
    assert collapsed([7, 7, 3, 3, 3, 7]) == [7, 3, 7]
    assert collapsed([0, 0]) == [0]
    assert collapsed([]) == []


def test_units_are_letters_in_words_that_overlap() -> None:
    assert worded_units([]) == ""
    assert worded_units([5]) == letters(5)
    assert worded_units(range(6)) == letters(*range(6))
    assert worded_units(range(7)) == f"{letters(*range(6))} {letters(3, 4, 5, 6)}"
    assert worded_units(range(9)) == f"{letters(*range(6))} {letters(*range(3, 9))}"
    assert worded_units(range(10)).split()[-1] == letters(6, 7, 8, 9)


def test_every_letter_is_one_to_readers_of_texts() -> None:
    row = letters(*range(1024))
    assert row.isalpha() and row.lower() == row.upper() == visible(row) == row and worded(row)


def test_the_longest_sound_has_a_text_of_bounded_length() -> None:
    text = worded_units([0, 1] * 375)  # 30 seconds, none repeated
    assert len(text.split()) == MOST_WORDS and len(text) == MOST_WORDS * 7 - 1


def test_a_codebook_is_read_as_it_was_written_and_sounds_give_the_same_units(folder: Path) -> None:
    units = open_units(folder)
    assert units.codebook.shape == (12, (2 * CONTEXT + 1) * COEFFICIENTS) and set(units.scale) == {1}
    found = units.units(babble(9))
    expected = collapsed(nearest(MelFrames().of(babble(9)), np.load(folder / CODEBOOK)))
    assert found == expected and len(set(found)) > 3
    assert units.text(babble(9)) == worded_units(found) == open_units(folder).text(babble(9))
    assert units.text(np.zeros(RATE, np.float32)) == ""


def test_a_codebook_that_is_there_is_kept_and_another_refused(folder: Path) -> None:
    before = (folder / CODEBOOK).read_bytes()
    fit_units(iter(()), folder, UnitSettings(count=12), {"sounds": "abc"})
    assert (folder / CODEBOOK).read_bytes() == before
    with pytest.raises(UserError, match="holds another units; it differs in count=12 there, 13 now"):
        fit_units(iter(()), folder, UnitSettings(count=13), {"sounds": "abc"})


def test_a_damaged_codebook_is_told(tmp_path: Path) -> None:
    fit_units(map(babble, range(2)), tmp_path / "units", UnitSettings(count=4), {})
    content = bytearray((tmp_path / "units" / CODEBOOK).read_bytes())
    content[-1] ^= 1
    (tmp_path / "units" / CODEBOOK).write_bytes(content)
    with pytest.raises(DamagedError, match="is damaged"):
        open_units(tmp_path / "units")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 1}, r"count must lie in 2..1024, got 1"),
        ({"count": 1025}, r"count must lie in 2..1024, got 1025"),
        ({"layer": 2}, "name one with --encoder"),
    ],
)
def test_settings_are_checked(given: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        UnitSettings(**given)  # type: ignore[arg-type]


def test_a_sound_is_heard_as_units_and_silence_and_noise_as_nothing(folder: Path) -> None:
    recogniser = open_recogniser(folder)
    heard = hear(as_wav(babble(4)), recogniser)
    sound = np.round(babble(4) * 32767) / 32768  # as the file has it
    assert heard.text == open_units(folder).text(np.asarray(sound, np.float32))
    assert (heard.language, heard.given) == ("und", False)
    assert hear(as_wav(babble(4)), recogniser, "pt").language == "pt"
    hiss = np.asarray(np.random.default_rng(0).standard_normal(2 * RATE) * 0.1, np.float32)
    for nothing in (np.zeros(RATE, np.float32), hiss):
        with pytest.raises(NothingUnderstoodError):
            hear(as_wav(nothing), recogniser)


def test_many_units_are_no_loop_of_a_decoder(folder: Path) -> None:
    # A recogniser of words that wrote so much of the same would be held to have made it up.
    assert hear(as_wav(syllables(20.0)), open_recogniser(folder)).text
