"""Small data sets, each written in the format in which the real one is published.

That of the reader `readers/<name>.py` is `miniatures/<name>.py`, with `write(root) -> Expected`.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import json
import tarfile
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq


class Expected(NamedTuple):
    """What a miniature becomes: captions as (item, split, lang, role, text), and the items without any."""

    captions: list[tuple[str, str, str, str, str]]
    silent: tuple[str, ...] = ()


def miniature(name: str, root: Path) -> Expected:
    """Write the miniature of a reader below `root`, and return what it becomes."""
    module = f"miniatures.{name.replace('-', '_')}"
    assert importlib.util.find_spec(module), (
        f"The reader {name} has no miniature. Write tests/corpus/{module.replace('.', '/')}.py with "
        "`write(root: Path) -> Expected`: a few captions in files as they are published."
    )
    expected: Expected = importlib.import_module(module).write(root)
    return expected


def put(root: Path, files: dict[str, str]) -> None:
    """Write text files below `root`."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")


def put_lines(root: Path, files: dict[str, list[str]]) -> None:
    """Write text files, one string a line."""
    put(root, {name: "".join(f"{line}\n" for line in lines) for name, lines in files.items()})


def put_records(root: Path, files: dict[str, list[Any]]) -> None:
    """Write JSON Lines."""
    put_lines(root, {k: [json.dumps(r, ensure_ascii=False) for r in v] for k, v in files.items()})


def put_tar(path: Path, files: dict[str, bytes]) -> None:
    """Write a tar."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def put_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write a Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def put_saved(folder: Path, rows: list[dict[str, Any]], indices: list[int] | None = None) -> None:
    """Write one split as `datasets` does with `save_to_disk`."""
    folder.mkdir(parents=True, exist_ok=True)
    state: dict[str, Any] = {
        "_data_files": [{"filename": "data-00000-of-00001.arrow"}],
        "_split": folder.name,
    }
    tables = {"data-00000-of-00001.arrow": pa.Table.from_pylist(rows)}
    if indices is not None:
        state["_indices_files"] = [{"filename": "indices.arrow"}]
        tables["indices.arrow"] = pa.table({"indices": pa.array(indices, pa.uint64())})
    for name, table in tables.items():
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    (folder / "state.json").write_text(json.dumps(state))


def karpathy(root: Path) -> list[tuple[str, str, str, str, str]]:
    """`dataset_coco.json` with four images, of the numbers 1 to 4."""
    images, expected = [], []
    parts = [("train", "train2014", "train"), ("restval", "val2014", "train"), ("val", "val2014", "val")]
    parts.append(("test", "val2014", "test"))
    for number, (part, place, split) in enumerate(parts, 1):
        name = f"COCO_{place}_{number:012}"
        texts = [f"en {slot} of {number}" for slot in range(6 if part == "test" else 2)]
        sentences = [{"tokens": ["a"], "raw": f"{t} ", "imgid": number, "sentid": 7} for t in texts]
        image = {"filepath": place, "sentids": [7], "filename": f"{name}.jpg", "imgid": number, "split": part}
        images.append(image | {"sentences": sentences, "cocoid": number})
        expected += [(name, split, "en", "human", text) for text in texts]
    put(root, {"dataset_coco.json": json.dumps({"images": images, "dataset": "coco"})})
    return expected
