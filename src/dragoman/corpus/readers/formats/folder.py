"""A folder of images and videos, with captions and metadata beside them, by the rules of `media.folder`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dragoman.corpus.readers.contract import Row, Source
from dragoman.media.folder import MediaFolder, NoteError, Texts


def read(folder: Path) -> Source:
    """Read every image and video as an item, whether it has captions or not.

    A text file that belongs to none of them is a fault: its captions would be lost without a word.
    """
    media = MediaFolder(folder)
    return Source(items=_items(media), captions=_captions(media), inputs={str(folder): media.fingerprint()})


def _items(media: MediaFolder) -> Iterator[Row]:
    for path, reason in media.unusable:
        yield Row(str(media.folder / path), 0, "", {}, reason)
    for item_id in media.ids:
        file = media.folder / item_id
        fields: dict[str, object] = {
            "item_id": item_id,
            "kind": media.kind(item_id),
            "path": str(file.absolute()),
        }
        try:
            metadata = media.metadata(item_id)
        except NoteError as error:
            yield Row(str(file), 0, "", fields, str(error))
            continue
        listed = {name: list(value) for name, value in metadata.items() if isinstance(value, tuple)}
        yield Row(str(file), 0, "", metadata | listed | fields)


def _captions(media: MediaFolder) -> Iterator[Row]:
    for item_id in media.ids:
        for texts in media.texts(item_id):
            yield from _lines(item_id, texts)
    for path in media.strays():
        reason = (
            f"there is no image or video {path[: -len('.txt')]} beside it. Add it, or move the text file "
            "elsewhere."
        )
        yield Row(str(media.folder / path), 0, "", {}, reason)


def _lines(item_id: str, texts: Texts) -> Iterator[Row]:
    file, fields = str(texts.file), {"item_id": item_id} | ({"lang": texts.lang} if texts.lang else {})
    count = 0
    try:
        for line in texts.lines():
            yield Row(file, line.number, line.raw, fields | {"text": line.text}, line.fault)
            count += 1
    except NoteError as error:
        yield Row(file, 0, "", {}, f"it {error.what}")
    else:
        if not count:
            yield Row(file, 0, "", {}, "it holds no caption. Write one caption a line, or remove the file.")
