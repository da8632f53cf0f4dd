"""Files as they were written before there were checksums, for tests that change one by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def without_checksums(path: Path, **changes: Any) -> None:
    """Rewrite a JSON file, or the manifest of a folder, without checksums; None leaves a value out."""
    file = path / "manifest.json" if path.is_dir() else path
    said = json.loads(file.read_text("utf-8")) | {"files": None, "checksum": None} | changes
    kept = {name: value for name, value in said.items() if value is not None}
    file.write_text(json.dumps(kept, ensure_ascii=False), "utf-8")
