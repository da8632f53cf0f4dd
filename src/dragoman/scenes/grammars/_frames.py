"""Sentence frames: what all grammars share, whatever the language."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from dragoman.scenes.captioner import CaptionPlan, Mention
from dragoman.scenes.draws import Draws
from dragoman.scenes.scene import Event

Phrase = Callable[[Mention, str, Draws], str]
"""One mention, said in a case."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A sentence with the slots `{what}` and `{where}`; `many` is used for more than one thing.

    The sentence of an event has `{verb}` and `{how}` besides ("moves", "to the left"): the verb agrees by
    itself, and `{how}` may stay empty. `case` is the case in which the language puts `{what}`.
    """

    one: str
    many: str = ""
    case: str = "nom"

    def text(self, count: int) -> str:
        return self.many if count > 1 and self.many else self.one


def draw_frame(frames: Sequence[Frame], where: str, draws: Draws) -> Frame:
    """A frame that has a slot for `where` exactly if there is something to say."""
    return draws.pick([frame for frame in frames if ("{where}" in frame.one) == bool(where)])


def draw_what(plan: CaptionPlan, case: str, draws: Draws, phrase: Phrase, link: str) -> str:
    """The thing or things that the caption is about."""
    what = phrase(plan.first, case, draws)
    if plan.second is None or plan.relation is not None:
        return what
    return what + link + phrase(plan.second, case, draws)


def draw_event(events: Mapping[Event, Sequence[str]], plan: CaptionPlan, draws: Draws) -> dict[str, str]:
    """The slots of an event, none without one.

    A synonym is "moves|move|to the left": the verb with one thing, with several, and how. Two that meet or
    part are several.

    An event has as many synonyms as its reversal, so that equal draws say both alike.
    """
    if plan.event is None:
        return {}
    one, many, how = draws.pick(events[plan.event]).split("|")
    return {"verb": many if plan.first.count > 1 or plan.second else one, "how": how}


@dataclass(frozen=True, slots=True)
class Where:
    """Synonyms for places, each said as a phrase of its own. `case` is the one that follows a relation."""

    grounds: Mapping[str, Sequence[str]]
    places: Mapping[str, Sequence[str]]
    relations: Mapping[str, Sequence[str]]
    case: str = ""

    def draw(self, plan: CaptionPlan, draws: Draws, phrase: Phrase) -> str:
        """The place in the picture and the ground, in a random order; "" where the plan has neither."""
        spot = draws.pick(self.places[plan.place]) if plan.place else ""
        if plan.relation and plan.second:
            spot = f"{draws.pick(self.relations[plan.relation])} {phrase(plan.second, self.case, draws)}"
        ground = draws.pick(self.grounds[plan.ground]) if plan.ground else ""
        said = [part for part in (spot, ground) if part]
        return " ".join(reversed(said) if draws.chance(0.3) else said)


def finish(text: str) -> str:
    """One line with single spaces, none before a stop, and a capital first where the script has any."""
    line = re.sub(r" (?=[.,])", "", " ".join(text.split()))
    return line[:1].upper() + line[1:]
