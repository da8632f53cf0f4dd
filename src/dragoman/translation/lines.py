"""One line in, one line out: what makes a caption a line, and the search for the lines that break a batch."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import NoReturn

from dragoman.translation.engine import Engine, EngineError, EngineUnavailableError, Rejected

Outcome = str | Rejected

GIVE_UP_AFTER = 8
"""Lines that fail one after the other, each alone, before the engine itself comes under suspicion."""
SMALLEST_SHARE = 1 / 8
"""A part of a batch gets its share of the batch's time limit, at least this one."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]+")


def one_line(text: str) -> str:
    """`text` without line breaks, control characters and surplus white space, in composed form (NFC).

    Engines that read lines split at different characters (U+2028 and U+0085 among them); after this there
    is none left to split at. Joiners that scripts need (U+200C, U+200D) stay.
    """
    return " ".join(unicodedata.normalize("NFC", _CONTROL.sub(" ", text)).split())


class Isolator:
    """Translates batches with an engine that may crash, hang, or lose lines, and finds the lines at fault.

    A batch that fails is halved until the failing lines stand alone: about 2·log2(batch) calls for each.
    `probe` yields a line that this engine once translated, or None; when many lines in a row have failed
    alone it tells bad lines from a broken engine.
    """

    def __init__(self, engine: Engine, timeout: float, probe: Callable[[], str | None]) -> None:
        self.engine = engine
        self.timeout = timeout
        self.probe = probe
        self._failed_in_a_row = 0

    def translate(self, lines: Sequence[str]) -> list[Outcome]:
        """One outcome a line, in order. Raises EngineUnavailableError where the engine itself is broken."""
        return self._translate(lines, len(lines))

    def _translate(self, lines: Sequence[str], batch: int) -> list[Outcome]:
        timeout = self.timeout * max(len(lines) / batch, SMALLEST_SHARE)
        try:
            outcomes = _checked(lines, self.engine.translate(lines, timeout))
        except EngineError as error:
            if len(lines) > 1:
                middle = len(lines) // 2
                return self._translate(lines[:middle], batch) + self._translate(lines[middle:], batch)
            return [self._failed(str(error))]
        if outcomes == [""]:
            return [self._failed("the engine gave an empty translation")]
        if any(outcomes):
            self._failed_in_a_row = 0
        # An empty line may be another line's fault; alone it has its second chance.
        return [
            outcome if outcome else self._translate([line], batch)[0]
            for line, outcome in zip(lines, outcomes, strict=True)
        ]

    def _failed(self, reason: str) -> Rejected:
        self._failed_in_a_row += 1
        if self._failed_in_a_row == GIVE_UP_AFTER:
            self._failed_in_a_row = 0
            if not self._works():
                self._give_up(reason)
        return Rejected(reason)

    def _works(self) -> bool:
        line = self.probe()
        if line is None:
            return False
        try:
            outcomes = _checked([line], self.engine.translate([line], self.timeout))
        except EngineError:
            return False
        return isinstance(outcomes[0], str) and outcomes[0] != ""

    def _give_up(self, reason: str) -> NoReturn:
        raise EngineUnavailableError(
            f"The engine {self.engine.name} failed on {GIVE_UP_AFTER} lines in a row, each given alone; the "
            f"last reason: {reason}. Try it by hand on one line. What was translated so far is kept."
        )


def _checked(lines: Sequence[str], outcomes: Sequence[Outcome]) -> list[Outcome]:
    if len(outcomes) != len(lines):
        raise EngineError(f"{len(lines)} lines went in and {len(outcomes)} came out")
    return [one_line(outcome) if isinstance(outcome, str) else outcome for outcome in outcomes]
