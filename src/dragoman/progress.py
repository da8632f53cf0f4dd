"""One way to show progress: a bar with rate and time left on stderr, silent where stderr is no terminal.

Work of several stages has one bar over all of them (`Whole`), or lines where stderr is no terminal.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

SURE = 0.2
"""Share of a stage from which on its own pace alone tells how long it takes."""
PACE = (0.25, 4.0)
"""Least and most that the pace of what is done changes of what was expected of the rest."""
EVERY = 30.0
"""Seconds between lines, where there is no terminal."""
_whole: Whole | None = None


def is_first_process() -> bool:
    """Tell the process that shows progress and results: the first of those that `torchrun` started."""
    return os.environ.get("RANK", "0") == "0"


def bar(total: int | None, label: str, unit: str) -> Any:
    """A tqdm bar, used as a context manager; call `.update(n)` and `.set_postfix_str(...)`.

    `DRAGOMAN_PROGRESS=0|1` forces it off or on; TQDM_DISABLE is honoured by tqdm itself. Within a `Whole` it
    moves the one bar of all stages.
    """
    if _whole is not None:
        return _Part(_whole, total)
    from tqdm import tqdm

    return tqdm(
        total=total,
        desc=label,
        unit=f" {unit}",
        disable=_disabled(),
        dynamic_ncols=True,
        smoothing=0.1,
    )


def _disabled() -> bool | None:
    """Value that tqdm takes: None asks it to be silent where stderr is no terminal."""
    forced = os.environ.get("DRAGOMAN_PROGRESS")
    return True if not is_first_process() else None if forced is None else forced == "0"


def duration(seconds: float) -> str:
    """Say a time as people do: "40 s", "3 min", "2 h 10 min"."""
    if seconds < 90:
        # No one wants to see single seconds of an estimate.
        return f"{max(round(seconds / 5) * 5, 5)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Whole:
    """Progress of work of several stages, and the time that is left.

    A stage takes as long as was expected until it has a pace of its own; the stages to come take as long as
    was expected, times what the work so far took of its own expectation.
    """

    def __init__(
        self,
        expected: Mapping[str, float],
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Expect stages, by the words that are shown of them, and the seconds of each."""
        self.expected = dict(expected)
        self._stream = stream or sys.stderr
        self._clock = clock
        self._names = list(expected)
        self._current: str | None = None
        self._started = clock()
        self._taken: dict[str, float] = {}
        self._share = 0.0
        self._parts, self._part = 1, 0
        self._said = -EVERY
        self._tqdm: Any = None

    @contextmanager
    def shown(self) -> Iterator[Whole]:
        """Let every bar that is made meanwhile move this one."""
        global _whole
        before, _whole = _whole, self
        disabled = _disabled()
        if disabled is False or (disabled is None and self._stream.isatty()):
            from tqdm import tqdm

            form = "{percentage:3.0f} % |{bar:24}| {desc}"
            self._tqdm = tqdm(
                total=1.0, file=self._stream, bar_format=form, dynamic_ncols=True, leave=False, disable=False
            )
        try:
            yield self
        finally:
            _whole = before
            if self._tqdm is not None:
                self._tqdm.close()

    @contextmanager
    def stage(self, name: str, parts: int = 1) -> Iterator[None]:
        """Work on a stage, which has so many bars, one after the other."""
        self._current, self._share, self._started = name, 0.0, self._clock()
        self._parts, self._part = parts, -1
        self._say(f"{self._names.index(name) + 1} of {len(self._names)}: {name}")
        try:
            yield
        finally:
            # Where it failed as well: what is shown last is where it stood.
            self._taken[name] = self._clock() - self._started
            self._current = None
        self.refresh()

    def begin_part(self) -> None:
        """Take note that the next bar of the current stage begins."""
        self._part = min(self._part + 1, self._parts - 1)

    def move(self, share: float) -> None:
        """Take note that so much of the current bar is done, 0 to 1."""
        self._share = min(max((self._part + share) / self._parts, self._share), 1.0)
        self.refresh()

    def left(self) -> float:
        """Estimate the seconds that are left."""
        spent, expected = sum(self._taken.values()), sum(self.expected[name] for name in self._taken)
        rest = 0.0
        if self._current is not None:
            now = self._clock() - self._started
            whole = self._estimate(now)
            rest = whole - now
            # A stage that has only begun says nothing of the pace.
            spent += self._share * whole
            expected += self._share * self.expected[self._current]
        pace = min(max(spent / expected, PACE[0]), PACE[1]) if expected > 0 else 1.0
        todo = [name for name in self._names if name not in self._taken and name != self._current]
        return rest + pace * sum(self.expected[name] for name in todo)

    def done(self) -> float:
        """Estimate the share of all that is done, by time."""
        now = self._clock() - self._started if self._current is not None else 0.0
        spent = sum(self._taken.values()) + now
        return spent / (spent + self.left()) if spent else 0.0

    def _estimate(self, now: float) -> float:
        """Estimate how long the current stage takes, of which some seconds have passed."""
        assert self._current is not None
        expected = max(self.expected[self._current], now)
        sure = min(self._share / SURE, 1.0)
        return expected if not self._share else sure * now / self._share + (1 - sure) * expected

    def refresh(self) -> None:
        """Show where the work stands."""
        left = f"about {duration(self.left())} left"
        if self._tqdm is not None:
            self._tqdm.n = self.done()
            self._tqdm.set_description_str(f"{self._current or 'done'}, {left}")
        elif self._current is not None and self._clock() - self._said >= EVERY:
            self._say(f"  {self._share:.0%} of it, {left} in all")

    def _say(self, line: str) -> None:
        if self._tqdm is not None:
            self._tqdm.set_description_str(line)
        elif _disabled() is not True:
            self._said = self._clock()
            print(line, file=self._stream, flush=True)


class _Part:
    """The bar of a job that is one stage of several."""

    disable = True

    def __init__(self, whole: Whole, total: int | None) -> None:
        self._whole, self._total, self._n = whole, total, 0.0
        whole.begin_part()

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def update(self, n: float = 1) -> None:
        self._n += n
        if self._total:
            self._whole.move(self._n / self._total)

    def set_postfix_str(self, text: str) -> None:
        """Details are for the bar of a single job."""
