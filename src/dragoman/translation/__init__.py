"""Machine translation of captions: engines and a resumable, cached job."""

from dragoman.translation.batches import TranslateOptions
from dragoman.translation.engine import Engine, open_engine
from dragoman.translation.job import TranslationReport, translate
from dragoman.translation.lexicon import Lexicon, LexiconReport, build_lexicon

__all__ = [
    "Engine",
    "Lexicon",
    "LexiconReport",
    "TranslateOptions",
    "TranslationReport",
    "build_lexicon",
    "open_engine",
    "translate",
]
