"""The caption files of NRCCR, of any of its data sets: captions by people, translations, and the way back.

Their names are `<collection><split>[_<engine>][_<chain>][_<task>].caption.txt`.
The chain says how a caption came about: `zh` was written in Chinese, `enc2zh` translated from English into
Chinese, `enc2zh2enc` translated back. Without a chain a file holds what was written in English.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from dragoman.corpus.readers.contract import Published, Row, Source, Wanted, faulty, item
from dragoman.corpus.readers.formats.listed import tagged_lines
from dragoman.errors import UserError
from dragoman.records import SPLITS, Kind, Role, Split

TASKS = ("task1", "task2")
_NAME = re.compile(r"(?P<collection>.+?)(?P<split>train|val|test)(?P<rest>(_[^_.]+)*)\.caption\.txt(\.gz)?")
_CHAIN = re.compile(r"(enc|[a-z]{2,3})(2(enc|[a-z]{2,3})){0,2}")
_ROLES: tuple[Role, ...] = ("human", "mt", "back")
_IMAGES = {".jpg", ".jpeg", ".png"}
_VIDEOS = re.compile(r"(vatex|msrvtt|msvd|tgif|activitynet)", re.IGNORECASE)

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


def read(wanted: Wanted) -> Source:
    return source(wanted, text_files(wanted.files.root, wanted.test))


class TextFile(NamedTuple):
    """A caption file and what its name says."""

    path: Path
    collection: str
    split: Split
    languages: tuple[str, ...]
    engine: str
    task: str

    @property
    def role(self) -> Role:
        """Role of its captions, by the length of their chain."""
        return _ROLES[len(self.languages) - 1]


def text_files(root: Path, task: str) -> list[TextFile]:
    """Find caption files in `root`, `TextData` or `*/TextData` below it; of several tasks those of one."""
    folders = [root, root / "TextData", *sorted(root.glob("*/TextData"))]
    per_folder = [
        [file for path in sorted(folder.glob("*.caption.txt*")) if (file := _parsed(path))]
        for folder in folders
    ]
    found = [files for files in per_folder if files]
    if len(found) > 1:
        places = ", ".join(str(files[0].path.parent) for files in found)
        raise UserError(f"{root} holds the caption files of several data sets: {places}. Give one of these.")
    if not found:
        raise UserError(
            f"{root} holds no caption files named like vatextrain_enc.caption.txt, neither itself nor in "
            "TextData. They are published at https://github.com/LiJiaBei-7/nrccr."
        )
    return _of_task(found[0], task)


def source(wanted: Wanted, files: Sequence[TextFile]) -> Source:
    """Read caption files; those that need another than the wanted languages are left out."""
    chosen = [f for f in files if not wanted.languages or set(f.languages) <= set(wanted.languages)]
    if not chosen:
        raise UserError(
            f"No caption file is in {', '.join(wanted.languages)} alone. The files hold: "
            f"{', '.join(sorted({'2'.join(f.languages) for f in files}))}."
        )
    wanted.files.use(*(file.path for file in chosen))
    return Source(
        items=_items(chosen), captions=chain.from_iterable(_captions(wanted, file) for file in chosen)
    )


def _parsed(path: Path) -> TextFile | None:
    match = _NAME.fullmatch(path.name)
    if match is None:
        return None
    parts = match["rest"].split("_")[1:]
    task = parts.pop() if parts and parts[-1] in TASKS else ""
    last = parts.pop() if parts and _CHAIN.fullmatch(parts[-1]) else "enc"
    languages = tuple("en" if part == "enc" else part for part in last.split("2"))
    return TextFile(
        path, match["collection"], _split(match["split"]), languages, "-".join(parts) or "unknown", task
    )


def _split(name: str) -> Split:
    return next(split for split in SPLITS if split == name)


def _of_task(files: list[TextFile], task: str) -> list[TextFile]:
    """Choose the files of one task: its own where there are such, else those that serve both."""
    other = [name for name in TASKS if name != task]
    kept = [file for file in files if file.task not in other]
    # A file without a task in its name serves both, unless the task has one of its own.
    own = {(file.split, file.languages, file.engine) for file in kept if file.task == task}
    kept = [f for f in kept if f.task == task or (f.split, f.languages, f.engine) not in own]
    # The training captions of task 2 of Multi30K are those of Flickr30k.
    trained = {file.collection for file in kept if file.split == "train"}
    if len(trained) > 1:
        second = {name for name in trained if name.lower().startswith("flickr30k")}
        wanted = second if task == "task2" else trained - second
        kept = [file for file in kept if file.split != "train" or file.collection in wanted]
    return kept


def _items(files: Sequence[TextFile]) -> Iterator[Row]:
    seen: dict[str, Split] = {}
    for file in files:
        kind = _kind(file)
        for line, visual, *_ in tagged_lines(file.path):
            if line.fault is None and seen.get(visual) != file.split:
                seen[visual] = file.split
                yield item(file.path, line.number, _item_id(visual), file.split, visual, kind=kind)


def _captions(wanted: Wanted, file: TextFile) -> Iterator[Row]:
    path, way = file.path, file.languages
    lang = way[-1]
    for line, visual, _, slot, text in tagged_lines(path):
        item_id = _item_id(visual)
        if line.fault:
            yield faulty(path, line, line.fault)
        elif file.role == "human":
            yield from wanted.caption(path, line, item_id, lang, slot, text)
        else:
            fields = {
                "caption_id": _machine_id(item_id, way, file.engine, slot),
                "item_id": item_id,
                "lang": lang,
                "role": file.role,
                "text": text,
                "source_id": f"{item_id}#{way[0]}#{slot}"
                if file.role == "mt"
                else _machine_id(item_id, way[:2], file.engine, slot),
                "engine": file.engine,
            }
            yield Row(str(path), line.number, line.raw, fields)


def _machine_id(item_id: str, way: Sequence[str], engine: str, slot: int) -> str:
    return f"{item_id}#{'2'.join(way)}-{engine}#{slot}"


def _item_id(visual: str) -> str:
    # Only a suffix of images is one: ids of videos hold dots as well.
    path = PurePosixPath(visual)
    return path.stem if path.suffix.lower() in _IMAGES else visual


def _kind(file: TextFile) -> Kind:
    frames = file.path.parent.parent.glob("FeatureData/*/video2frames.txt")
    return "video" if _VIDEOS.match(file.collection) or any(frames) else "image"
