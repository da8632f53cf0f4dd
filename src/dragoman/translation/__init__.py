"""Machine translation of captions: engines and a resumable, cached job."""

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
