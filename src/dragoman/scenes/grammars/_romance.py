"""Parts that the Romance grammars share: gender and number, adjectives around the noun, contractions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dragoman.scenes.captioner import CaptionPlan, Mention
from dragoman.scenes.draws import Draws
from dragoman.scenes.grammars._frames import (
    Frame,
    Where,
    draw_event,
    draw_frame,
    draw_what,
    finish,
)
from dragoman.scenes.scene import Event

Words = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Romance:
    """The data of one language. Every value is a tuple of synonyms, one of which is drawn.

    `nouns`: "singular plural gender", gender m or f; "small" behind it marks a diminutive, which says the
    size by itself. `colours` and `sizes`: an adjective in one form (invariable; `_` for a blank within), two
    (singular, plural), or four (m., f., m. plural, f. plural); a size that starts with `<` stands before the
    noun. `numerals`: "m. f." for 1, 2, 3; `some`: the same for an unsaid number above two. `events`: as
    `draw_event` reads them, said in one of the `event_frames`. `contractions`: regular expressions and
    replacements, applied to the whole sentence in order.
    """

    nouns: Words
    colours: Words
    sizes: Words
    numerals: Mapping[int, str]
    some: tuple[str, ...]
    link: str
    grounds: Words
    places: Words
    relations: Words
    frames: tuple[Frame, ...]
    events: Mapping[Event, tuple[str, ...]]
    event_frames: tuple[Frame, ...]
    contractions: tuple[tuple[str, str], ...] = ()

    def caption(self, plan: CaptionPlan, draws: Draws) -> str:
        """One caption that says the facts of `plan`."""
        where = Where(self.grounds, self.places, self.relations).draw(plan, draws, self._phrase)
        frame = draw_frame(self.event_frames if plan.event else self.frames, where, draws)
        what = draw_what(plan, frame.case, draws, self._phrase, self.link)
        doing = draw_event(self.events, plan, draws)
        said = frame.text(plan.first.count).format(what=what, where=where, **doing)
        line = finish(said).replace("_", " ")
        for pattern, replacement in self.contractions:
            line = re.sub(pattern, replacement, line)
        return line

    def _phrase(self, mention: Mention, case: str, draws: Draws) -> str:
        fitting = [
            noun for noun in self.nouns[mention.kind] if mention.size == "small" or "small" not in noun
        ]
        singular, plural, gender, *diminutive = draws.pick(fitting).split()
        many = mention.count > 1
        before, after = "", []
        if mention.colour:
            after.append(_agree(draws.pick(self.colours[mention.colour]), gender, many))
        if mention.size and not diminutive:
            size = draws.pick(self.sizes[mention.size])
            said = _agree(size.removeprefix("<"), gender, many)
            if size.startswith("<"):
                before = said
            else:
                after.insert(draws.below(2), said)
        numeral = self.numerals[mention.count] if mention.exact else draws.pick(self.some)
        article = numeral.split()[0 if gender == "m" else -1]
        return " ".join([article, before, plural if many else singular, *after])


def _agree(adjective: str, gender: str, many: bool) -> str:
    forms = adjective.split()
    if len(forms) < 4:
        return forms[-1 if many else 0]
    return forms[2 * many + (gender == "f")]
