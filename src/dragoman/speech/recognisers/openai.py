"""A server with `/v1/audio/transcriptions` as OpenAI has it: `http://127.0.0.1:8000/v1#MODEL`.

The address is up to `/v1`; without a model it is asked for `whisper-1`. The key is that of OPENAI_API_KEY.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from dragoman.endpoints import Endpoint, RequestError, base_url
from dragoman.errors import UserError
from dragoman.languages import canonical_tag, tag_named
from dragoman.media.sound import Samples, as_wav
from dragoman.speech.recogniser import Recognised, Recogniser

LAYOUT = "the address of a server, such as https://api.openai.com/v1#whisper-1"
MODEL = "whisper-1"
TIMEOUT = 20.0
"""Seconds for a request."""
TRIES = 2
"""A person waits for the answer."""
FORMATS = ("verbose_json", "json")
"""Forms of an answer, the one that tells more first; not every model has it."""


def reads(name: str) -> bool:
    """Tell whether this is an address; no server is asked."""
    return name.startswith(("http://", "https://"))


def load(name: str, device: str) -> Recogniser:
    """Return the recogniser, of which nothing is asked yet. Raises UserError where the public server has no
    key."""
    address, _, model = name.partition("#")
    endpoint = Endpoint.open(f"The recogniser {name!r}", base_url(address), tries=TRIES)
    return ServedRecogniser(endpoint, model or MODEL)


class ServedRecogniser(Recogniser):
    """A model behind an endpoint."""

    def __init__(self, endpoint: Endpoint, model: str) -> None:
        self._endpoint, self._model = endpoint, model
        self._formats: tuple[str, ...] = FORMATS

    def recognise(self, samples: Samples, lang: str | None) -> Recognised:
        sound, refusal = as_wav(samples), RequestError()
        for form in self._formats:
            fields = {"model": self._model, "response_format": form, "temperature": "0"}
            if lang is not None:
                fields["language"] = lang
                if words := self.expected(lang):
                    fields["prompt"] = words
            try:
                found = _read(self._ask(fields, sound), lang)
            except RequestError as error:
                refusal = error
                continue
            self._formats = (form,)
            return found
        raise UserError(
            f"{self._endpoint.url} recognises no speech by {self._model!r}: {refusal}. Check the address, "
            "and the model behind its #."
        )

    def _ask(self, fields: Mapping[str, str], sound: bytes) -> bytes:
        return self._endpoint.post_file(
            "/audio/transcriptions", fields, sound, "speech.wav", "audio/wav", TIMEOUT
        )


def _read(answer: bytes, lang: str | None) -> Recognised:
    try:
        said = json.loads(answer)
        text, spoken, segments = said["text"], said.get("language"), said.get("segments") or []
        measures = {name: _mean(segments, name) for name in ("no_speech_prob", "avg_logprob")}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RequestError(f"the answer is no transcription ({error!r})") from None
    if not isinstance(text, str):
        raise RequestError("the answer holds no text")
    return Recognised(
        text=text.strip(),
        language=lang or _tag(spoken),
        no_speech=measures["no_speech_prob"],
        log_probability=measures["avg_logprob"],
    )


def _mean(segments: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Mean of a measure over segments, each as long as it lasts; None where it is not told."""
    told = [(float(one["end"]) - float(one["start"]), float(one[name])) for one in segments if name in one]
    whole = sum(seconds for seconds, _ in told)
    if not told or not whole > 0 or not all(math.isfinite(value) for _, value in told):
        return None
    return sum(seconds * value for seconds, value in told) / whole


def _tag(spoken: object) -> str | None:
    """The tag of a language that a server names by its code, or in English."""
    if not isinstance(spoken, str):
        return None
    try:
        return tag_named(spoken) or canonical_tag(spoken)
    except ValueError:
        return None
