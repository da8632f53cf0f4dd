"""Captions in many languages: `<lang>.py` says a plan in one language, found by its name."""

from __future__ import annotations

from dragoman import plugins
from dragoman.scenes.captioner import CaptionPlan
from dragoman.scenes.draws import Draws


def languages() -> list[str]:
    """Codes of the languages that have a grammar."""
    return plugins.names(__name__)


def caption(lang: str, plan: CaptionPlan, draws: Draws) -> str:
    """One way to say `plan` in `lang`. Raises UserError, with the known languages, for another one."""
    said: str = plugins.load(__name__, lang, "caption grammar").caption(plan, draws)
    return said
