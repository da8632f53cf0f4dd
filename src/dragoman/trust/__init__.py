"""Trust of machine captions, and the noise laboratory that tests it."""

from dragoman.trust.evidence import Bridge
from dragoman.trust.noise import NoiseSettings
from dragoman.trust.noise_corpus import plant_noise
from dragoman.trust.score import score_trust

__all__ = ["Bridge", "NoiseSettings", "plant_noise", "score_trust"]
