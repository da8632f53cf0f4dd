"""Machine translation of captions: engines, a resumable and cached job, trust, and the noise laboratory."""

from dragoman.translation.engine import Engine, open_engine
from dragoman.translation.job import TranslationReport, translate
from dragoman.translation.lexicon import Lexicon, LexiconReport, build_lexicon
from dragoman.translation.noise import NoiseConfig
from dragoman.translation.noise_corpus import plant_noise
from dragoman.translation.trust import score_trust
from dragoman.translation.trust_evidence import Bridge

__all__ = [
    "Bridge",
    "Engine",
    "Lexicon",
    "LexiconReport",
    "NoiseConfig",
    "TranslationReport",
    "build_lexicon",
    "open_engine",
    "plant_noise",
    "score_trust",
    "translate",
]
