"""Forks of a process that has indexes open: what a child finds is fit for use.

A fork copies the memory of a process but only one of its threads. Locks that others held stay locked in the
child for ever, connections are shared with the parent, and pools of threads have none. So a fork waits until
no work is inside a section that cannot be copied, lets owners drop what must not be shared, and gives them
new locks in the child.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

WAIT = 10.0
"""Seconds that a fork waits for others: a long write must not stop it for good."""


class Owner(Protocol):
    """An object with locks, or with what no two processes may share."""

    def before_fork(self) -> None:
        """Drop what must not be shared; nobody is inside a section now."""

    def renew_in_child(self) -> None:
        """Make new locks: threads that held the old ones are not here."""


class _Gate:
    """Sections that a fork waits for. A thread may enter again while it is inside."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.inside: Counter[int] = Counter()
        self.forking = False

    def others(self) -> bool:
        """True where another thread is inside."""
        me = threading.get_ident()
        return any(thread != me for thread in self.inside)


_gate = _Gate()
_owners: weakref.WeakSet[Owner] = weakref.WeakSet()


def watch(owner: Owner) -> None:
    """Tell an object of forks for as long as it lives."""
    with _gate.changed:  # a fork may be looking at them
        _owners.add(owner)


@contextmanager
def section() -> Iterator[None]:
    """Keep forks away during the block."""
    me, gate = threading.get_ident(), _gate
    with gate.changed:
        # Who is inside already must go on, or a fork that waits for it would wait for ever.
        while gate.forking and me not in gate.inside:
            gate.changed.wait()
        gate.inside[me] += 1
    try:
        yield
    finally:
        with gate.changed:
            gate.inside[me] -= 1
            if not gate.inside[me]:
                del gate.inside[me]
            gate.changed.notify_all()


def _before() -> None:
    if not _owners:
        return
    gate = _gate
    gate.changed.acquire()
    while gate.forking:  # another thread forks
        gate.changed.wait()
    gate.forking = True
    gate.changed.wait_for(lambda: not gate.others(), WAIT)
    if not gate.others():
        for owner in list(_owners):
            with suppress(Exception):  # a fork is not the place for complaints
                owner.before_fork()
    # The condition stays held over the fork, so that its own lock is copied in a known state.


def _in_parent() -> None:
    gate = _gate
    # Asked of the gate, not of the owners: some may have come since.
    if gate.forking and gate.changed._is_owned():  # type: ignore[attr-defined]
        gate.forking = False
        gate.changed.notify_all()
        gate.changed.release()


def _in_child() -> None:
    global _gate
    me, inside = threading.get_ident(), _gate.inside
    _gate = _Gate()
    if inside[me]:
        _gate.inside[me] = inside[me]
    owners = list(_owners)
    for owner in owners:
        owner.renew_in_child()
    if not owners:
        return
    # Their pools of threads (GNU OpenMP) stayed with the parent: the next parallel loop would wait for ever.
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)
    if (faiss := sys.modules.get("faiss")) is not None:
        faiss.omp_set_num_threads(1)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
