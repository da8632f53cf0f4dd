"""Find a Hugging Face model folder, on disk first, and refuse what cannot be loaded safely."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dragoman.errors import MissingExtraError, UserError, reason
from dragoman.folders import MANIFEST

PAIR = "dragoman-pair"
"""`model_type` of a folder that names the two folders of a public model: `text` and `vision`."""
# Small files and safetensors of the repository's top level: no pickles, no code, no ONNX copies.
SPACES = "▁Ġ "
"""Marks of a space in the pieces of tokenizers."""
WANTED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
DECIDING = ("*.json", "*.safetensors", "*.txt", "*.model")
"""Files of a sentence encoder that may decide its vectors, in its folder and the folders of its modules."""
NOT_DECIDING = ("config_sentence_transformers.json", "model.safetensors.index.json")


def model_folder(path_or_id: str | Path) -> Path:
    """A local folder with `config.json` and safetensors weights.

    A folder on disk wins; any other name is taken for a hub id and downloaded into the Hugging Face cache
    (or only looked up there where HF_HUB_OFFLINE=1). Of a pair it is the vision folder. Raises
    UserError that says what is wrong with it.
    """
    folder = Path(path_or_id)
    if not folder.exists():
        folder = _download(str(path_or_id))
    if is_pair(folder):
        return model_folder(pair_part(folder, "vision"))
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; the folder of a Hugging Face model was expected.")
    _refuse_own_folder(folder)
    if not (folder / "config.json").is_file():
        raise UserError(
            f"{folder} has no config.json, so it is no Hugging Face model folder. "
            "Give a folder written by save_pretrained(), or a hub id such as openai/clip-vit-base-patch32."
        )
    require_safetensors(folder)
    return folder


def is_pair(folder: Path) -> bool:
    """Tell whether a folder names the two folders of a public model."""
    file = folder / "config.json"
    # A damaged file is refused where it is read as something else.
    said = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    return PAIR in said and read_json(file).get("model_type") == PAIR


def pair_part(folder: Path, name: str) -> Path:
    """The `text` or the `vision` folder that a pair names."""
    said = read_json(folder / "config.json").get(name)
    if not isinstance(said, str) or not (folder / said).is_dir() or is_pair(folder / said):
        raise UserError(
            f"{folder / 'config.json'} says {name!r}: {said!r}, but the folder of a model was expected, "
            f"absolute or seen from {folder}."
        )
    return (folder / said).resolve()


def require_safetensors(folder: Path) -> None:
    """Raise UserError where a folder has no weights, or pickled ones only."""
    if not any(folder.glob("*.safetensors")):
        pickled = [file.name for file in sorted(folder.glob("*.bin"))]
        found = f"only pickled weights ({', '.join(pickled)})" if pickled else "no weights"
        raise UserError(
            f"{folder} holds {found}, but *.safetensors were expected: nothing is unpickled here, because a "
            "pickle can run any code. Load the model where you trust it and write it again with "
            "model.save_pretrained(folder, safe_serialization=True)."
        )


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object. Raises UserError that names the file where it is damaged."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is damaged ({error}). Download or save the model again.") from None
    if not isinstance(value, dict):
        raise UserError(f"{file} holds a {type(value).__name__}, but a JSON object was expected.")
    return value


def fingerprint(folder: Path, *settings: dict[str, Any]) -> str:
    """sha256 over the safetensors weights, the model configuration, and further `settings`."""
    config = read_json(folder / "config.json")
    # Where a model came from and which library saved it do not change its vectors.
    kept = {k: v for k, v in config.items() if k not in ("_name_or_path", "transformers_version")}
    digest = hashlib.sha256(json.dumps([kept, *settings], sort_keys=True).encode())
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as weights:
            digest.update(hashlib.file_digest(weights, "sha256").digest())
    return digest.hexdigest()


def read_setting(file: Path, name: str) -> Any:
    """Read a key of a JSON object. Raises UserError where the file or the key is not there."""
    found = read_json(file).get(name) if file.is_file() else None
    if found is None:
        raise UserError(f"{file} does not say {name!r}. Download the model again.")
    return found


def files_hash(folders: Iterable[Path], *more: bytes) -> str:
    """sha256 over every file of the folders that may decide a vector, and over `more`."""
    files = {file for folder in folders for name in DECIDING for file in folder.glob(name)}
    digest = hashlib.sha256()
    for file in sorted(file for file in files if file.name not in NOT_DECIDING):
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    for part in more:
        digest.update(part)
    return digest.hexdigest()


@contextmanager
def loading(folder: Path, what: str) -> Iterator[None]:
    """Load a model quietly; whatever the libraries raise about the folder becomes one UserError."""
    try:
        from safetensors import SafetensorError
        from transformers.utils import logging
    except ImportError as error:
        raise MissingExtraError(error.name or "transformers", "train", f"Loading a {what}") from None
    # Both are global to the process, so they are put back as they were.
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except UserError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise UserError(
            f"{folder} cannot be loaded as a {what}: {reason(error)} "
            "Check that the folder is complete, or download it again."
        ) from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def pretrained(model_class: Any, folder: Path) -> tuple[Any, list[str]]:
    """Load a model of transformers in fp32; return it with the sorted names of parameters that it lacks.

    Only safetensors are read, only from the folder, and no code of it is run.
    """
    import torch

    model, info = model_class.from_pretrained(
        folder,
        # Many are published in half precision, which CPUs compute slowly or not at all.
        dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    return model, sorted(info["missing_keys"])


def config_in(folder: Path) -> Any:
    """Load the configuration of a model of transformers; no code of the folder is run."""
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def tokenizer_in(folder: Path) -> Any:
    """Load the tokenizer of a model of transformers; no code of the folder is run."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def require_trained(folder: Path, missing: Sequence[str]) -> None:
    """Raise UserError where the weights of a folder lack parameters of its model."""
    if missing:
        raise UserError(
            f"The weights of {folder} lack {len(missing)} of its parameters, such as {missing[0]}; "
            "with random ones in their place the vectors would mean nothing. Download the model again."
        )


def longest_input(config: Any, *, otherwise: int) -> int:
    """Count the tokens a text encoder has positions for; `otherwise` where its configuration names none."""
    # Encoders whose positions are relative, such as T5's, have no such key.
    places = getattr(config, "max_position_embeddings", None)
    if places is None:
        return otherwise
    # RoBERTa's family, AltCLIP's text half among it, counts positions from behind its padding index.
    offset = any(family in str(config.model_type) for family in ("roberta", "altclip"))
    pad = getattr(config, "pad_token_id", None)
    return int(places) - ((1 if pad is None else int(pad)) + 1 if offset else 0)


def _refuse_own_folder(folder: Path) -> None:
    # The parent as well: RUN/model looks like a folder of transformers.
    for place in (folder, folder.parent):
        if not (place / MANIFEST).is_file():
            continue
        # Only named, not read: whatever format of ours it is, no hub model lies there.
        kind = str(read_json(place / MANIFEST).get("format", ""))
        if kind.startswith("dragoman-") and (place == folder or kind == "dragoman-run"):
            raise UserError(
                f"{folder} belongs to a folder of Dragoman ({kind}), but the folder of a Hugging Face model "
                "was expected, such as the one that the run's features were made with."
            )


def _download(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        raise MissingExtraError("huggingface_hub", "train", f"Loading the model {name!r}") from None
    try:
        return Path(snapshot_download(name, allow_patterns=WANTED, ignore_patterns=["*/*"]))
    except HFValidationError:
        said = "no such folder exists, and it is no hub id (owner/name)"
    except Exception as error:
        # The hub client raises errors of requests, httpx and its own, changing between its versions.
        said = reason(error)
    raise UserError(
        f"No model {name!r}: {said}. Give a local folder, or download it where there is a network: "
        f"hf download {name}"
    )


def pieces(tokenizer: Any, texts: Sequence[str]) -> list[list[str]]:
    """Cut texts, which a tokenizer of transformers gets as they are, into its pieces, "" for unknown ones."""
    rows = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    unknown = tokenizer.unk_token_id
    cut = [
        ["" if one == unknown else token for one, token in zip(row, tokens, strict=True)]
        for row in rows
        for tokens in [tokenizer.convert_ids_to_tokens(row)]
    ]
    # The mark of a space alone stands before what is not known.
    return [[piece for piece in found if not piece or piece.strip(SPACES)] for found in cut]


def reads(tokenizer: Any, texts: Sequence[str]) -> list[bool]:
    """Tell of each text whether a tokenizer of transformers, which gets it as it is, knows anything of it."""
    special = set(tokenizer.all_special_ids)
    rows = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    known = [[one for one in row if one not in special] for row in rows]
    # The mark of a space alone stands before what is not known.
    return [any(token.strip(SPACES) for token in tokenizer.convert_ids_to_tokens(row)) for row in known]
