"""Bad input: the first fault stops the job, or all faults are collected in a file."""

from __future__ import annotations

import json
from pathlib import Path

from dragoman.errors import UserError
from dragoman.folders import write_text


class RecordError(ValueError):
    """One record does not fit: the message names the value, what was expected, and the fix."""


class Rejects:
    """Where faults go. Without a file, the first one is raised as UserError."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self._lines: list[str] = []

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, file: str, line: int, reason: str, raw: str | bytes | None) -> None:
        """Note a fault of a line (from 1; 0 is the whole file), or raise it."""
        if self.file is None:
            place = f"{file}, line {line}" if line else file
            raise UserError(f"{place}: {reason} To collect bad lines instead, pass --reject-file FILE.")
        if isinstance(raw, bytes):
            raw = raw.decode("utf-8", "backslashreplace")
        record = {"file": file, "line": line, "reason": reason, "raw": raw}
        # Escapes keep what is no valid Unicode, so that the file can always be written.
        escaped = json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace")
        self._lines.append(escaped.decode())

    def write(self) -> None:
        """Replace the reject file by what was collected: one JSON object a line, empty where all was well."""
        if self.file is not None:
            write_text(self.file, "".join(f"{line}\n" for line in self._lines))
