"""Identity of our own models, runs and exports: a hash over what decides their vectors. No third package.

An index is searched with the model that filled it, or one that gives the same vectors. Weights, vocabulary,
shape and vision tower decide; the card, the golden vectors, and how it was trained do not. Public models are
described by `dragoman.retrievers.loading`, which chooses between the two.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from dragoman.errors import DamagedError, UserError
from dragoman.folders import Format, read_sealed

RUN = Format(
    "dragoman-run",
    1,
    "dragoman train CORPUS --out {folder}",
    # A checkpoint has checksums of its own; the calibration comes later, and is sealed.
    apart=("checkpoints/*", "model/calibration.json"),
)
DECIDING = ("model_type", "dual", "text", "feature_width", "joint")
"""Keys of `config.json` that decide vectors."""
OF_IMAGES = ("feature_mean", "feature_scale", "image_", "hubness.")
"""Beginnings of the names of tensors that decide the vectors of images."""
ORIGIN = ("_name_or_path", "name_or_path", "transformers_version", "path", "layers", "embeddings")
"""Keys of a text encoder's assets that say where it came from and what of it was trained."""
CALIBRATION = "calibration.json"
"""File of what `dragoman calibrate` learns of a finished model, and writes into its folder."""
WEIGHTS = "model.safetensors"
BLOCK = 1 << 20


def own_fingerprint(folder: Path) -> str:
    """Hash a run folder or its `model/`: equal for folders whose models give equal vectors.

    Raises UserError where the folder holds no model of ours, or a damaged one.
    """
    folder = model_in(folder)
    return _fingerprint(folder, own_config(folder), "")


def own_image_fingerprint(folder: Path) -> str:
    """Hash the image side alone: an index of images stays valid while it stays.

    `dragoman train --init` adds languages without moving the image side.
    """
    folder = model_in(folder)
    return _fingerprint(folder, own_config(folder), OF_IMAGES)


def model_in(folder: Path) -> Path:
    """The model folder of a run; any other folder is one itself."""
    return folder / "model" if (folder / "model").is_dir() else folder


def languages_of(trained: Mapping[str, Any]) -> tuple[str, ...]:
    """Languages a model was trained on, by the `trained` of its `config.json`, those that its frozen sentence
    encoder knows (`reads`) among them; () where it is not known."""
    known = trained.get("languages")
    learned = [trained["source"], *trained["targets"], *trained.get("reads", ())]
    return tuple(dict.fromkeys(learned if known is None else known))


def own_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` of a run, its model folder, or an export. Raises UserError where there is none."""
    config = read_config(folder)
    if not isinstance(config.get("trained"), dict):
        raise UserError(
            f"{folder} holds another kind of model. Give the folder that dragoman train wrote, or an export."
        )
    return config


def read_config(folder: Path) -> dict[str, Any]:
    """`config.json` of a run or its model folder, of whatever kind. Raises UserError where there is none."""
    file = model_in(folder) / "config.json"
    if not file.is_file():
        raise UserError(
            f"{folder} holds no trained model (no config.json). "
            "Give the folder that dragoman train wrote: dragoman train CORPUS --out RUN"
        )
    return read_sealed(file, "Copy the whole folder again.")


def require_readable(folder: Path, config: Mapping[str, Any], kind: str, newest: int, fix: str) -> None:
    """Raise UserError for a `config.json` of another kind of model, or of a newer format; `fix` is for the
    former."""
    found, version = config.get("model_type"), config.get("format_version", 0)
    if not isinstance(version, int):
        raise DamagedError(
            f"{folder / 'config.json'} is damaged (format_version {version!r}). Copy the whole folder again."
        )
    if found != kind:
        raise UserError(f"{folder} holds a model of type {found!r}, expected {kind!r}. {fix}")
    if version > newest:
        raise UserError(
            f"{folder} has format version {version}, but this dragoman reads up to {newest}. Upgrade it: "
            "pip install --upgrade dragoman"
        )


def read_header(stored: BinaryIO) -> tuple[dict[str, Any], int]:
    """Read the header of a file of safetensors, and where its tensors begin; there the file stands then.

    The size of the header stands first, in 8 bytes, then the header in JSON: of each tensor its type, its
    shape, and where it lies behind the header. Raises ValueError where it is torn.
    """
    size = int.from_bytes(stored.read(8), "little")
    if size > os.fstat(stored.fileno()).st_size:
        raise ValueError(f"the header of {WEIGHTS} is torn")
    header: dict[str, Any] = json.loads(stored.read(size))
    return header, 8 + size


def _fingerprint(folder: Path, config: dict[str, Any], beginnings: str | tuple[str, ...]) -> str:
    digest = hashlib.sha256()
    try:
        assets = _assets(folder) if beginnings == "" else iter(())
        for part in (_settings(config, beginnings), *assets, *_tensors(folder, beginnings)):
            digest.update(hashlib.sha256(part).digest())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(
            f"{folder} is incomplete or damaged ({error!r}). Copy the whole folder again."
        ) from None
    return digest.hexdigest()


def _settings(config: dict[str, Any], beginnings: str | tuple[str, ...]) -> bytes:
    trained = config["trained"]
    vision = trained.get("vision")
    # Vectors that were given, not made by a tower, are known by the name of their feature set alone.
    eye = vision.get("fingerprint") if isinstance(vision, dict) else trained.get("features")
    kept = {name: config[name] for name in DECIDING}
    if beginnings:
        kept = {"feature_width": kept["feature_width"], "joint": kept["joint"]}
        kept |= {name: config["dual"].get(name) for name in ("image_head", "head_batch_norm")}
        more = ("hubness", "image_unit")
        kept |= {name: value for name, value in config["dual"].items() if name.startswith(more)}
    if "video" in config:
        kept["video"] = config["video"]
    if "slots" in config:
        # Who made the vectors of the sentences decides as much as the tower does.
        read = {name: trained["descriptions"][name] for name in ("fingerprint", "reading")}
        kept |= {"slots": config["slots"], "descriptions": read}
    return _canonical(kept | {"vision": eye})


def _assets(folder: Path) -> Iterator[bytes]:
    """Vocabulary or tokenizer, file by file."""
    # The two first kinds of encoders keep theirs where folders of before have them.
    first = (folder / "ngrams.json", *sorted((folder / "hf_text").glob("*")))
    for file in (*first, *sorted((folder / "text").rglob("*"))):
        if not file.is_file():
            continue
        content = file.read_bytes()
        if file.suffix == ".json":
            value = json.loads(content)
            if isinstance(value, dict):
                value = {name: kept for name, kept in value.items() if name not in ORIGIN}
            # Libraries order and indent the same settings differently from version to version.
            content = _canonical(value)
        yield file.name.encode() + b"\0" + content


def _tensors(folder: Path, beginnings: str | tuple[str, ...]) -> Iterator[bytes]:
    """Name, type, shape and hash of every tensor that begins so, by name; the file's metadata is no part."""
    with (folder / WEIGHTS).open("rb") as stored:
        header, first = read_header(stored)
        # By name, as their order differs from one writer to another.
        for name, tensor in sorted(header.items()):
            if name == "__metadata__" or not name.startswith(beginnings):
                continue
            start, end = tensor["data_offsets"]
            stored.seek(first + start)
            digest, left = hashlib.sha256(), end - start
            while left:
                block = stored.read(min(left, BLOCK))
                if not block:
                    raise ValueError(f"{WEIGHTS} is torn")
                digest.update(block)
                left -= len(block)
            yield _canonical([name, tensor["dtype"], tensor["shape"], digest.hexdigest()])


def _canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False).encode("utf-8", "surrogatepass")
