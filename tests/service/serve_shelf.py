"""`dragoman serve` in a process of its own, with the stand-in for the model."""

from __future__ import annotations

import sys

import pytest
from shelf import use_spelling

from dragoman.cli import main

if __name__ == "__main__":
    use_spelling(pytest.MonkeyPatch())
    sys.argv[0] = "dragoman"
    main()
