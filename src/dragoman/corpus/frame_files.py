"""Ready-made frame features as others publish them: a folder of `.npy`, HDF5, or the layout of NRCCR.

F frames, D width, T frames of all videos together.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError, UserError, reason
from dragoman.folders import sha256

HDF5 = frozenset({".h5", ".hdf5", ".hdf"})
_DIGITS = re.compile("[0-9]{1,12}")
NRCCR = ("feature.bin", "shape.txt", "id.txt", "video2frames.txt")


class FrameFiles(Protocol):
    """Frames of videos by item id. A fault in one of them shows when it is read."""

    def __contains__(self, item_id: object) -> bool: ...

    def read(self, item_id: str) -> NDArray[Any]:
        """Read [F, D] as stored, memory-mapped where possible. Raises UserError that names the file."""

    def inputs(self) -> Mapping[str, str]:
        """Content hashes."""


def frame_files(path: Path) -> FrameFiles:
    """Open frames, told by the name: a file of HDF5, a folder in NRCCR's layout, or one of `.npy`."""
    if path.suffix.lower() in HDF5:
        return Hdf5(path)
    if not path.is_dir():
        raise UserError(
            f"{path} holds no frame features that can be read. Give a folder of .npy files (one a video, "
            f"named by the item id), a folder with {', '.join(NRCCR)}, or a file of HDF5 (.h5)."
        )
    return NrccrFolder(path) if (path / NRCCR[0]).exists() else NpyFolder(path)


class NpyFolder:
    """`<item_id>.npy` below a folder, [F, D] each, or [1, F, D] as the features of VATEX are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def _files(self) -> dict[str, Path]:
        files = sorted(file for file in self.folder.rglob("*.npy") if file.is_file())
        return {file.relative_to(self.folder).with_suffix("").as_posix(): file for file in files}

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._files

    def read(self, item_id: str) -> NDArray[Any]:
        file = self._files[item_id]
        try:
            found = np.load(file, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # a damaged header raises nearly anything, from EOFError to TokenError
            raise UserError(f"{file} is no readable .npy file ({error}). Extract it anew.") from None
        return _matrix(found, str(file))

    def inputs(self) -> Mapping[str, str]:
        digest = hashlib.sha256()
        for item_id, file in self._files.items():
            digest.update(f"{item_id}\0{sha256(file)}\n".encode())
        return {str(self.folder): digest.hexdigest()}


class Hdf5:
    """One data set a video, named by the item id (`group/video7` where it lies in a group), [F, D] each."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            import h5py
        except ImportError:
            raise MissingExtraError("h5py", "hdf5", "Reading HDF5") from None
        if not file.is_file():
            raise UserError(f"{file} does not exist or is no file. Check the path of the frame features.")
        with self._named():
            self._open = h5py.File(file, "r")
        self._kind = h5py.Dataset

    def __contains__(self, item_id: object) -> bool:
        with self._named():
            return isinstance(self._open.get(item_id), self._kind)

    def read(self, item_id: str) -> NDArray[Any]:
        place = f"{self.file}, data set {item_id!r}"
        with self._named():
            stored = self._open[item_id]
            # A data set of HDF5 may lie in another file, whose hash would not be among the inputs of the
            # corpus.
            if stored.external or stored.is_virtual or stored.file.filename != self._open.filename:
                raise UserError(
                    f"{place} lies in another file, whose content is not checked. Copy it into this one."
                )
            # Nothing else is read: it may be of any size.
            found = stored[()] if _is_matrix(stored) else stored
        return _matrix(found, place)

    def inputs(self) -> Mapping[str, str]:
        return {str(self.file): sha256(self.file)}

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
            raise UserError(
                f"{self.file} cannot be read as HDF5 ({reason(error)}). Fetch or write the file anew."
            ) from None


class NrccrFolder:
    """`feature.bin` (float32, a row a frame), `shape.txt` (rows, width), `id.txt` (frame ids by row),
    `video2frames.txt` (a dictionary of frame ids by video)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        numbers = self._text("shape.txt").split()
        if len(numbers) != 2 or not all(_DIGITS.fullmatch(number) and int(number) > 0 for number in numbers):
            raise UserError(
                f"{folder / 'shape.txt'} holds {' '.join(numbers)[:40]!r}, but the number of frames and "
                "their width were expected, as in '2000 4096'."
            )
        rows, width = (int(number) for number in numbers)
        names = self._text("id.txt").split()
        self._row_of = {name: row for row, name in enumerate(names)}
        if len(names) != rows or len(self._row_of) != rows:
            raise UserError(
                f"{folder / 'id.txt'} holds {len(names)} ids, {len(self._row_of)} of them different, but "
                f"shape.txt says {rows} frames. Fetch both files anew."
            )
        file = folder / "feature.bin"
        size = file.stat().st_size if file.is_file() else 0
        if size != rows * width * 4:
            raise UserError(
                f"{file} has {size} bytes, but {rows} frames of {width} float32 values have "
                f"{rows * width * 4}. Fetch it anew: it was cut short, or shape.txt belongs to another file."
            )
        self._vectors = np.memmap(file, "<f4", "r", shape=(rows, width))
        self._frames_of = self._read_frames()

    def _read_frames(self) -> dict[str, list[str]]:
        file = self.folder / "video2frames.txt"
        written = self._text(file.name).strip()
        try:
            found = _literal(written)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError) as error:
            raise UserError(
                f"{file} is no dictionary of frame ids by video ({type(error).__name__}). Fetch it anew."
            ) from None
        if not isinstance(found, dict) or not all(
            isinstance(video, str)
            and isinstance(frames, list | tuple)
            and all(isinstance(frame, str) for frame in frames)
            for video, frames in found.items()
        ):
            raise UserError(f"{file} is no dictionary of lists of frame ids by video. Fetch it anew.")
        return found

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._frames_of

    def read(self, item_id: str) -> NDArray[Any]:
        frames = self._frames_of[item_id]
        missing = [frame for frame in frames if frame not in self._row_of]
        if missing:
            raise UserError(
                f"{self.folder / 'video2frames.txt'}: video {item_id!r} has the frame {missing[0][:60]!r}, "
                "which id.txt does not name. Fetch both files anew."
            )
        return _matrix(
            self._vectors[[self._row_of[frame] for frame in frames]], f"{self.folder}, video {item_id!r}"
        )

    def inputs(self) -> Mapping[str, str]:
        return {str(self.folder / name): sha256(self.folder / name) for name in NRCCR}

    def _text(self, name: str) -> str:
        file = self.folder / name
        try:
            return file.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{file} cannot be read ({error}). Features in this layout have {', '.join(NRCCR)}."
            ) from None


def _literal(written: str) -> object:
    """Read a literal, not an expression: nothing of a foreign file is run."""
    if "\\" not in written and not ("'" in written and '"' in written):
        # What Python writes of plain names is JSON but for the quotes. To read that takes a twentieth of the
        # time and of the memory, and published files have 30 MB.
        try:
            return json.loads(written.replace("'", '"'))
        except (ValueError, RecursionError):
            pass
    return ast.literal_eval(written)


def _is_matrix(found: Any) -> bool:
    shape = tuple(found.shape or ())
    return len(shape) in (2, 3) and (len(shape) == 2 or shape[0] == 1) and found.dtype.kind == "f"


def _matrix(found: Any, place: str) -> NDArray[Any]:
    if isinstance(found, np.ndarray) and _is_matrix(found) and 0 not in found.shape:
        return found[0] if found.ndim == 3 else found
    what = f"{found.dtype} of shape {found.shape}" if hasattr(found, "dtype") else "no single array"
    raise UserError(
        f"{place} holds {what}, but floats of shape (frames, width) were expected, one frame or more."
    )
