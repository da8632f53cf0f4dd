"""Folders of sentence-transformers: a transformer, a pooling, linear layers. The package is not needed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.errors import UserError
from dragoman.models.hub import (
    files_hash,
    loading,
    pretrained,
    read_json,
    read_setting,
    require_safetensors,
    require_trained,
    tokenizer_in,
)
from dragoman.models.sentences import Reading, TextSide

if TYPE_CHECKING:
    from torch import Tensor

LAYOUT = "those of sentence-transformers (modules.json)"
MODULES = "modules.json"
POOLINGS = {
    **{"mean_tokens": "mean", "mean": "mean"},
    **{"cls_token": "first", "cls": "first"},
    **{"max_tokens": "max", "max": "max"},
}
"""Names of `Reading.pool` by those that older and newer versions of the package write."""
ACTIVATIONS = ("Identity", "Tanh")
"""By the last part of the class name that the package writes."""


def reads(folder: Path) -> bool:
    """Tell whether a folder names its modules."""
    return (folder / MODULES).is_file()


def width(folder: Path) -> int:
    """J: what the last module gives that changes the width."""
    found = 0
    for kind, place in _modules(folder):
        if kind == "Pooling":
            config = read_json(place / "config.json")
            # Renamed in sentence-transformers 5.4.
            found = int(config.get("word_embedding_dimension") or config.get("embedding_dimension") or 0)
        elif kind == "Dense":
            found = int(read_setting(place / "config.json", "out_features"))
    return found


def fingerprint(folder: Path) -> str:
    """Hash the folder and the folders of its modules."""
    return files_hash([folder, *(place for _, place in _modules(folder))])


def load(folder: Path, device: str) -> TextSide:
    """Load the text side. Raises UserError for modules, poolings and activations that are not known."""
    with loading(folder, "text tower"):
        return _load(folder, device)


def _load(folder: Path, device: str) -> TextSide:
    import transformers
    from torch import nn

    from dragoman.models.sentences.towers import TextTower, frozen, longest_text

    trunk: Any = None
    pool: str | None = None
    head: list[Callable[[Tensor], Tensor]] = []
    settings: dict[str, Any] = {}
    for kind, place in _modules(folder):
        if kind == "Transformer" and trunk is None:
            require_safetensors(place)
            trunk, missing = pretrained(transformers.AutoModel, place)
            require_trained(place, [name for name in missing if "pooler" not in name])
            tokenizer = tokenizer_in(place)
            said = place / "sentence_bert_config.json"
            settings = read_json(said) if said.is_file() else {}
        elif kind == "Pooling" and trunk is not None and pool is None:
            pool = _pooling(place)
        elif kind == "Dense" and pool is not None:
            head.append(_dense(place, device))
        elif kind == "Normalize" and pool is not None:
            head.append(nn.functional.normalize)
        elif kind != "Dropout":
            raise UserError(
                f"{folder / MODULES} has a {kind} module where only Transformer, Pooling, Dense and "
                "Normalize are known, in this order."
            )
    if trunk is None or pool is None:
        raise UserError(f"{folder / MODULES} names no Transformer with a Pooling, so it is no text tower.")
    return TextTower(
        width=width(folder),
        reading=Reading(
            pool=pool,
            longest=longest_text(trunk.config, settings.get("max_seq_length")),
            lowercase=bool(settings.get("do_lower_case")),
        ),
        tokenizer=tokenizer,
        trunk=frozen(trunk, device),
        head=head,
        device=device,
    )


def _modules(folder: Path) -> Iterator[tuple[str, Path]]:
    """Kind and folder of each module, in order."""
    file = folder / MODULES
    try:
        modules = json.loads(file.read_text(encoding="utf-8"))
        found = [(str(one["type"]).rpartition(".")[2], str(one["path"])) for one in modules]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is damaged ({error!r}). Download or save the model again.") from None
    for kind, path in found:
        place = folder / path
        # A model of others must not choose what else of this computer is read.
        if not place.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{file} names {path!r}, which lies outside of {folder}.")
        yield kind, place


def _pooling(place: Path) -> str:
    config = read_json(place / "config.json")
    modes = [name.removeprefix("pooling_mode_") for name, value in config.items() if value is True]
    modes = [mode for mode in modes if f"pooling_mode_{mode}" in config]
    # Newer versions write one name in the place of a switch for each.
    if isinstance(config.get("pooling_mode"), str):
        modes = [config["pooling_mode"]]
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise UserError(
            f"{place / 'config.json'} pools by {' and '.join(modes) or 'nothing'}; known: one of "
            f"{', '.join(POOLINGS)}."
        )
    return POOLINGS[modes[0]]


def _dense(place: Path, device: str) -> Callable[[Tensor], Tensor]:
    from safetensors.torch import load_file
    from torch import nn

    from dragoman.models.sentences.towers import frozen

    config = place / "config.json"
    name = str(read_setting(config, "activation_function")).rpartition(".")[2]
    if name not in ACTIVATIONS:
        raise UserError(f"{config} asks for the activation {name}; known: {', '.join(ACTIVATIONS)}.")
    states, joint = (int(read_setting(config, key)) for key in ("in_features", "out_features"))
    linear = nn.Linear(states, joint, bias=bool(read_json(config).get("bias", True)))
    require_safetensors(place)
    weights = load_file(place / "model.safetensors")
    linear.load_state_dict({key.removeprefix("linear."): value for key, value in weights.items()})
    both: Callable[[Tensor], Tensor] = frozen(
        nn.Sequential(linear, {"Identity": nn.Identity, "Tanh": nn.Tanh}[name]()), device
    )
    return both
