"""Machine translation of captions: engines, a resumable and cached job, trust, and the noise laboratory."""

from dragoman.translation.engine import Engine, open_engine
from dragoman.translation.job import TranslationReport, translate

__all__ = ["Engine", "TranslationReport", "open_engine", "translate"]
