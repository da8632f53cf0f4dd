"""Folders that describe themselves: atomic files, one writer at a time, manifests, and how a folder is made.

Every stage writes a folder with a `manifest.json`. A file under its final name is always complete: it is
written beside its place, flushed to the disk, and renamed. A folder has one of two lives:

- `stage` fills it beside its place and swaps it in when it is whole;
- `resume` fills it in its place, where a later call goes on after a kill; its manifest, written last, says
  that it is whole.

A feature set has both, shards in a folder beside it and one swap at the end, by their parts: `swap`, `mend`
and `remove`. An index lives on, with `sole_writer` and a manifest that each update replaces.

Both lives tell whether the folder holds this very work already, and refuse to mix it with other work.
"""

from dragoman.folders.files import (
    LOCK,
    atomic_path,
    can_write,
    remove_torn,
    require_writable,
    sha256,
    sole_writer,
    sync_folder,
    write_json,
    write_text,
)
from dragoman.folders.integrity import (
    MANIFEST,
    SEAL,
    damages,
    digest,
    files_of,
    list_files,
    read_sealed,
    require_sound,
    require_whole_archive,
    write_sealed,
)
from dragoman.folders.life import Work, clear, mend, remove, resume, stage, swap
from dragoman.folders.manifest import (
    Format,
    details_of,
    differences,
    require_same,
    versions,
)

__all__ = [
    "LOCK",
    "MANIFEST",
    "SEAL",
    "Format",
    "Work",
    "atomic_path",
    "can_write",
    "clear",
    "damages",
    "details_of",
    "differences",
    "digest",
    "files_of",
    "list_files",
    "mend",
    "read_sealed",
    "remove",
    "remove_torn",
    "require_same",
    "require_sound",
    "require_whole_archive",
    "require_writable",
    "resume",
    "sha256",
    "sole_writer",
    "stage",
    "swap",
    "sync_folder",
    "versions",
    "write_json",
    "write_sealed",
    "write_text",
]
