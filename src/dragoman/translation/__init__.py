"""Machine translation of captions: engines and a resumable, cached job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dragoman import lazy

if TYPE_CHECKING:
    from dragoman.translation.engine import Engine, open_engine
    from dragoman.translation.job import TranslateSettings, TranslationReport, translate
    from dragoman.translation.lexicon import Lexicon, LexiconReport, build_lexicon
    from dragoman.translation.texts import JobSettings

__all__ = [
    "Engine",
    "JobSettings",
    "Lexicon",
    "LexiconReport",
    "TranslateSettings",
    "TranslationReport",
    "build_lexicon",
    "open_engine",
    "translate",
]
# Queries are translated where no corpus is.
__getattr__ = lazy.attributes(
    __name__,
    {
        "engine": ("Engine", "open_engine"),
        "job": ("TranslateSettings", "TranslationReport", "translate"),
        "lexicon": ("Lexicon", "LexiconReport", "build_lexicon"),
        "texts": ("JobSettings",),
    },
)
