"""Blocks of work, and who computes them: this process, or the workers of a Ray cluster.

A stage cuts its inputs into blocks, and writes what comes back as it comes, wherever it was computed. What is
made of a block depends on the block alone, so that the results are the same bytes.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import socket
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar, cast

from dragoman.errors import MissingExtraError, UnavailableError, UserError, reason

Given = TypeVar("Given")
Made = TypeVar("Made")

Compute = Callable[[Iterable[Given]], Iterator[Made]]
"""Makes results of inputs. Those of several blocks, one after the other, are those of each block alone."""
Load = Callable[[], Compute[Given, Made]]
"""Loads a model, and gives what computes with it; is pickled, and called once in each worker."""

CONNECTING = 10.0
"""Seconds in which the head of a cluster must answer."""
IN_FLIGHT = 2
"""Blocks that a worker has: the one that it computes, and the next, so that it never waits."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A choice of who computes."""

    ray: str | None = None
    """Let the nodes of a Ray cluster compute: its address; `auto`, also without a value, is the cluster that
    this computer is a node of, and `local` one that is started on this computer alone."""
    ray_workers: int | None = None
    """Workers of the cluster, each with a model of its own; by default one for each GPU, or without any for
    each `ray_cpus` cores."""
    ray_cpus: int = 1
    """Cores of each worker."""

    def __post_init__(self) -> None:
        for name, value in (("ray_workers", self.ray_workers), ("ray_cpus", self.ray_cpus)):
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, got {value}")


HERE = Cluster()


class Workers:
    """This process as the one worker."""

    def device(self, asked: str, check: Callable[[str], str]) -> str:
        """Device that a worker computes on, where `asked` is one or `auto`, and `check` knows those here.

        Raises UserError where no worker has it.
        """
        return check(asked)

    def computed(self, load: Load[Given, Made], blocks: Iterable[Sequence[Given]]) -> Iterator[Made]:
        """Yield what is made of blocks, as it comes: of a block in order and together, of several in any
        order.

        Inputs are taken when they are needed. Raises UserError as `load` and what it gives do.
        """
        yield from load()(chain.from_iterable(blocks))


@contextmanager
def gathered(cluster: Cluster) -> Iterator[Workers]:
    """Give the workers of a choice. Raises MissingExtraError without Ray, UserError without the cluster."""
    if cluster.ray is None:
        yield Workers()
        return
    ray = _ray()
    started = not ray.is_initialized()
    if started:
        _connect(ray, cluster.ray)
    try:
        yield _RayWorkers(ray, cluster)
    except (ray.exceptions.RayActorError, ray.exceptions.RaySystemError, ConnectionError) as error:
        raise UnavailableError(
            f"The Ray cluster {cluster.ray} failed ({reason(error)}). Run the same command again; what was "
            "computed is kept."
        ) from error
    finally:
        if started:
            ray.shutdown()


class _RayWorkers(Workers):
    """Actors of a cluster, of a fixed number, which Ray Data feeds, restarts and holds back."""

    def __init__(self, ray: Any, cluster: Cluster) -> None:
        self._ray, self._cluster = ray, cluster
        self._resources: dict[str, float] = ray.cluster_resources()
        self._gpus = 0

    def device(self, asked: str, check: Callable[[str], str]) -> str:
        # Of the workers: this computer may have no GPU, or another one.
        gpus = int(self._resources.get("GPU", 0))
        if asked == "auto":
            asked = "cuda" if gpus else "cpu"
        if asked == "cuda" and not gpus:
            raise UserError("No node of the Ray cluster has a GPU. Use --device cpu, or auto.")
        if asked not in ("cpu", "cuda"):
            raise UserError(f"Workers of Ray compute on cpu or cuda, not on {asked!r}. Use --device auto.")
        self._gpus = int(asked == "cuda")
        return asked

    def computed(self, load: Load[Given, Made], blocks: Iterable[Sequence[Given]]) -> Iterator[Made]:
        rows = [{"block": pickle.dumps(list(block))} for block in blocks]
        if not rows:
            return
        data = self._ray.data
        _quiet(data)
        made = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Worker,
            fn_constructor_args=(load, version("dragoman"), str(Path.cwd())),
            batch_size=None,
            batch_format="pyarrow",
            compute=data.ActorPoolStrategy(
                size=min(self._size(), len(rows)), max_tasks_in_flight_per_actor=IN_FLIGHT
            ),
            num_cpus=self._cluster.ray_cpus,
            num_gpus=self._gpus,
        )
        for table in made.iter_batches(batch_size=None, batch_format="pyarrow"):
            for answer in table["made"].to_pylist():
                found = pickle.loads(answer)
                if isinstance(found, _Refusal):
                    raise found.error()
                yield from cast(list[Made], found)

    def _size(self) -> int:
        cores = int(self._resources.get("CPU", 0)) // self._cluster.ray_cpus
        most = min(int(self._resources["GPU"]), cores) if self._gpus else cores
        if not most:
            raise UserError(
                f"No node of the Ray cluster {self._cluster.ray} has {self._cluster.ray_cpus} cores for a "
                "worker. Start nodes (ray start --address HOST:PORT), or give --ray-cpus 1."
            )
        return self._cluster.ray_workers or most


class _Worker:
    """One actor: a model that is loaded once, and blocks through it."""

    def __init__(self, load: Load[Any, Any], expected: str, folder: str) -> None:
        self._load, self._expected, self._folder = load, expected, folder
        self._compute: Compute[Any, Any] | None = None

    def __call__(self, blocks: Any) -> Any:
        from dragoman.arrow import pa

        answers = [pickle.dumps(self._answer(block)) for block in blocks["block"].to_pylist()]
        return pa.table({"made": pa.array(answers, pa.large_binary())})

    def _answer(self, block: bytes) -> object:
        try:
            if self._compute is None:
                _require_same(self._expected, self._folder)
                self._compute = self._load()
            return list(self._compute(pickle.loads(block)))
        except UserError as error:
            return _Refusal(str(error), error.exit_code)


@dataclass(frozen=True)
class _Refusal:
    """A UserError on its way from a worker: errors of other classes are not made anew of their message."""

    message: str
    exit_code: int

    def error(self) -> UserError:
        found = UserError(self.message)
        found.exit_code = self.exit_code
        return found


def _require_same(expected: str, folder: str) -> None:
    """Be where the driver is, by its version and its working folder."""
    if (found := version("dragoman")) != expected:
        raise UserError(
            f"A node of the Ray cluster has dragoman {found}, and this computer {expected}. Install the same "
            f"on all nodes: pip install 'dragoman[ray]=={expected}'"
        )
    try:
        os.chdir(folder)
    except OSError as error:
        raise UserError(
            f"A node of the Ray cluster cannot open {folder} ({error.strerror}). Nodes read files by "
            "the same paths: mount that file system on all of them."
        ) from None


def _ray() -> Any:
    # Else it tells its makers of every cluster that is started, and users of its inner life.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtraError("ray", "ray", "Computing on a cluster") from None
    return ray


def _connect(ray: Any, address: str) -> None:
    # Ray takes the signal for itself, and would end the process in the middle of a file.
    before = signal.getsignal(signal.SIGTERM)
    try:
        _require_answer(address)
        ray.init(address=address, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        raise UnavailableError(
            f"No Ray cluster answers at {address!r} ({reason(error)}). Start one: ray start --head on one "
            "computer, ray start --address HOST:6379 on the others; or use this one alone: --ray local"
        ) from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _require_answer(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT. Ray itself goes on trying for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), CONNECTING).close()


def _quiet(data: Any) -> None:
    """Leave progress to the bar of the stage."""
    data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
