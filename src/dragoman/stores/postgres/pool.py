"""Connections to PostgreSQL, shared by the threads of a process."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from pgvector.psycopg.vector import register_vector_info
from psycopg import conninfo, errors
from psycopg.types import TypeInfo

from dragoman.errors import UserError

Connection = psycopg.Connection[tuple[Any, ...]]

_DEFAULTS = {"connect_timeout": "10", "application_name": "dragoman", "keepalives_idle": "60"}


# psycopg_pool connects in a worker and tells a caller only that it timed out; this one raises the reason.
class Pool:
    """At most `size` connections, opened when needed; a caller waits while all are in use."""

    def __init__(self, url: str, size: int) -> None:
        try:
            given = conninfo.conninfo_to_dict(url)
        except psycopg.Error:
            # Not the reason: it repeats the address, which may hold a password.
            raise UserError(
                "The address of the PostgreSQL server cannot be read. "
                "Write for example: export DRAGOMAN_POSTGRES_URL=postgresql://user@host:5432/database"
            ) from None
        self._parameters = {**_DEFAULTS, **given}
        self._address = conninfo.make_conninfo("", **self._parameters)
        self._room = threading.BoundedSemaphore(size)
        self._idle: list[Connection] = []
        self._closed = False

    @property
    def place(self) -> str:
        """Host, port and database, for messages: no user, no password."""
        host = self._parameters.get("host") or self._parameters.get("hostaddr") or "the local socket"
        return f"{host}:{self._parameters.get('port', 5432)}/{self._parameters.get('dbname', '')}"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection in a transaction that ends with the block. Raises UserError where the server fails."""
        with self._room, self._explained():
            connection = self._idle.pop() if self._idle else self._connect()
            try:
                with connection.transaction():
                    yield connection
            finally:
                if connection.closed:
                    # The others went to the same server: better to connect anew than to fail once for each.
                    self._close_idle()
                elif self._closed:
                    connection.close()
                else:
                    self._idle.append(connection)

    def close(self) -> None:
        """Close the idle connections now, and those in use as they come back."""
        self._closed = True
        self._close_idle()

    def _connect(self) -> Connection:
        # Prepared statements belong to one session, which poolers such as PgBouncer do not keep.
        connection = psycopg.connect(self._address, autocommit=True, prepare_threshold=None)
        # A server may be set to answer before a commit is on the disk. All other values promise at least
        # that, and some, such as remote_apply, more than `on`: they stay.
        if connection.execute("SHOW synchronous_commit").fetchone() == ("off",):
            connection.execute("SET synchronous_commit = on")
        vector = TypeInfo.fetch(connection, "vector")
        if vector is not None:
            register_vector_info(connection, vector)
        return connection

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction) as error:
            raise UserError(
                f"PostgreSQL at {self.place} does not permit it ({self._reason(error)}). "
                "Connect as a role that may, or ask who runs the database."
            ) from None
        except errors.UndefinedTable as error:
            raise UserError(
                f"The table of this index is gone from {self.place} ({self._reason(error)}). "
                "Build the index again, or restore the database from a backup."
            ) from None
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise UserError(
                f"PostgreSQL at {self.place} failed ({self._reason(error)}). Check that it runs and that "
                "DRAGOMAN_POSTGRES_URL is right, and try again; a change may or may not have been stored."
            ) from None

    def _reason(self, error: psycopg.Error) -> str:
        said = " ".join((error.diag.message_primary or str(error)).split())
        password = str(self._parameters.get("password") or "")
        return re.sub(re.escape(password), "…", said) if password else said
