"""A folder of images and videos with captions in text files beside them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from dragoman.corpus.readers.contract import Row, Source
from dragoman.corpus.readers.files import SUFFIXES, VIDEO_SUFFIXES
from dragoman.errors import UserError
from dragoman.languages import canonical_tag
from dragoman.textfiles import numbered_lines


def read(folder: Path) -> Source:
    """`photo.txt` holds the captions of `photo.jpg`, one a line; `photo.pt.txt` those in Portuguese.

    Subfolders are searched, hidden files are not. The item id is the path below `folder` without suffix; an
    image or video without captions is an item without captions. A text file without either is a fault.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder. Give the folder that holds the images.")
    names = sorted(_files(folder))
    media = [name for name in names if _kind(name) is not None]
    sidecars = [name for name in names if PurePosixPath(name).suffix.lower() == ".txt"]
    if not media:
        raise UserError(
            f"{folder} holds no images ({', '.join(sorted(SUFFIXES))}) and no videos "
            f"({', '.join(sorted(VIDEO_SUFFIXES))}). Check the folder."
        )
    return Source(
        items=_items(folder, media),
        captions=_captions(folder, sidecars, {_stem(name) for name in media}),
        inputs={str(folder): _fingerprint(folder, media, sidecars)},
    )


def _kind(name: str) -> str | None:
    suffix = PurePosixPath(name).suffix.lower()
    return "image" if suffix in SUFFIXES else "video" if suffix in VIDEO_SUFFIXES else None


def _files(folder: Path) -> Iterator[str]:
    for parent, folders, files in os.walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                yield (Path(parent) / name).relative_to(folder).as_posix()


def _unreadable(error: OSError) -> None:
    raise UserError(f"{error.filename} cannot be read: {error.strerror}. Allow it, or move it away.")


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _items(folder: Path, media: Sequence[str]) -> Iterator[Row]:
    file_of: dict[str, str] = {}
    for name in media:
        item_id = _stem(name)
        first = file_of.setdefault(item_id, name)
        fault = None
        if first != name:
            fault = f"it would share the item id {item_id!r} with {folder / first}. Rename or remove one."
        path = str((folder / name).absolute())
        fields = {"item_id": item_id, "kind": _kind(name), "path": path}
        yield Row(str(folder / name), 0, "", fields, fault)


def _captions(folder: Path, sidecars: Sequence[str], items: set[str]) -> Iterator[Row]:
    for name in sidecars:
        file = str(folder / name)
        item_id, lang = _whose(name, items)
        if item_id not in items:
            what = f"there is no image or video {_stem(name)} beside it"
            reason = f"{what}. Add it, or move the text file elsewhere."
            yield Row(file, 0, "", {}, reason)
            continue
        if not (folder / name).is_file():
            yield Row(file, 0, "", {}, "it is no file that can be read. Remove it, or move it elsewhere.")
            continue
        count = 0
        try:
            for number, raw in numbered_lines(folder / name):
                if raw.strip():
                    yield _row(file, number, raw.removesuffix(b"\r"), item_id, lang)
                    count += 1
        except UserError as error:
            yield Row(file, 0, "", {}, f"it cannot be read ({error})")
            continue
        if not count:
            yield Row(file, 0, "", {}, "it holds no caption. Write one caption a line, or remove the file.")


def _whose(name: str, items: set[str]) -> tuple[str, str | None]:
    """Item and language of a text file; the language is None where its name holds none."""
    stem = _stem(name)
    base, suffix = _stem(stem), PurePosixPath(stem).suffix
    if stem in items or base not in items:
        return stem, None
    try:
        return base, canonical_tag(suffix.removeprefix("."))
    except ValueError:
        return stem, None


def _row(file: str, number: int, raw: bytes, item_id: str, lang: str | None) -> Row:
    fields: dict[str, object] = {"item_id": item_id}
    if lang is not None:
        fields["lang"] = lang
    try:
        return Row(file, number, raw, fields | {"text": raw.decode("utf-8")})
    except UnicodeDecodeError as error:
        reason = f"byte {error.start + 1} ({raw[error.start]:#04x}) is not UTF-8. Save the file as UTF-8."
        return Row(file, number, raw, fields, reason)


def _fingerprint(folder: Path, media: Sequence[str], sidecars: Sequence[str]) -> str:
    """Hash of the names of the media and of the texts: what the corpus is made of."""
    digest = hashlib.sha256()
    for name in (*media, *sidecars):
        digest.update(os.fsencode(name) + b"\0")
    for name in sidecars:
        try:
            # To read from a pipe would wait for ever.
            text = (folder / name).read_bytes() if (folder / name).is_file() else b"no file"
            digest.update(hashlib.sha256(text).digest())
        except OSError:
            digest.update(b"unreadable")
    return digest.hexdigest()
