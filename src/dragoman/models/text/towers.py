"""Published text towers that stand without their image side: M-CLIP, and folders of sentence-transformers.

Both put a mean (or another pooling) of a transformer's states through linear layers, into the space of an
image tower that was published elsewhere. Neither package is needed. N texts, L tokens, H width of the
states, J joint width.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dragoman.errors import UserError, reason
from dragoman.models.hub import (
    loading,
    longest_input,
    pretrained,
    read_json,
    require_safetensors,
    require_trained,
)

MCLIP = "M-CLIP"
MODULES = "modules.json"
DECIDING = ("*.json", "*.safetensors", "*.txt", "*.model")
"""Files of a text tower that may decide its vectors, in its folder and the folders of its modules."""
NOT_DECIDING = ("config_sentence_transformers.json", "model.safetensors.index.json")
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"Identity": lambda x: x, "Tanh": torch.tanh}
"""By the last part of the class name that sentence-transformers writes."""


@dataclass(frozen=True, eq=False)
class TextTower:
    """Texts in, vectors of the joint space out, of whatever length."""

    tokenizer: Any
    trunk: nn.Module
    pool: Callable[[Tensor, Tensor], Tensor]
    """States [N, L, H] and mask [N, L] to [N, H]."""
    head: Sequence[Callable[[Tensor], Tensor]]
    longest: int
    lowercase: bool
    device: str

    @torch.inference_mode()
    def encode(self, texts: list[str]) -> NDArray[np.float32]:
        """[N, J]"""
        given = [text.lower() for text in texts] if self.lowercase else texts
        inputs = self.tokenizer(
            given, padding=True, truncation=True, max_length=self.longest, return_tensors="pt"
        ).to(self.device)
        vectors = self.pool(self.trunk(**inputs).last_hidden_state, inputs["attention_mask"])
        for layer in self.head:
            vectors = layer(vectors)
        found: NDArray[np.float32] = vectors.float().cpu().numpy()
        return found


def is_text_tower(folder: Path) -> bool:
    """Tell whether a folder is laid out as one of those."""
    if (folder / MODULES).is_file():
        return True
    file = folder / "config.json"
    return file.is_file() and read_json(file).get("model_type") == MCLIP


def text_width(folder: Path) -> int:
    """J, as the configuration says, without loading any weights."""
    if not (folder / MODULES).is_file():
        return int(_setting(folder / "config.json", "numDims"))
    width = 0
    for kind, place in _modules(folder):
        if kind == "Pooling":
            config = read_json(place / "config.json")
            # Renamed in sentence-transformers 5.4.
            width = int(config.get("word_embedding_dimension") or config.get("embedding_dimension") or 0)
        elif kind == "Dense":
            width = int(_setting(place / "config.json", "out_features"))
    return width


def text_fingerprint(folder: Path) -> str:
    """sha256 over every file that may decide the vectors."""
    places = [place for _, place in _modules(folder)] if (folder / MODULES).is_file() else []
    files = {file for place in (folder, *places) for name in DECIDING for file in place.glob(name)}
    digest = hashlib.sha256()
    for file in sorted(file for file in files if file.name not in NOT_DECIDING):
        with file.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    if not places:
        base = _base_config(folder).to_dict()
        kept = {key: base[key] for key in base if key not in ("_name_or_path", "transformers_version")}
        digest.update(json.dumps(kept, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def load_text_tower(folder: Path, device: str) -> TextTower:
    """Load a text tower, safetensors only, no remote code. Raises UserError for what is not known."""
    with loading(folder, "text tower"):
        return (
            _sentence_transformers(folder, device) if (folder / MODULES).is_file() else _mclip(folder, device)
        )


def _mclip(folder: Path, device: str) -> TextTower:
    import transformers
    from safetensors.torch import load_file

    require_safetensors(folder)
    base = _base_config(folder)
    trunk = transformers.AutoModel.from_config(base, trust_remote_code=False).float()
    joint, states = text_width(folder), int(_setting(folder / "config.json", "transformerDimensions"))
    linear = nn.Linear(states, joint)
    both = nn.ModuleDict({"transformer": trunk, "LinearTransformation": linear})
    weights: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        weights |= load_file(file)
    missing, unknown = both.load_state_dict(weights, strict=False)
    require_trained(folder, sorted(name for name in missing if "pooler" not in name))
    # Older versions of transformers stored the numbers of the positions.
    strange = sorted(name for name in unknown if "pooler" not in name and "position_ids" not in name)
    if strange:
        raise UserError(
            f"{folder} holds weights that {_setting(folder / 'config.json', 'modelBase')} has no place for, "
            f"such as {strange[0]}: the config.json of its base is of another model."
        )
    return TextTower(
        tokenizer=_tokenizer(folder),
        trunk=_still(trunk, device),
        pool=_mean,
        head=[_still(linear, device)],
        longest=_longest(base, None),
        lowercase=False,
        device=device,
    )


def _sentence_transformers(folder: Path, device: str) -> TextTower:
    import transformers

    trunk: Any = None
    pool: Callable[[Tensor, Tensor], Tensor] | None = None
    head: list[Callable[[Tensor], Tensor]] = []
    settings: dict[str, Any] = {}
    for kind, place in _modules(folder):
        if kind == "Transformer" and trunk is None:
            require_safetensors(place)
            trunk, missing = pretrained(transformers.AutoModel, place)
            require_trained(place, [name for name in missing if "pooler" not in name])
            tokenizer = _tokenizer(place)
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
        tokenizer=tokenizer,
        trunk=_still(trunk, device),
        pool=pool,
        head=head,
        longest=_longest(trunk.config, settings.get("max_seq_length")),
        lowercase=bool(settings.get("do_lower_case")),
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
        if not place.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{file} names {path!r}, which lies outside of {folder}.")
        yield kind, place


def _pooling(place: Path) -> Callable[[Tensor, Tensor], Tensor]:
    config = read_json(place / "config.json")
    modes = [name.removeprefix("pooling_mode_") for name, value in config.items() if value is True]
    modes = [mode for mode in modes if f"pooling_mode_{mode}" in config]
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

    config = place / "config.json"
    name = str(_setting(config, "activation_function")).rpartition(".")[2]
    if name not in ACTIVATIONS:
        raise UserError(f"{config} asks for the activation {name}; known: {', '.join(ACTIVATIONS)}.")
    states, joint = (int(_setting(config, key)) for key in ("in_features", "out_features"))
    linear = nn.Linear(states, joint, bias=bool(read_json(config).get("bias", True)))
    require_safetensors(place)
    weights = load_file(place / "model.safetensors")
    linear.load_state_dict({key.removeprefix("linear."): value for key, value in weights.items()})
    still, activation = _still(linear, device), ACTIVATIONS[name]
    return lambda vectors: activation(still(vectors))


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    kept = mask.unsqueeze(2).to(states.dtype)
    return (states * kept).sum(1) / kept.sum(1).clamp(min=1e-9)


def _first(states: Tensor, mask: Tensor) -> Tensor:
    return states[torch.arange(len(states), device=mask.device), mask.argmax(1)]


def _largest(states: Tensor, mask: Tensor) -> Tensor:
    return states.masked_fill(mask.unsqueeze(2) == 0, -torch.inf).amax(1)


POOLINGS = {"mean_tokens": _mean, "mean": _mean, "cls_token": _first, "cls": _first}
POOLINGS |= {"max_tokens": _largest, "max": _largest}


def _base_config(folder: Path) -> Any:
    """The configuration of the transformer that M-CLIP was made of, which its folder does not hold."""
    import transformers

    name = str(_setting(folder / "config.json", "modelBase"))
    beside = folder.parent / Path(name).name
    try:
        place = beside if (beside / "config.json").is_file() else name
        return transformers.AutoConfig.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder} is made of {name}, whose config.json is neither in {beside} nor to be had "
            f"({reason(error)}) Fetch it, without weights: "
            f"hf download {name} config.json --local-dir {beside}"
        ) from None


def _tokenizer(folder: Path) -> Any:
    import transformers

    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)


def _longest(config: Any, said: object) -> int:
    """Count the tokens of a text at most; `said` is what sentence-transformers was told."""
    places = longest_input(config, otherwise=512)
    return min(places, said) if isinstance(said, int) else places


def _still(module: Any, device: str) -> Any:
    return module.to(device).eval().requires_grad_(False)


def _setting(file: Path, name: str) -> Any:
    found = read_json(file).get(name) if file.is_file() else None
    if found is None:
        raise UserError(f"{file} does not say {name!r}. Download the model again.")
    return found
