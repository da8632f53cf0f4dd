"""Items of a folder of media. Memory holds their ids and their tables of metadata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dragoman.index.items import Items, MediaItem, Notes, Rejected
from dragoman.media.folder import ORIGINS, MediaFolder, NoteError
from dragoman.media.listing import Listing, kind_of
from dragoman.records import Kind, Value


class FolderItems(Items):
    """All images and videos below a folder, but for links that lead out of it."""

    def __init__(
        self, media: MediaFolder, lang: str, whole: bool, *, wants_descriptions: bool = False
    ) -> None:
        """If `whole`, videos are not cut. A folder has no descriptions, and tells so where a model wants
        some."""
        self._wants_descriptions = wants_descriptions
        self.root = media.folder
        self._media, self._lang, self._whole = media, lang, whole
        # The service shows the files of an index: a link must not open the rest of the disk to it.
        out = {one for one in media.links if _leads_out(self.root / one, self.root)}
        reason = "a link that leads out of the folder: index the folder that holds the file"
        self.faults = [Rejected(path, path, why) for path, why in media.unusable]
        self.faults += [Rejected(path, path, reason) for path in sorted(out)]
        for file, line, reason in media.faults:
            table = file.relative_to(self.root).as_posix()
            self.faults.append(Rejected(table, table, f"line {line}: {reason}" if line else reason))
        # No fault here, as for a corpus, whose captions they might be: the pictures are found without them.
        self._strays = Listing()
        for path in media.strays:
            self._strays.leave_out(path, "texts that belong to no image or video")
        self._ids = [one for one in media.ids if one not in out]

    @property
    def left_out(self) -> Sequence[str]:
        inside = self._media.taken_inside()
        told = ", ".join(f"{origin} {inside[origin]:,}" for origin in ORIGINS if origin in inside)
        lines = [f"captions from inside pictures and their sidecars: {told}"] if told else []
        if self._wants_descriptions:
            lines.append(
                "descriptions, which the model reads: a folder has none; index a corpus that has some "
                "(dragoman describe CORPUS)"
            )
        return [*lines, *self._media.left_out(), *self._strays.left_out()]

    def __len__(self) -> int:
        return len(self._ids)

    def walk(self, *kinds: Kind) -> Iterator[MediaItem]:
        for path in self._ids:
            if (kind := kind_of(path)) in kinds and kind is not None:
                is_cut = kind == "video" and not self._whole
                yield MediaItem(
                    item_id=path, kind=kind, path=path, root=self.root, is_cut=is_cut, is_frozen=False
                )

    def notes(self, item: MediaItem) -> Notes:
        found: dict[str, list[str]] = {}
        metadata: Mapping[str, Value] = {}
        faults = []
        for texts in self._media.texts(item.item_id, self._lang):
            try:
                for line in texts.lines():
                    if line.fault is None:
                        found.setdefault(texts.lang or self._lang, []).append(line.text)
                    else:
                        faults.append(f"line {line.number} of {texts.file.name}: {line.fault}")
            except NoteError as error:
                within = f"the {texts.within} of " if texts.within else ""
                faults.append(f"{within}{texts.file.name}, which {error.what}")
        try:
            metadata = self._media.metadata(item.item_id)
        except NoteError as error:
            faults.append(f"its metadata: {error}")
        return Notes.of(metadata, found, faults)


def _leads_out(file: Path, root: Path) -> bool:
    return file.is_symlink() and not file.resolve().is_relative_to(root)
