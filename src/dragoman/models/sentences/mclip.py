"""M-CLIP: the mean of a transformer's states through a linear layer, into the space of a published CLIP.

A folder holds the weights of both, and names the transformer instead of describing it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dragoman.errors import UserError, reason
from dragoman.models.hub import (
    files_hash,
    loading,
    read_json,
    read_setting,
    require_safetensors,
    require_trained,
    tokenizer_in,
)
from dragoman.models.sentences import Reading, TextSide

if TYPE_CHECKING:
    from torch import Tensor

LAYOUT = "M-CLIP's folders (model_type M-CLIP)"
MODEL_TYPE = "M-CLIP"


def reads(folder: Path) -> bool:
    """Tell whether `config.json` says so; modules of sentence-transformers say more, and count more."""
    file = folder / "config.json"
    if not file.is_file() or (folder / "modules.json").is_file():
        return False
    return read_json(file).get("model_type") == MODEL_TYPE


def width(folder: Path) -> int:
    """J."""
    return int(read_setting(folder / "config.json", "numDims"))


def fingerprint(folder: Path) -> str:
    """Hash the folder, and the configuration of the transformer that it was made of."""
    base = _base_config(folder).to_dict()
    kept = {key: base[key] for key in base if key not in ("_name_or_path", "transformers_version")}
    return files_hash([folder], json.dumps(kept, sort_keys=True, default=str).encode())


def load(folder: Path, device: str) -> TextSide:
    """Load the text side. Raises UserError where weights and transformer do not belong together."""
    with loading(folder, "text tower"):
        return _load(folder, device)


def _load(folder: Path, device: str) -> TextSide:
    import transformers
    from safetensors.torch import load_file
    from torch import nn

    from dragoman.models.sentences.towers import TextTower, frozen, longest_text

    require_safetensors(folder)
    base = _base_config(folder)
    trunk = transformers.AutoModel.from_config(base, trust_remote_code=False).float()
    linear = nn.Linear(int(read_setting(folder / "config.json", "transformerDimensions")), width(folder))
    both = nn.ModuleDict({"transformer": trunk, "LinearTransformation": linear})
    weights: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        weights |= load_file(file)
    missing, unknown = both.load_state_dict(weights, strict=False)
    # The pooler is never called, and some of the published files leave it out.
    require_trained(folder, sorted(name for name in missing if "pooler" not in name))
    # Older versions of transformers stored the numbers of the positions.
    strange = sorted(name for name in unknown if "pooler" not in name and "position_ids" not in name)
    if strange:
        raise UserError(
            f"{folder} holds weights that {read_setting(folder / 'config.json', 'modelBase')} has no place "
            f"for, such as {strange[0]}: the config.json of its base is of another model."
        )
    return TextTower(
        width=width(folder),
        reading=Reading(pool="mean", longest=longest_text(base, None)),
        tokenizer=tokenizer_in(folder),
        trunk=frozen(trunk, device),
        head=[frozen(linear, device)],
        device=device,
    )


def _base_config(folder: Path) -> Any:
    """The configuration of the transformer that M-CLIP was made of, which its folder does not hold."""
    import transformers

    name = str(read_setting(folder / "config.json", "modelBase"))
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
