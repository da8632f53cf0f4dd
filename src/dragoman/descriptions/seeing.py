"""Descriptions by a model that sees, behind any OpenAI-compatible endpoint.

It is an engine of `translation` whose lines are photos, named by the hash of their content: so its answers
are cached, resumed, bounded in time, and refused one by one as translations are.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Resampling

from dragoman.corpus.corpus import Corpus
from dragoman.endpoints import Endpoint, base_url
from dragoman.errors import UserError
from dragoman.folders import sha256
from dragoman.languages import language
from dragoman.media.images import ImageError, open_image
from dragoman.records import SPLITS
from dragoman.translation.engine import Engine, Outcome, Rejected, fingerprint
from dragoman.translation.engines.openai import ask
from dragoman.translation.texts import JobSettings

PROMPT = (
    "Describe this photo in {language} for a person who cannot see it: who or what is there, how many, what "
    "they look like, what they do, where they are, and what stands around them. Write at most six short "
    "plain sentences. Say only what can be seen; no list, no headline, no guess at names."
)
SIDE = 768
"""Longest side of what is sent, in pixels: endpoints charge by pixels, and scale larger photos down."""
LONGEST = 400
"""Tokens of an answer."""


@dataclass(frozen=True, kw_only=True)
class SeenSettings(JobSettings):
    """Settings of `describe --model`: which photos, and the dealings with the endpoint."""

    url: str = ""
    """Address up to `/v1`; by default OPENAI_BASE_URL, or else the public one."""
    splits: Sequence[str] | None = None
    """Splits of the photos that are described; all where not given."""
    tries: int = 5
    """Requests for one photo where the server is overloaded or out of reach."""
    pause: float = 1.0
    """Seconds before the second try; doubled for each further one, at most 60."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.tries < 1:
            raise ValueError(f"tries must be at least 1, got {self.tries}")


def pictures_of(
    corpus: Corpus, splits: Sequence[str] | None
) -> tuple[dict[str, tuple[str, Path]], list[dict[str, str | None]]]:
    """Find the photos of a corpus: item id to hash of the content and file; and what cannot be shown, with
    the reason. Raises UserError for a split that does not exist."""
    for split in splits or ():
        if split not in SPLITS:
            raise UserError(f"{split!r} is none of {', '.join(SPLITS)}.")
    found: dict[str, tuple[str, Path]] = {}
    refused: list[dict[str, str | None]] = []
    columns = (corpus.items[name].to_pylist() for name in ("item_id", "kind", "path", "split"))
    for item_id, kind, path, split in zip(*columns, strict=True):
        if kind == "text" or (splits and split not in splits):
            continue
        file = None if path is None or "://" in path else Path(corpus.media_path(path))
        try:
            if kind != "image":
                reason = (
                    f"a {kind}, and only photos are shown: describe it elsewhere, and read it with --from"
                )
            elif file is None:
                reason = "no file on this computer"
            else:
                found[item_id] = (sha256(file), file)
                continue
        except OSError as error:
            reason = f"cannot be read ({error.strerror or error})"
        refused.append({"item_id": item_id, "path": path, "reason": reason})
    return found, refused


def describer(model: str, lang: str, files: Mapping[str, Path], settings: SeenSettings) -> Describer:
    """Open the engine that describes the photo of each hash. Raises UserError without a key or address."""
    endpoint = Endpoint.open(
        "A model that sees", base_url(settings.url), tries=settings.tries, pause=settings.pause
    )
    return Describer(model, endpoint, language(lang).name, files)


class Describer(Engine):
    """Chat completions about one photo each, some at a time."""

    batch_size = 4
    doing, unit = "describe in", "photos"

    def __init__(self, model: str, endpoint: Endpoint, lang: str, files: Mapping[str, Path]) -> None:
        self._model, self._endpoint, self._files = model, endpoint, files
        self._prompt = PROMPT.format(language=lang)
        self.name = f"seen:{model}"
        # Not the key: another one pays for the same answers.
        parts = {"url": endpoint.url, "prompt": self._prompt, "side": SIDE, "longest": LONGEST}
        self.version = fingerprint(parts)

    def translate(self, lines: Sequence[str], timeout: float) -> list[Outcome]:
        with ThreadPoolExecutor(len(lines), thread_name_prefix="photos") as pool:
            return list(pool.map(lambda digest: self._describe(digest, timeout), lines))

    def _describe(self, digest: str, timeout: float) -> Outcome:
        try:
            shown = _shown(self._files[digest])
        except ImageError as error:
            return Rejected(error.reason)
        except OSError as error:
            return Rejected(f"cannot be read ({error.strerror or error})")
        content = [
            {"type": "text", "text": self._prompt},
            {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{shown}"}},
        ]
        body = {
            "model": self._model,
            "temperature": 0.0,
            "max_tokens": LONGEST,
            "messages": [{"role": "user", "content": content}],
        }
        return ask(self._endpoint, body, timeout)


def _shown(file: Path) -> str:
    """Make a photo a small JPEG in base64. Raises ImageError, OSError."""
    image = open_image(file, at_least=SIDE)
    image.thumbnail((SIDE, SIDE), Resampling.LANCZOS)
    content = io.BytesIO()
    image.save(content, "JPEG", quality=85)
    return base64.b64encode(content.getvalue()).decode()
