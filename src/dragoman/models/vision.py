"""Frozen vision towers: PIL images in, float32 vectors out.

N images, R regions, D width of the vectors. Which vector a tower gives:

1. dual towers (CLIP, SigLIP, …): the image embedding of the joint space, `get_image_features`, not
   normalised; vision halves saved with their projection give the same vector, `image_embeds`;
2. towers with a pooler in the checkpoint (DINOv2, ViT, MobileNet, …): `pooler_output`;
3. towers whose checkpoint lacks the pooler's weights (most ViT classifiers and MAE): the class token of
   `last_hidden_state`, or the mean over all positions where there is none. Random weights are never used.

With a grid G, a tower also gives the cells of its spatial map: R = 1 + G * G vectors, which a fusion encoder
attends to. The map is the last feature map of a convolutional tower, or the patch tokens of a transformer
without class and register tokens; W is its width, L are its tokens. Towers that project their vector into a
joint space (CLIP) project every patch in the same way, so that the vector and the cells of an image have one
width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError, UserError, reason
from dragoman.media.images import shortened
from dragoman.models.hub import (
    config_in,
    fingerprint,
    loading,
    model_folder,
    pretrained,
    read_json,
    require_trained,
)

try:
    import torch
    import torch.nn.functional as F
    from torch import Tensor
except ImportError:
    raise MissingExtraError("torch", "train", "Encoding images") from None

if TYPE_CHECKING:
    from PIL.Image import Image

RULE = "image_embedding|pooler_output|class_token|mean, pil, float32"
"""Part of the fingerprint: vectors made under another rule must not be mixed with these."""


class VisionTower:
    """A frozen Hugging Face vision tower in eval mode. Deterministic on CPU for equal batches."""

    def __init__(self, model: Any, processor: Any, fingerprint: str, device: str, grid: int = 0) -> None:
        self.fingerprint = fingerprint
        """sha256 over weights, model configuration and preprocessing."""
        self.grid = grid
        """Cells along a side of the map that is kept; 0 keeps none."""
        self.preprocessing: dict[str, Any] = processor.to_dict()
        size = self.preprocessing.get("size") or {}
        self._keeps_shape = bool(size.get("shortest_edge")) and not size.get("longest_edge")
        # Convolutions on a CPU run up to twice as fast on this layout; it leaves transformers as they are.
        model = model.to(device=device, memory_format=torch.channels_last)
        self.model = model.eval().requires_grad_(False)
        self._processor = processor
        self._device = device
        self.shape = self.embed([self.prepare(_grey())]).shape[1:]
        """Shape of what an image gives: (D,), or (R, D) with a grid."""
        self.width = int(self.shape[-1])
        """D."""

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu", grid: int = 0) -> VisionTower:
        """Load a tower from a local folder or hub id, safetensors only, no remote code.

        Raises UserError for a folder of another kind (text model, run, pickled weights, damaged), and for a
        tower whose map cannot be pooled to `grid` cells a side.
        """
        folder = model_folder(path)
        return cls(*_load(folder), tower_fingerprint(folder), checked_device(device), grid)

    def prepare(self, image: Image) -> dict[str, Tensor]:
        """The tower's own preprocessing of one RGB image, on the CPU; safe to call in several threads."""
        image = shortened(image) if self._keeps_shape else image
        return dict(self._processor(images=[image], return_tensors="pt"))

    def embed(self, prepared: Sequence[dict[str, Tensor]]) -> NDArray[np.float32]:
        """[N, D] of what `prepare` returned, in one forward pass; with a grid [N, R, D], the vector first."""
        try:
            inputs = {name: torch.cat([one[name] for one in prepared]) for name in prepared[0]}
        except RuntimeError:
            # A processor that keeps the aspect ratio gives images that do not stack.
            return np.concatenate([self.embed([one]) for one in prepared])
        with torch.inference_mode():
            vectors = self._vectors({name: value.to(self._device) for name, value in inputs.items()})
        return vectors.float().cpu().numpy()

    def encode(self, images: Sequence[Image], batch_size: int = 32) -> NDArray[np.float32]:
        """[N, D] or [N, R, D] of RGB images (see `open_image`), `batch_size` of them per forward pass."""
        vectors = [np.empty((0, *self.shape), np.float32)]
        for start in range(0, len(images), batch_size):
            vectors.append(self.embed([self.prepare(image) for image in images[start : start + batch_size]]))
        return np.concatenate(vectors)

    def _vectors(self, inputs: dict[str, Tensor]) -> Tensor:
        output = run_tower(self.model, inputs)
        vectors_ND = image_vectors(self.model, output)
        return with_regions(self.model, inputs, output, vectors_ND, self.grid) if self.grid else vectors_ND


def run_tower(model: Any, inputs: dict[str, Tensor]) -> Any:
    """Run a tower on prepared images; its output, before the rule that picks a vector."""
    # Models of transformers declare no capabilities: what one can do is told by the methods it has.
    return model.get_image_features(**inputs) if hasattr(model, "get_image_features") else model(**inputs)


def image_vectors(model: Any, output: Any) -> Tensor:
    """[N, D] of the output of a tower, by the rule above."""
    if isinstance(output, Tensor):  # the embedding of a dual tower in transformers 4
        return output
    for name in ("image_embeds", "pooler_output"):
        found: Tensor | None = getattr(output, name, None)
        if found is not None:
            return found.flatten(1)
    return _pooled(output.last_hidden_state, class_token=has_class_token(model))


def with_regions(model: Any, inputs: dict[str, Tensor], output: Any, vectors_ND: Tensor, grid: int) -> Tensor:
    """[N, 1 + G * G, D]: the vector, then the cells from top left to bottom right, row by row.

    `output` is what the tower gave for `inputs`. Raises UserError where it keeps no map, or one smaller than
    the grid.
    """
    map_NWHV = _spatial_map(model, inputs, output)
    rows, columns = map_NWHV.shape[2:]
    if min(rows, columns) < grid:
        raise UserError(
            f"The map of this tower has {rows} x {columns} positions, fewer than a grid of {grid} x {grid} "
            f"cells. Give --grid {min(rows, columns)} or less, or another tower."
        )
    cells_NGD = _project(model, F.adaptive_avg_pool2d(map_NWHV, grid).flatten(2).transpose(1, 2))
    if cells_NGD.shape[-1] != vectors_ND.shape[-1]:
        raise UserError(
            f"The map of this tower is {cells_NGD.shape[-1]} wide and its vector {vectors_ND.shape[-1]}, and "
            "no projection from one to the other is known. Choose another tower for --grid."
        )
    return torch.cat([vectors_ND.unsqueeze(1), cells_NGD], dim=1)


def _spatial_map(model: Any, inputs: dict[str, Tensor], output: Any) -> Tensor:
    """[N, W, rows, columns]."""
    # transformers 4 gives a bare embedding for dual towers.
    found = model.vision_model(**inputs) if isinstance(output, Tensor) else output
    state: Tensor = found.last_hidden_state
    if state.ndim == 4:
        return state
    state = _normed(model, state)
    rows, columns = _patches(model, inputs["pixel_values"], state.shape[1])
    # Counted from the end: class and register tokens, of which some towers have several, stand first.
    patches_NLW = state[:, state.shape[1] - rows * columns :]
    return torch.unflatten(patches_NLW.transpose(1, 2), 2, (rows, columns))


def _patches(model: Any, pixels: Tensor, tokens: int) -> tuple[int, int]:
    """Rows and columns of patches; class and register tokens stand before them."""
    config = getattr(model.config, "vision_config", model.config)
    size = getattr(config, "patch_size", None)
    if pixels.ndim == 4 and isinstance(size, int):
        rows, columns = pixels.shape[2] // size, pixels.shape[3] // size
        if rows * columns <= tokens:
            return rows, columns
    # Towers that merge patches on the way (Swin) have fewer tokens than patches, and none before them.
    side = math.isqrt(tokens)
    if pixels.ndim == 4 and side * side == tokens:
        return side, side
    raise UserError(
        f"This tower ({config.model_type}) gives {tokens} tokens for an input of shape "
        f"{tuple(pixels.shape[1:])}, which are no grid of patches. Choose another tower for --grid."
    )


def _normed(model: Any, state: Tensor) -> Tensor:
    # CLIP normalises its class token alone, after the state that it hands out.
    norm = getattr(getattr(model, "vision_model", None), "post_layernorm", None)
    normed: Tensor = norm(state) if norm is not None and hasattr(model, "visual_projection") else state
    return normed


def _project(model: Any, cells: Tensor) -> Tensor:
    projection = getattr(model, "visual_projection", None)
    projected: Tensor = cells if projection is None else projection(cells)
    return projected


def tower_fingerprint(folder: Path) -> str:
    """The fingerprint of a tower without loading it: sha256 over weights, configuration, preprocessing."""
    return fingerprint(folder, preprocessing(folder), {"rule": RULE})


def checked_device(device: str) -> str:
    """`device`, with "auto" resolved to cuda where there is one. Raises UserError where it is absent."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"No device {device!r} here ({reason(error)}). Use --device cpu, or auto.") from None
    return device


def _load(folder: Path) -> tuple[Any, Any]:
    preprocessing(folder)
    with loading(folder, "vision tower"):
        config = config_in(folder)
        model_class = _model_class(config)
        if not _reads_images(model_class):
            raise UserError(
                f"{folder} holds a {config.model_type} model, which reads no images. "
                "Give a vision tower: CLIP, SigLIP, DINOv2, ViT, MobileNet, …"
            )
        return _load_model(folder, model_class), _load_processor(folder)


def _model_class(config: Any) -> Any:
    import transformers

    named = (config.architectures or [""])[0]
    if named.endswith("VisionModelWithProjection"):
        # AutoModel would drop the projection and give a vector outside the joint space.
        return getattr(transformers, named)
    return transformers.AutoModel._model_mapping[type(config)]


def _reads_images(model_class: Any) -> bool:
    return hasattr(model_class, "get_image_features") or model_class.main_input_name == "pixel_values"


def _load_model(folder: Path, model_class: Any) -> Any:
    model, missing = pretrained(model_class, folder)
    untrained = [name for name in missing if "pooler" not in name]
    require_trained(folder, untrained)
    if missing:
        # A pooler with random weights would give a vector, and nobody would see what it is worth.
        model.pooler = None
    # The text half of a dual tower is never called here, and often the larger part of the memory.
    if hasattr(model, "get_image_features") and hasattr(model, "text_model"):
        del model.text_model
    return model


def _load_processor(folder: Path) -> Any:
    import transformers

    # Without torchvision there is only the Pillow back end; asking for it keeps the library from warning.
    major = int(transformers.__version__.split(".")[0])
    backend = {"backend": "pil"} if major >= 5 else {"use_fast": False}
    return transformers.AutoImageProcessor.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False, **backend
    )


def _pooled(state: Tensor, class_token: bool) -> Tensor:
    if state.ndim == 4:
        return state.mean((2, 3))
    return state[:, 0] if class_token else state.mean(1)


def has_class_token(model: Any) -> bool:
    """Tell whether a token that stands for the whole image is before its patches."""
    return any(name.endswith(("cls_token", "class_embedding")) for name, _ in model.named_parameters())


def preprocessing(folder: Path) -> dict[str, Any]:
    """Read what the image processor is told; processor_config.json has it in folders saved by a processor."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (folder / name).is_file():
            found = read_json(folder / name)
            if name == "preprocessor_config.json":
                return found
            if isinstance(found.get("image_processor"), dict):
                return dict(found["image_processor"])
    raise UserError(
        f"{folder} has no preprocessor_config.json, so it reads no images (text models have none). "
        "Give a vision tower: CLIP, SigLIP, DINOv2, ViT, MobileNet, …"
    )


def _grey() -> Image:
    from PIL import Image

    return Image.new("RGB", (64, 64), "grey")
