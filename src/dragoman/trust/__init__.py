"""Trust of machine captions, and the noise laboratory that tests it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dragoman import lazy

if TYPE_CHECKING:
    from dragoman.trust.evidence import Bridge
    from dragoman.trust.noise import NoiseSettings
    from dragoman.trust.noise_corpus import plant_noise
    from dragoman.trust.score import score_trust

__all__ = ["Bridge", "NoiseSettings", "plant_noise", "score_trust"]
# Signals are asked of translations that stand in no corpus, too.
__getattr__ = lazy.attributes(
    __name__,
    {
        "evidence": ("Bridge",),
        "noise": ("NoiseSettings",),
        "noise_corpus": ("plant_noise",),
        "score": ("score_trust",),
    },
)
