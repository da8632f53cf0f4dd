"""Records what Apertium makes of the default worlds, so that the demo needs no Apertium.

Run it where Apertium is installed (apt-get install apertium apertium-eng-spa apertium-es-pt apertium-en-gl):

    python -m dragoman.scenes.record
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from dragoman.folders import atomic_path
from dragoman.scenes.world import RECORDED, RECORDED_MOTION, SOURCE, WorldSettings, human_captions
from dragoman.translation.engine import Rejected, open_engine
from dragoman.translation.texts import JobSettings, translate_texts

ROUTES = {
    ("en", "es"): "apertium:eng-spa",
    ("es", "en"): "apertium:spa-eng",
    ("en", "gl"): "apertium:en-gl",
    ("gl", "en"): "apertium:gl-en",
    ("en", "pt"): "apertium:eng-spa|es-pt",
    ("pt", "en"): "apertium:pt-es|spa-eng",
}
TARGETS = ("es", "gl", "pt")


def record(path: Path, config: WorldSettings) -> None:
    """Write JSON Lines (.gz) of three things for each target: English captions into it, those back into
    English, and human captions of the target into English. Lines that Apertium fails on are left out."""
    captions = human_captions(config)
    with tempfile.TemporaryDirectory() as cache, atomic_path(path) as temporary:
        settings = JobSettings(cache=Path(cache))
        lines: dict[str, None] = {}
        for target in TARGETS:
            there = _translations((c.text for c in captions if c.lang == SOURCE), SOURCE, target, settings)
            human = [c.text for c in captions if c.lang == target]
            back = _translations([*there.values(), *human], target, SOURCE, settings)
            lines |= dict.fromkeys(_lines(there, SOURCE, target)) | dict.fromkeys(
                _lines(back, target, SOURCE)
            )
        # Without a time stamp in the header, equal content gives equal bytes.
        packed = gzip.compress("".join(lines).encode(), compresslevel=9, mtime=0)
        temporary.write_bytes(packed)


def _translations(texts: Iterable[str], source: str, target: str, settings: JobSettings) -> dict[str, str]:
    engine = open_engine(ROUTES[source, target], source, target)
    outcomes, _ = translate_texts(sorted(set(texts)), engine, source, target, settings)
    return {text: outcome for text, outcome in outcomes.items() if not isinstance(outcome, Rejected)}


def _lines(translations: dict[str, str], source: str, target: str) -> Iterable[str]:
    for text, translation in translations.items():
        row = {
            "source_lang": source,
            "target_lang": target,
            "text": text,
            "translation": translation,
            "engine": ROUTES[source, target],
        }
        yield json.dumps(row, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    record(RECORDED, WorldSettings())
    record(RECORDED_MOTION, WorldSettings(motion=True))
