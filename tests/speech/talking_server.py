"""What an endpoint that hears speech answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from chat_server import Answer


def hears(
    text: str, language: str, *, no_speech: float = 0.1, log_probability: float = -0.3
) -> Callable[[dict[str, Any]], Answer]:
    """Answers that hear this in every sound, in the longer form where that is asked for."""

    def answer(request: dict[str, Any]) -> Answer:
        if request["response_format"] == "json":
            return 200, json.dumps({"text": text})
        segment = {"start": 0.0, "end": 2.0, "avg_logprob": log_probability, "no_speech_prob": no_speech}
        return 200, json.dumps({"text": f" {text}", "language": language, "segments": [segment]})

    return answer
