"""A folder of images and videos as a collection."""

from __future__ import annotations

from pathlib import Path

from dragoman.errors import UserError
from dragoman.index.collection import Collection, Notes, NotesError, Rejected
from dragoman.media.folder import MediaFolder, NoteError
from dragoman.records import Kind


class MediaItems(Collection):
    """All images and videos below a folder, but for links that lead out of it."""

    def __init__(self, folder: Path, lang: str) -> None:
        """`lang` is the language of captions whose file names none. Raises UserError as `MediaFolder`."""
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder. Give a folder of images, or a corpus.")
        # Entries have paths below the root, which must not change with the way to it.
        self.root = folder.resolve()
        self._media = MediaFolder(self.root)
        self._lang = lang
        # The service shows the files of an index: a link must not open the rest of the disk to it.
        out = [one for one in self._media.ids if self._leads_out(self.root / one)]
        reason = "a link that leads out of the folder: index the folder that holds the file"
        self.faults = [Rejected(path, path, why) for path, why in self._media.unusable]
        self.faults += [Rejected(path, path, reason) for path in out]
        inside = sorted(set(self._media.ids).difference(out))
        self.ids = [one for one in inside if self._media.kind(one) == "image"]
        self.videos = [one for one in inside if self._media.kind(one) == "video"]

    def path(self, item_id: str) -> str:
        return item_id

    def kind(self, item_id: str) -> Kind:
        return self._media.kind(item_id)

    def notes(self, item_id: str) -> Notes:
        shown: dict[str, str] = {}
        try:
            for texts in self._media.texts(item_id):
                for line in texts.lines():
                    if line.fault:
                        raise NotesError(f"{texts.file.name}, line {line.number}: {line.fault}")
                    shown.setdefault(texts.lang or self._lang, line.text)
            return Notes(self._media.metadata(item_id), shown)
        except NoteError as error:
            raise NotesError(str(error)) from None

    def _leads_out(self, file: Path) -> bool:
        return file.is_symlink() and not file.resolve().is_relative_to(self.root)
