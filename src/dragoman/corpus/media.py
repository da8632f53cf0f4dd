"""Media files below a folder, found by their published name whatever the subfolder."""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from dragoman.errors import UserError

# COCO numbered its pictures anew in 2017, without the name of the part in front.
_COCO = re.compile(r"COCO_(train|val|test)201[45]_")


class Media:
    """Files below `folder`; without a folder nothing is found."""

    def __init__(self, folder: Path | None) -> None:
        self._by_name: dict[str, str] = {}
        if folder is None:
            return
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder. Give the folder of the media files with --media-root.")
        for parent, folders, names in os.walk(folder.absolute()):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith("."):
                    path = os.path.join(parent, name)  # noqa: PTH118 -- a Path for each of 100,000 files is slow
                    self._by_name.setdefault(name, path)
                    self._by_name.setdefault(PurePosixPath(name).stem, path)

    def find(self, published: str, item_id: str) -> str | None:
        """The file of that name or address, or else one that is named like the item, with any suffix."""
        address = unquote(urlsplit(published).path) if "://" in published else published
        name = PurePosixPath(address).name
        names = (name, PurePosixPath(name).stem, item_id, _COCO.sub("", item_id))
        return next((self._by_name[name] for name in names if name in self._by_name), None)
