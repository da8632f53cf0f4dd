"""Feature sets: frozen vectors of one encoder, any number for each id, on the disk.

A folder holds `vectors.npy` (float16, the vectors of all ids below one another, memory-mapped), `ids.txt` and
`manifest.json`, whose `layout` says what the vectors of one id are:

- `whole`: one vector.
- `regions`: the vector of the whole image, then those of its regions, as many for each id.
- `frames`: the frames of a video in their order, any number. `offsets.npy` says where each id begins, and
  where times are known `times.npy` says in seconds when each frame is shown.
- `tokens`: the states of the tokens of a text in their order, any number, with `offsets.npy`.

Where the vectors were extracted from files, `files.txt` has a line for each id: the state of its file then.

Nothing here asks what an id stands for. A set of texts has the layout `whole` or `tokens`; its ids are those
of captions, or digests of texts where one vector serves all captions of one wording, and the `encoder` of its
manifest says how texts were read.

N ids, T vectors of all ids together, K vectors of one id, R regions, F frames, D width.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import DamagedError, UserError, out_of_memory
from dragoman.folders import Format, atomic_path, write_text
from dragoman.media.file_state import UNKNOWN, FileState
from dragoman.media.frames import MOST_FRAMES, Sampling, padded

FEATURES = Format("dragoman-features", 3, "dragoman features CORPUS --encoder FOLDER")
FILES = "files.txt"
Layout = Literal["whole", "regions", "frames", "tokens"]
RAGGED: tuple[Layout, ...] = ("frames", "tokens")
"""Layouts with any number of vectors for an id."""


def shown(item_ids: Sequence[str], most: int = 3) -> str:
    """Name the first of some ids."""
    return ", ".join(item_ids[:most]) + (", …" if len(item_ids) > most else "")


class FeatureSet:
    """Vectors of one encoder; those of `ids[i]` are `vectors[offsets[i]:offsets[i + 1]]`."""

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        stored = _load(folder / "vectors.npy", mmap_mode="r")
        self.layout: Layout = _layout(folder, manifest, stored)
        self.vectors: NDArray[np.floating]
        """[T, D]; they stay on the disk until they are indexed."""
        self.offsets: NDArray[np.int64]
        """[N + 1]."""
        self.times: NDArray[np.float64] | None = None
        """[T] seconds from the beginning of each video, where they are known."""
        if self.layout in RAGGED:
            self.vectors, self.offsets = stored, _load(folder / "offsets.npy")
            if (folder / "times.npy").is_file():
                self.times = _load(folder / "times.npy", mmap_mode="r")
            self._require_fit()
        else:
            # As many vectors for each id: the shape of the file says where each begins.
            if stored.ndim not in (2, 3) or len(stored) != len(self.ids):
                raise UserError(
                    f"{folder}: vectors.npy has shape {stored.shape} but ids.txt has {len(self.ids)} lines; "
                    "one row a line was expected. Make the feature set anew."
                )
            self.vectors = stored.reshape(-1, stored.shape[-1])
            self.offsets = np.arange(len(stored) + 1) * (stored.shape[1] if stored.ndim == 3 else 1)

    @classmethod
    def open(cls, folder: str | Path) -> FeatureSet:
        """Open a feature folder. Raises UserError if it is missing, damaged or of a newer format."""
        path = Path(folder)
        return cls(path, FEATURES.read(path))

    @cached_property
    def ids(self) -> list[str]:
        """Ids in row order."""
        # Not splitlines: an id may hold what Unicode calls a separator of lines.
        try:
            return (self.folder / "ids.txt").read_text(encoding="utf-8").split("\n")[:-1]
        except (OSError, UnicodeDecodeError) as error:
            said = f"{self.folder / 'ids.txt'} is missing or damaged ({error})."
            raise DamagedError(f"{said} Make the feature set anew.") from None

    @cached_property
    def files(self) -> list[FileState]:
        """States of the files that the vectors of each id were made of; `UNKNOWN` where that is not noted."""
        file = self.folder / FILES
        if not file.is_file():
            return [UNKNOWN] * len(self.ids)
        try:
            found = [FileState.parse(line) for line in file.read_text(encoding="utf-8").split("\n")[:-1]]
        except (OSError, ValueError) as error:
            raise DamagedError(f"{file} is damaged ({error}). Make the feature set anew.") from None
        if len(found) != len(self.ids):
            said = f"{file} has {len(found)} lines and ids.txt {len(self.ids)}."
            raise DamagedError(f"{said} Make the feature set anew.")
        return found

    def note_files(self, files: Sequence[FileState]) -> None:
        """Replace the states of the files: those of today, of the same content."""
        if not (self.folder / FILES).is_file():
            # In sets of before there is none to be replaced; until it is listed it is as good.
            write_text(self.folder / FILES, _lines(files))

        def fill(temporary: Path) -> None:
            temporary.write_bytes(_lines(files).encode())

        replace(FEATURES, version=int(self.manifest["format_version"])).replace(self.folder, FILES, fill)

    @property
    def width(self) -> int:
        """D."""
        return int(self.vectors.shape[-1])

    @cached_property
    def per_item(self) -> int:
        """Vectors of an id in `whole`: 1, or of frames those of the longest video, at most MOST_FRAMES."""
        if self.layout != "frames":
            return 1
        return min(MOST_FRAMES, int(np.diff(self.offsets).max(initial=1)))

    @property
    def most_parts(self) -> int:
        """Vectors of an id that `parts` gives at most: 1, R, or MOST_FRAMES however short these videos are.

        A fusion encoder makes room for so many; it reads no states of tokens.
        """
        if self.layout in RAGGED:
            return MOST_FRAMES if self.layout == "frames" else 1
        return int(self._dense.shape[1])

    @property
    def sampling(self) -> Sampling:
        """Rule by which frames were chosen; one a second where the set does not say."""
        made_by = self.manifest.get("encoder")
        return Sampling(**(made_by.get("sampling") or {})) if isinstance(made_by, dict) else Sampling()

    @property
    def averages_videos(self) -> bool:
        """True where the vector of a video is the mean of its frames, from which no moments can be cut."""
        made_by = self.manifest.get("encoder")
        return isinstance(made_by, dict) and made_by.get("videos") == "mean"

    @property
    def of_texts(self) -> bool:
        """True where the ids are digests of texts (`features.texts`)."""
        made_by = self.manifest.get("encoder")
        return isinstance(made_by, dict) and made_by.get("of") == "texts"

    def whole(self, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """Read of some rows what a dual encoder does: [n, D], or of frames [n, F, D].

        Longer videos enter by frames spread evenly, shorter ones end in NaN.
        """
        if self.layout == "frames" and len(rows):
            return padded([self._of(row)[0] for row in rows], self.per_item, self.vectors.dtype)
        if self.layout == "frames":
            return np.empty((0, self.per_item, self.width), self.vectors.dtype)
        found: NDArray[np.floating] = self.vectors[self.offsets[rows]]
        return found

    def parts(self, rows: NDArray[np.int64]) -> NDArray[np.floating]:
        """Read of some rows what a fusion encoder attends to: [n, R, D], or of frames as `whole`."""
        found: NDArray[np.floating] = self.whole(rows) if self.layout == "frames" else self._dense[rows]
        return found

    def frames(self, item_id: str) -> tuple[NDArray[np.floating], NDArray[np.float64] | None]:
        """Read all vectors of an id, [K, D], and their times in seconds, [K], where these are known."""
        return self._of(int(self.rows([item_id])[0]))

    def lacking(self, item_ids: Iterable[str]) -> list[str]:
        """Find the ids that have no vector here, in their order."""
        return [item_id for item_id in item_ids if item_id not in self.row_of]

    @property
    def make_again(self) -> str:
        """The command that gives vectors to what has none."""
        corpus, made_by = shlex.quote(str(self.folder.parent.parent)), self.manifest.get("encoder")
        if not isinstance(made_by, dict) or "path" not in made_by:
            return f"dragoman corpus … --features FILE.npy --feature-ids FILE --out {corpus}"
        said = {"encoder": made_by["path"], "name": self.folder.name, "grid": made_by.get("grid")}
        # Of a sentence encoder, which reads items that are texts.
        said |= {name: (made_by.get("reading") or {}).get(name) for name in ("prefix", "pool")}
        for field, value in (made_by.get("sampling") or {}).items():
            usual = getattr(Sampling(), field)
            said["most-frames" if field == "most" else field] = None if value == usual else value
        options = [f"--{name} {shlex.quote(str(value))}" for name, value in said.items() if value]
        return f"dragoman features {corpus} {' '.join(options)}"

    def rows(self, item_ids: Sequence[str]) -> NDArray[np.int64]:
        """Find the rows of ids. Raises UserError that names those without a vector."""
        if missing := self.lacking(item_ids):
            raise UserError(
                f"{self.folder} has no vector for {len(missing)} of {len(item_ids)} items: "
                f"{shown(missing)}. Extract them: {self.make_again}"
            )
        return np.fromiter((self.row_of[item_id] for item_id in item_ids), np.int64, len(item_ids))

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row of each id."""
        return {item_id: row for row, item_id in enumerate(self.ids)}

    @property
    def _dense(self) -> NDArray[np.floating]:
        """[N, K, D], where each id has as many vectors."""
        # A block copy an id: several times faster than to gather its vectors by their numbers.
        found: NDArray[np.floating] = self.vectors.reshape(len(self.ids), -1, self.width)
        return found

    def _of(self, row: int) -> tuple[NDArray[np.floating], NDArray[np.float64] | None]:
        here = slice(*self.offsets[row : row + 2])
        return self.vectors[here], None if self.times is None else np.array(self.times[here])

    def _require_fit(self) -> None:
        total = len(self.vectors)
        if (
            self.vectors.ndim != 2
            or self.offsets.shape != (len(self.ids) + 1,)
            or (self.offsets[0], self.offsets[-1]) != (0, total)
            or (np.diff(self.offsets) < 1).any()
            or (self.times is not None and self.times.shape != (total,))
        ):
            raise UserError(
                f"{self.folder}: vectors.npy of shape {self.vectors.shape}, the offsets, the times and the "
                f"{len(self.ids)} lines of ids.txt do not fit together. Make the feature set anew."
            )


def write_features(
    folder: Path,
    ids: Sequence[str],
    vectors: Iterable[NDArray[np.floating]],
    *,
    layout: Layout | None = None,
    times: NDArray[np.float64] | None = None,
    files: Sequence[FileState] | None = None,
    **manifest: Any,
) -> None:
    """Write a feature set as float16, the vectors of one id at a time: [D] of `whole`, else [K, D].

    `layout` may be left out where `vectors` is an array: it is `whole` of [N, D], `regions` of [N, R, D].
    `times` [T] are seconds, of frames; `files` are the states of the files that the vectors were made of, one
    for each id. `manifest` holds `inputs`, content hashes by path, and what else is to be noted.
    """
    if layout is None:
        layout = "regions" if np.ndim(vectors) == 3 else "whole"  # type: ignore[arg-type]
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / "vectors.npy") as temporary, temporary.open("wb") as file:
        offsets = _write_vectors(file, vectors, layout)
    ragged = {"offsets": offsets, "times": times} if layout in RAGGED else {}
    for name, values in ragged.items():
        if values is not None:
            with atomic_path(folder / f"{name}.npy") as temporary, temporary.open("wb") as file:
                np.save(file, values, allow_pickle=False)
    write_text(folder / "ids.txt", "".join(f"{item_id}\n" for item_id in ids))
    if files is not None:
        write_text(folder / FILES, _lines(files))
    # Versions before 2 know no frames, before 3 no tokens; what they can read is written so that they do.
    version = {"frames": 2, "tokens": 3}.get(layout, 1)
    details: dict[str, Any] = {layout: int(offsets[-1]), **manifest} if layout in RAGGED else manifest
    replace(FEATURES, version=version).write(folder, layout=layout, **details)


def _lines(files: Iterable[FileState]) -> str:
    return "".join(f"{file}\n" for file in files)


def _write_vectors(
    file: BinaryIO, vectors: Iterable[NDArray[np.floating]], layout: Layout
) -> NDArray[np.int64]:
    """Return where the vectors of each id begin, and where the last ones end, [N + 1]."""
    begin = 1 if layout in RAGGED else 0
    ends = [0]
    # Of an empty array alone the shape is known without its rows.
    shape = np.shape(vectors)[1 + begin :] if isinstance(vectors, np.ndarray) else (0,)
    _write_header(file, 0, shape)
    for each in vectors:
        if len(ends) == 1:
            shape = each.shape[begin:]
            file.seek(0)
            _write_header(file, 0, shape)
        assert each.shape[begin:] == shape
        # Plain writes and no memory map: on a full disk a map kills the process by a signal.
        file.write(np.asarray(each, "<f2").tobytes())
        ends.append(ends[-1] + (len(each) if each.ndim == 2 else 1))
    # NumPy leaves room in a header for a number of rows that is known last.
    file.seek(0)
    _write_header(file, ends[-1] if layout in RAGGED else len(ends) - 1, shape)
    return np.array(ends, np.int64)


def _write_header(file: BinaryIO, rows: int, shape: tuple[int, ...]) -> None:
    header = {"descr": "<f2", "fortran_order": False, "shape": (rows, *shape)}
    np.lib.format.write_array_header_1_0(file, header)


def _layout(folder: Path, manifest: Mapping[str, Any], stored: NDArray[Any]) -> Layout:
    found: Layout | None = manifest.get("layout")
    if found is None:
        # Manifests written before layouts had names.
        return "frames" if "frames" in manifest else "regions" if stored.ndim == 3 else "whole"
    if found not in get_args(Layout):
        raise UserError(
            f"{folder} has the layout {found!r}, but one of {', '.join(get_args(Layout))} was expected. "
            "Make the feature set anew."
        )
    return found


def _load(file: Path, **options: Any) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(file, allow_pickle=False, **options)
    except (OSError, ValueError) as error:
        if out_of_memory(error):
            raise
        raise DamagedError(f"{file} is missing or damaged ({error}). Make the feature set anew.") from None
    return found
