from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dragoman.service.batching import Batcher


class Gate:
    """Work that begins when it is let, and remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.open = threading.Event()
        self.begun = threading.Event()

    def work(self, asked: list[int]) -> list[int]:
        self.begun.set()
        assert self.open.wait(10)
        self.batches.append(list(asked))
        if 13 in asked:
            raise ValueError("unlucky")
        return [number * number for number in asked]


@contextmanager
def batcher(gate: Gate, size: int = 4, wait: float = 0.02) -> Iterator[Batcher[int, int]]:
    made = Batcher(gate.work, size=size, wait=wait)
    yield made
    gate.open.set()
    made.close()


def run(gate: Gate, asked: list[int], size: int = 4) -> list[int | BaseException]:
    """Ask while the first is being worked on, so that the others gather."""

    async def main(made: Batcher[int, int]) -> list[int | BaseException]:
        first = asyncio.create_task(made.ask(0))
        await asyncio.to_thread(gate.begun.wait, 10)
        others = [asyncio.create_task(made.ask(number)) for number in asked]
        await asyncio.sleep(0)
        gate.open.set()
        answers = await asyncio.gather(*others, return_exceptions=True)
        assert await first == 0
        return answers

    with batcher(gate, size) as made:
        return asyncio.run(main(made))


def test_what_gathers_is_worked_on_together_but_never_more_than_the_size() -> None:
    gate = Gate()
    assert run(gate, [1, 2, 3, 4, 5, 6]) == [1, 4, 9, 16, 25, 36]
    assert gate.batches == [[0], [1, 2, 3, 4], [5, 6]]


def test_an_error_reaches_only_whoever_caused_it() -> None:
    answers = run(Gate(), [1, 13, 3])
    assert (answers[0], answers[2]) == (1, 9)
    assert repr(answers[1]) == "ValueError('unlucky')"


def test_too_few_answers_are_no_answer() -> None:
    made: Batcher[int, int] = Batcher(lambda asked: [], size=1, wait=0)
    with pytest.raises(AssertionError, match="0 answers to 1"):
        asyncio.run(made.ask(1))
    made.close()


@pytest.mark.parametrize("error", [KeyboardInterrupt("panic"), StopIteration("end"), SystemExit(3)])
def test_after_what_is_no_common_error_others_are_answered(error: BaseException) -> None:
    def work(asked: list[int]) -> list[int]:
        if 13 in asked:
            raise error
        return asked

    async def main() -> list[int | BaseException]:
        return await asyncio.gather(*[made.ask(one) for one in (1, 13, 3)], return_exceptions=True)

    made: Batcher[int, int] = Batcher(work, size=3, wait=0.5)
    first, told, third = asyncio.run(asyncio.wait_for(main(), 10))
    assert (first, third, type(told)) == (1, 3, RuntimeError)
    assert str(told) == f"{type(error).__name__}: {error}"
    assert asyncio.run(asyncio.wait_for(made.ask(4), 10)) == 4
    made.close()


def test_whoever_stops_waiting_leaves_the_batch() -> None:
    gate = Gate()

    async def main(made: Batcher[int, int]) -> int:
        first = asyncio.create_task(made.ask(0))
        await asyncio.to_thread(gate.begun.wait, 10)
        impatient, patient = asyncio.create_task(made.ask(1)), asyncio.create_task(made.ask(2))
        await asyncio.sleep(0)
        impatient.cancel()
        await asyncio.sleep(0)
        gate.open.set()
        await first
        return await patient

    with batcher(gate) as made:
        assert asyncio.run(main(made)) == 4
    assert gate.batches == [[0], [2]]


def test_closing_finishes_what_was_asked() -> None:
    gate = Gate()

    async def main(made: Batcher[int, int]) -> list[int]:
        asked = [asyncio.create_task(made.ask(number)) for number in (2, 3, 4, 5, 6)]
        await asyncio.to_thread(gate.begun.wait, 10)
        gate.open.set()
        await asyncio.to_thread(made.close)
        return await asyncio.gather(*asked)

    with batcher(gate) as made:
        assert asyncio.run(main(made)) == [4, 9, 16, 25, 36]
        with pytest.raises(RuntimeError, match="asked after close"):
            asyncio.run(made.ask(1))
