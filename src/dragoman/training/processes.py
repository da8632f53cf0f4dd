"""The processes of a run, and what they tell one another.

Each draws the same step, encodes its share of it, and computes the whole loss from the vectors of all. So the
gradient of a vector is known where the vector was made; the gradients of the encoders add up to those of one
process, and the loss's own parameters have theirs everywhere. (Released 1-to-K code takes the mean of both,
which scales the encoders' gradients by one over the processes, and not the temperature's.)
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
import torch.distributed.nn  # Imported later, its default arguments would hold the group open.
from torch import Tensor

from dragoman.errors import Exit, UnavailableError, UserError, reason

T = TypeVar("T")
CPU = torch.device("cpu")
PATIENCE = timedelta(days=1)
"""Wait of a process for others, as the first one validates alone; torchrun ends all where one ends."""


class Processes:
    """One of `count` processes, numbered from 0 by `rank`. Every method but `share` is called by all of them.

    Talks over the devices of the tensors, and about control over the CPU, so that no GPU is waited for.
    """

    def __init__(self, device: torch.device) -> None:
        self.rank, self.count, self.device = dist.get_rank(), dist.get_world_size(), device
        self._control = dist.new_group(backend="gloo", timeout=PATIENCE)
        atexit.register(self._leave)

    def _leave(self) -> None:
        """Stop the threads of gloo while Python still lives: one that outlives it can abort the process.

        NCCL's group is left to torchrun, as destroying it waits for processes that may have failed.
        """
        control, self._control = self._control, None
        if dist.is_initialized():
            dist.destroy_process_group(control if dist.get_backend() == "nccl" else None)

    @property
    def first(self) -> bool:
        """True for the process that writes and validates."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return which of `count` things fall to this process; shares differ by one at most."""
        return slice(count * self.rank // self.count, count * (self.rank + 1) // self.count)

    def gather(self, mine: Tensor) -> Tensor:
        """Return the rows of all processes, by rank; the gradient of the own rows comes back.

        Tokens (dimension 1) are padded to the longest. Everything computed from the result must be computed
        on every process.
        """
        shapes = self.collect(tuple(mine.shape))
        gathered: Tensor = _Gather.apply(mine, shapes, self.rank)  # type: ignore[no-untyped-call]
        return gathered

    def of_first(self, drawn: Tensor) -> Tensor:
        """Return what the first process drew, where all drew as many."""
        dist.broadcast(drawn, src=0)
        return drawn

    def add_gradients(self, shared: Sequence[Tensor], whole: Sequence[Tensor] = ()) -> None:
        """Give every process the gradients of the step.

        Of `shared` parameters each process has what its own texts and images gave, and these add up. Of
        `whole` ones each has all of it; their mean keeps the processes in step through rounding.
        """
        # The sum below would count a whole gradient once for every process.
        for parameter in whole:
            if parameter.grad is not None:
                parameter.grad /= self.count
        parameters = [*shared, *whole]
        reached = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.uint8)
        dist.all_reduce(reached, dist.ReduceOp.MAX, group=self._control)
        # What no process reached keeps no gradient, so that the optimizer leaves it alone.
        learning = [
            parameter for parameter, is_reached in zip(parameters, reached, strict=True) if is_reached
        ]
        if not learning:
            return
        # One message: a hundred small ones take longer than their bytes.
        flat = torch.cat([_gradient(parameter).reshape(-1) for parameter in learning])
        dist.all_reduce(flat)
        gradients = torch.split(flat, [parameter.numel() for parameter in learning])
        for parameter, gradient in zip(learning, gradients, strict=True):
            parameter.grad = gradient.view_as(parameter)

    def largest(self, number: int) -> int:
        """Return the largest of the numbers that the processes give."""
        found = torch.tensor(number)
        dist.all_reduce(found, dist.ReduceOp.MAX, group=self._control)
        return int(found)

    def collect(self, value: T) -> list[T]:
        """Return what each process gives, by rank."""
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, value, group=self._control)
        return found

    def on_first(self, work: Callable[[], T]) -> T:
        """Return what `work` returns on the first process, which alone does it.

        Where it fails, the first process says why and the others end with the same status.
        """
        told: list[Any] = [None, None]
        try:
            if self.first:
                told[0] = work()
        except BaseException as error:  # Ctrl-C too: the others wait below, for up to a day
            told[1] = getattr(error, "exit_code", Exit.FAILURE)
            raise
        finally:
            dist.broadcast_object_list(told, src=0, group=self._control)
        if told[1] is not None:
            raise SystemExit(told[1])
        result: T = told[0]
        return result


class Alone(Processes):
    """A run of one process, which has no other to talk to."""

    def __init__(self, device: torch.device = CPU) -> None:
        self.rank, self.count, self.device = 0, 1, device

    def gather(self, mine: Tensor) -> Tensor:
        return mine

    def of_first(self, drawn: Tensor) -> Tensor:
        return drawn

    def add_gradients(self, shared: Sequence[Tensor], whole: Sequence[Tensor] = ()) -> None:
        pass

    def largest(self, number: int) -> int:
        return number

    def collect(self, value: T) -> list[T]:
        return [value]

    def on_first(self, work: Callable[[], T]) -> T:
        return work()


def join_processes(device: str) -> Processes:
    """Join the processes that `torchrun` started, over NCCL on GPUs and over gloo on CPUs; `Alone` without
    it."""
    cuda = uses_gpu(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Alone(torch.device("cuda") if cuda else CPU)
    mine = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else CPU
    if cuda:
        torch.cuda.set_device(mine)
    # A second run in the same processes goes on with their group.
    if not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    return Processes(mine)


@contextmanager
def others_needed() -> Iterator[None]:
    """Raise UnavailableError where another process, or its host, is gone in the middle of the block."""
    try:
        yield
    except RuntimeError as error:
        # Gloo has no class for it.
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise UnavailableError(
            f"Another process of this training is gone ({reason(error)}). Start as many again, on "
            "any hosts, by the same command: they go on from the last checkpoint."
        ) from error


def uses_gpu(device: str) -> bool:
    """Tell whether `auto`, `cpu` or `cuda` means a GPU here. Raises UserError for one that is not there."""
    found = torch.cuda.is_available() and device != "cpu"
    if device.startswith("cuda") and not found:
        raise UserError(f"Device {device!r} was asked for, but torch finds no GPU. Use --device cpu")
    return found


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mine: Tensor, shapes: list[tuple[int, ...]], rank: int) -> Tensor:
        ctx.shape, ctx.start = shapes[rank], sum(shape[0] for shape in shapes[:rank])
        # Shares differ by one row, texts by their tokens; what is gathered must be of one shape.
        room = mine.new_zeros([max(sizes) for sizes in zip(*shapes, strict=True)])
        room[tuple(slice(size) for size in mine.shape)] = mine
        parts = [torch.empty_like(room) for _ in shapes]
        # As bytes: backends differ in the types they know.
        dist.all_gather([part.view(torch.uint8) for part in parts], room.view(torch.uint8))
        return torch.cat([part[: shape[0]] for part, shape in zip(parts, shapes, strict=True)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        # Each process computes the whole loss, so its gradient of these rows is complete: nothing to add.
        own = gradient[ctx.start : ctx.start + ctx.shape[0]]
        return own[:, : ctx.shape[1]], None, None


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
