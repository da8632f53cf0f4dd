"""Frames of a sound, in which units are found: log-mel, or a middle layer of a Whisper encoder.

T samples, F frames of 40 ms, D numbers of each, M mel bands.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.media.sound import RATE, Samples
from dragoman.models.hub import fingerprint, model_folder
from dragoman.speech.hearing import FAINT
from dragoman.speech.recognisers.whisper import HOP, WINDOW, log_mel, mel_filters, window_power

FRAME = RATE // 25
"""Samples of a frame; units of the paper come 25 a second as well."""
BANDS, COEFFICIENTS = 40, 13
"""M, and numbers of a frame of log-mel alone: the rough shape of a spectrum tells sounds of speech apart."""
SOFTER = 35.0
"""Decibels below the loudest frame from which on a frame is silence, and no unit: a pause says nothing."""
CONTEXT = 2
"""Frames on either side that are seen with a frame: a sound of speech is told by how it comes and goes."""
LOUDNESS = 0.3
"""Weight of the first coefficient, which is how loud a frame is."""


class Frames(ABC):
    """A way to see frames of a sound. May be asked by several threads."""

    uneven = False
    """True where the numbers of a frame are of unlike sizes, so that the largest alone would tell frames
    apart."""
    identity: dict[str, Any]
    """Tells it from other ways, for the manifest of a codebook."""

    @abstractmethod
    def of(self, samples: Samples) -> NDArray[np.float32]:
        """[F, D] the frames of [T] samples in -1 to 1 that are no silence, in their order."""


class MelFrames(Frames):
    """Log-mel, by NumPy alone: the mean of each frame, without the mean of the sound, which is the voice and
    the microphone, as its first cosines (mel-frequency cepstral coefficients), beside those of its
    neighbours."""

    def __init__(self) -> None:
        self.identity = {"frames": "mel"}

    def of(self, samples: Samples) -> NDArray[np.float32]:
        loud_F = audible(samples)
        if not loud_F.any():
            return np.zeros((0, (2 * CONTEXT + 1) * COEFFICIENTS), np.float32)
        power_FM = mel_power(samples)[loud_F]
        # What is 40 dB below the loudest is noise of some recordings, and nothing in others.
        log_FM = np.log(power_FM + 1e-4 * power_FM.max())
        found_FD = (log_FM - log_FM.mean(0)) @ cosines().T
        found_FD[:, 0] *= LOUDNESS
        return in_context(np.asarray(found_FD, np.float32), CONTEXT)


class WhisperFrames(Frames):
    """The mean of the states of each frame behind a layer of a Whisper encoder, without that of the sound;
    needs PyTorch."""

    uneven = True

    def __init__(self, folder: str, layer: int | None, device: str = "cpu") -> None:
        """Raises UserError where there is no such model, or no such layer."""
        from dragoman.speech.recognisers import huggingface

        where = model_folder(folder)
        if not huggingface.reads(str(where)):
            raise UserError(f"{folder} is no Whisper of transformers, whose middle layer could give frames.")
        self._model = huggingface.encoder(where, device)
        depth = len(self._model.layers)
        self.layer = (depth + 1) // 2 if layer is None else layer
        if not 1 <= self.layer <= depth:
            raise UserError(f"{folder} has layers 1 to {depth}, and no {self.layer}.")
        self.identity = {
            "frames": "whisper",
            "encoder": folder,
            "layer": self.layer,
            "weights": fingerprint(where),
        }

    def of(self, samples: Samples) -> NDArray[np.float32]:
        import torch

        loud_F = audible(samples)
        model, width = self._model, int(self._model.config.d_model)
        if not loud_F.any():
            return np.zeros((0, width), np.float32)
        # Of the sound alone, not of the silence behind it up to half a minute, which would cost ten times as
        # much.
        mel_MF = log_mel(samples, int(model.config.num_mel_bins), len(loud_F) * FRAME)
        with torch.inference_mode():
            mel = torch.from_numpy(mel_MF)[None].to(model.device)
            states = torch.nn.functional.gelu(model.conv1(mel))
            states = torch.nn.functional.gelu(model.conv2(states)).transpose(1, 2)
            states = states + model.embed_positions.weight[: states.shape[1]]
            for layer in model.layers[: self.layer]:
                found = layer(states, attention_mask=None)
                states = found[0] if isinstance(found, tuple) else found
        found_FD = states[0].float().cpu().numpy().reshape(len(loud_F), -1, width).mean(1)
        found_FD -= found_FD[loud_F].mean(0)
        return np.asarray(found_FD[loud_F], np.float32)


def open_frames(encoder: str | None = None, layer: int | None = None, device: str = "cpu") -> Frames:
    """Open the frames of an encoder, by its folder or hub id, or those without one."""
    return MelFrames() if encoder is None else WhisperFrames(encoder, layer, device)


def audible(samples: Samples) -> NDArray[np.bool_]:
    """[F] whether each frame, whole or begun, is as loud as a voice, and no pause in this sound."""
    whole = np.pad(samples, (0, -len(samples) % FRAME)).reshape(-1, FRAME)
    if not len(whole):
        return np.zeros(0, bool)
    level_F = 10 * np.log10(np.maximum(np.mean(whole.astype(np.float64) ** 2, axis=1), 1e-12))
    return np.asarray((level_F > FAINT) & (level_F > level_F.max() - SOFTER))


def mel_power(samples: Samples) -> NDArray[np.float32]:
    """[F, M] mean power in mel bands of the four windows of each frame, whole or begun."""
    count = -(-len(samples) // FRAME)
    beside = (WINDOW - HOP) // 2
    padded = np.pad(samples, (beside, beside + count * FRAME - len(samples)))
    power = window_power(padded) @ mel_filters(BANDS).T
    return np.asarray(power.reshape(count, FRAME // HOP, BANDS).mean(1), np.float32)


def in_context(frames_FC: NDArray[np.float32], beside: int) -> NDArray[np.float32]:
    """[F, (2 * beside + 1) * C] each frame between so many before it and behind it; the first and the last
    stand for those that are not there."""
    padded = np.pad(frames_FC, ((beside, beside), (0, 0)), mode="edge")
    return np.concatenate([padded[at : at + len(frames_FC)] for at in range(2 * beside + 1)], axis=1)


@cache
def cosines() -> NDArray[np.float32]:
    """[D, M] the first rows of the orthonormal cosine transform (DCT-II)."""
    row_D, band_M = np.arange(COEFFICIENTS)[:, None], np.arange(BANDS)
    found = np.cos(np.pi * row_D * (band_M + 0.5) / BANDS) * np.sqrt(2 / BANDS)
    found[0] /= np.sqrt(2)
    return np.asarray(found, np.float32)
