"""WebDataset: tars whose files of one name are one sample, `0001.jpg`, `0001.txt` or `0001.json`."""

from __future__ import annotations

import json
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from dragoman.corpus.readers.contract import Published, Source, Wanted
from dragoman.corpus.readers.formats.captioned import (
    Captioned,
    Columns,
    extracted,
    metadata,
    source,
    split_of,
    texts_of,
)
from dragoman.errors import UserError
from dragoman.languages import canonical_tag
from dragoman.media.listing import IMAGE_SUFFIXES
from dragoman.textfiles import TextLine

ABOUT = Published(
    title="WebDataset, `*.tar` in a folder or in folders called like splits, or one tar",
    where={"": "https://github.com/webdataset/webdataset"},
    free=True,
    columns=True,
    packed=True,
    defects=(
        "captions are those of `.txt` (of `.pt.txt` in Portuguese), else those of a key of `.json`; item ids "
        "are `shard/key`, because shards may use the same keys",
        "pictures in tars have no path until `--extract FOLDER` writes them there",
        "a sample without caption is an item without captions, and counted",
    ),
)
_TAR = re.compile(r"\.(tar|tgz|tar\.(gz|bz2|xz))$", re.IGNORECASE)
_LARGEST = 1 << 24
"""Bytes of a caption or its JSON."""


def read(wanted: Wanted) -> Source:
    root = wanted.files.root
    shards = [root] if root.is_file() else sorted(p for p in root.rglob("*") if _is_tar(p))
    if not shards:
        raise UserError(
            f"{root} holds no .tar. The format is told at {ABOUT.where['']}. Give a tar or a folder."
        )
    wanted.files.use(*shards)
    base = root.parent if root.is_file() else root
    return source(
        wanted,
        lambda pictures: (
            record for shard in shards for record in _samples(wanted, shard, base, pictures=pictures)
        ),
    )


def _is_tar(path: Path) -> bool:
    # Indices lie beside, as `00000.tar.idx`.
    return _TAR.search(path.name) is not None and path.is_file()


def _samples(wanted: Wanted, shard: Path, base: Path, *, pictures: bool) -> Iterator[Captioned]:
    """Yield the samples of a shard: with their pictures, or with their captions."""
    key, members, seen = "", dict[str, bytes](), set[str]()
    for name, data in _members(wanted, shard, pictures=pictures):
        path = PurePosixPath(name)
        start, _, suffix = path.name.partition(".")
        found = str(path.with_name(start))
        if found != key and key:
            yield _sample(wanted, shard, base, key, members, pictures=pictures)
            members = {}
        # WebDataset reads tars as a stream and takes what stands together for a sample; so do we, in one
        # pass.
        if found != key and found in seen:
            raise UserError(
                f"{shard}: the files of {found} do not stand together, as those of a sample must. "
                "Pack them sorted: tar --sort=name"
            )
        seen.add(found)
        key = found
        members[suffix.lower()] = data
    if key:
        yield _sample(wanted, shard, base, key, members, pictures=pictures)


def _members(wanted: Wanted, shard: Path, *, pictures: bool) -> Iterator[tuple[str, bytes]]:
    last = "its beginning"
    try:
        with tarfile.open(shard) as tar:
            for member in tar:
                if not member.isfile() or PurePosixPath(member.name).name.startswith("."):
                    continue
                image = f".{member.name.rpartition('.')[2].lower()}" in IMAGE_SUFFIXES
                text = member.name.lower().endswith((".txt", ".json")) and member.size <= _LARGEST
                needed_now = (image and wanted.extract is not None and pictures) or text
                file = tar.extractfile(member) if needed_now else None
                yield member.name, b"" if file is None else file.read()
                last = member.name
            # The library takes a header that is cut or garbled for the end.
            end = tar.fileobj
            assert end is not None
            end.seek(tar.offset)
            rest = end.read(tarfile.BLOCKSIZE)
            if rest.strip(b"\0") or 0 < len(rest) < tarfile.BLOCKSIZE:
                raise tarfile.ReadError("what follows is no header")
            if not rest and pictures:
                wanted.defects.note("tar without its end mark, perhaps cut", shard.name)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        why = " ".join(str(error).split())
        raise UserError(f"{shard}: the tar is damaged after {last} ({why}). Fetch it anew.") from None


def _sample(
    wanted: Wanted, shard: Path, base: Path, key: str, members: dict[str, bytes], *, pictures: bool
) -> Captioned:
    place, line = f"{shard}, {key}", TextLine(0, "", "", None)
    item_id = f"{shard.name.split('.')[0]}/{key}"
    folder = shard.parent.relative_to(base)
    split = next(
        (
            split
            for part in (*folder.parts, shard.name.split("-")[0].split(".")[0])
            if (split := split_of(part))
        ),
        None,
    )
    fields: dict[str, object] = {}
    if (document := members.get("json")) is not None:
        fields, fault = _fields(document)
        line = line._replace(fault=fault)
    image = next((suffix for suffix in members if f".{suffix}" in IMAGE_SUFFIXES), None)
    path = None if image is None else f"{key}.{image}"
    if pictures:
        if image is not None and path is not None and wanted.extract is not None:
            path = extracted(wanted.extract, f"{item_id}.{image}", members[image])
        return Captioned(
            place, line._replace(fault=None), item_id, split, path, [], metadata(fields, {"caption", "key"})
        )
    texts = [found for suffix, data in members.items() for found in _texts(suffix, data)]
    if not texts and fields:
        try:
            texts = Columns(wanted, fields, place).captions(fields)
        except UserError:
            if wanted.columns:
                raise
    if not texts and line.fault is None:
        wanted.defects.note("sample without caption", item_id)
    return Captioned(place, line, item_id, split, None, texts, {})


def _fields(document: bytes) -> tuple[dict[str, object], str | None]:
    try:
        value = json.loads(document)
    except (ValueError, RecursionError) as error:
        return {}, f"its .json is no valid JSON ({error})."
    return (value, None) if isinstance(value, dict) else ({}, "its .json is no object with keys.")


def _texts(suffix: str, data: bytes) -> list[tuple[str | None, object]]:
    if suffix == "txt":
        return texts_of(data.decode("utf-8", "surrogateescape"), None)
    tag, _, last = suffix.rpartition(".")
    if last != "txt":
        return []
    try:
        return texts_of(data.decode("utf-8", "surrogateescape"), canonical_tag(tag))
    except ValueError:
        return []
