"""The format of the folder of trust in a corpus."""

from __future__ import annotations

from dragoman.folders import Format

# The page is written after the manifest, from the table.
TRUST = Format("dragoman-trust", 1, "dragoman trust CORPUS", apart=("parts/*", "report.html"))
