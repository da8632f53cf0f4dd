"""The caption files of NRCCR, of any of its data sets: captions by people, translations, and the way back."""

from __future__ import annotations

from dragoman.corpus.readers.contract import Needed, Published, Source, Wanted
from dragoman.corpus.readers.formats.nrccr import TASKS, source, text_files

ABOUT = Published(
    title="caption files of NRCCR, `TextData/<collection><split>[_<engine>][_<chain>][_<task>].caption.txt`",
    where={"": "https://github.com/LiJiaBei-7/nrccr"},
    tests=TASKS,
    defects=(
        "what a file holds is read from its name: `enc2zh` is mt, `enc2zh2enc` back, `zh` human; a "
        "translation whose source is absent is a fault, never skipped",
        "in val and test the English captions are machine translations of the target language (`zh2enc`)",
        "of Multi30K's two tasks `--test` chooses one; files without a task in their name serve both",
    ),
)


def needed(test: str) -> Needed:
    return {}


def read(wanted: Wanted) -> Source:
    return source(wanted, text_files(wanted.files.root, wanted.test))
