"""All that a grammar can say: draws that take every branch once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from dragoman.scenes.captioner import CaptionPlan, Mention
from dragoman.scenes.draws import Draws
from dragoman.scenes.grammars import caption
from dragoman.scenes.scene import Size

T = TypeVar("T")


class _Branches(Draws):
    """Answers from a script, then always 0; notes how many answers there were at each step."""

    def __init__(self, script: Sequence[int]) -> None:
        super().__init__("branches")
        self.script = script
        self.options: list[int] = []

    def below(self, number: int) -> int:
        self.options.append(number)
        step = len(self.options) - 1
        return self.script[step] if step < len(self.script) else 0

    def chance(self, probability: float) -> bool:
        return self.below(2) == 1


def every_caption(lang: str, plan: CaptionPlan) -> set[str]:
    said: set[str] = set()
    scripts: list[list[int]] = [[]]
    while scripts:
        script = scripts.pop()
        draws = _Branches(script)
        said.add(caption(lang, plan, draws))
        path = script + [0] * (len(draws.options) - len(script))
        for step in range(len(script), len(path)):
            scripts += [[*path[:step], answer] for answer in range(1, draws.options[step])]
    return said


def some(
    count: int, kind: str, colour: str | None = None, size: Size | None = None, exact: bool = True
) -> Mention:
    return Mention(count=count, kind=kind, colour=colour, size=size, exact=exact)
