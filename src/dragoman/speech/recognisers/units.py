"""Units of sound in the place of words: a folder that `dragoman speak` made. NumPy alone, where they are of
log-mel. An index is asked by them whose model learned from captions in the same units."""

from __future__ import annotations

from pathlib import Path

from dragoman.folders import MANIFEST
from dragoman.media.sound import Samples
from dragoman.models.hub import read_json
from dragoman.speech.recogniser import Recognised, Recogniser
from dragoman.speech.units import UNITS, open_units

LAYOUT = "units of sound (a folder of dragoman speak --units)"
UNDETERMINED = "und"
"""Language of a sound of which nobody said it (BCP 47): units do not tell."""


def reads(name: str) -> bool:
    """Tell whether a folder says that it holds units."""
    file = Path(name) / MANIFEST
    return file.is_file() and read_json(file).get("format") == UNITS.name


def load(name: str, device: str) -> Recogniser:
    """Open the codebook. Raises UserError where it is damaged, or its encoder not there."""
    return UnitRecogniser(name, device)


class UnitRecogniser(Recogniser):
    """Writes units down."""

    expects = False

    def __init__(self, name: str, device: str) -> None:
        self._units = open_units(name, device)

    def recognise(self, samples: Samples, lang: str | None) -> Recognised:
        return Recognised(text=self._units.text(samples), language=lang or UNDETERMINED, units=True)
