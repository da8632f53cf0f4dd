"""MSR-VTT-CN as NRCCR publishes it: English training captions, translated; Chinese val and test captions."""

from __future__ import annotations

from dragoman.corpus.readers.contract import Needed, Published, Source, Wanted
from dragoman.corpus.readers.nrccr import source, text_files

ABOUT = Published(
    title="MSR-VTT-CN",
    where={"": "https://github.com/LiJiaBei-7/nrccr (cn_caption)"},
    languages=("en", "zh"),
    defects=(
        "machine translations (`google`) of the training captions, their way back, and machine English of "
        "the Chinese captions are read where their files are there",
        "items are videos; sizes of the splits are those of the files",
    ),
)


def needed(test: str) -> Needed:
    chinese = tuple(f"TextData/msrvttcn{split}_zh.caption.txt" for split in ("val", "test"))
    return {"en": ("TextData/msrvttcntrain.caption.txt",), "zh": chinese}


def read(wanted: Wanted) -> Source:
    folder = next(wanted.files[path] for lang in wanted.languages for path in needed("")[lang]).parent
    files = [file for file in text_files(folder, "task1") if file.collection == "msrvttcn"]
    return source(wanted, files)
