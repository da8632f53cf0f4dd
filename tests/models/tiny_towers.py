"""Tiny Hugging Face folders with random weights, and photos and corpora for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers
from PIL import Image

from dragoman.corpus.corpus import CAPTIONS, ITEMS
from dragoman.corpus.format import CORPUS

BODY = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
EYE = BODY | {"image_size": 32, "patch_size": 16}


def save_tower(folder: Path, kind: str, seed: int = 0) -> Path:
    """A CLIP, SigLIP, ViT, DINOv2 or MobileNetV2 folder; `vit_without_pooler` and `clip_vision` as well."""
    torch.manual_seed(seed)
    _models()[kind]().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(_preprocessing(kind)))
    return folder


def _models() -> dict[str, Any]:
    t = transformers
    text = BODY | {"vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    return {
        "clip": lambda: t.CLIPModel(t.CLIPConfig(text_config=text, vision_config=EYE, projection_dim=8)),
        "siglip": lambda: t.SiglipModel(t.SiglipConfig(text_config=text, vision_config=EYE)),
        "clip_vision": lambda: t.CLIPVisionModelWithProjection(t.CLIPVisionConfig(**EYE, projection_dim=8)),
        "vit": lambda: t.ViTModel(t.ViTConfig(**EYE)),
        "vit_without_pooler": lambda: t.ViTModel(t.ViTConfig(**EYE), add_pooling_layer=False),
        "dinov2": lambda: t.Dinov2Model(t.Dinov2Config(**EYE)),
        "mobilenet": lambda: t.MobileNetV2Model(t.MobileNetV2Config(image_size=32, depth_multiplier=0.25)),
    }


def _preprocessing(kind: str) -> dict[str, Any]:
    processor = {"clip": "CLIP", "clip_vision": "CLIP", "siglip": "Siglip", "mobilenet": "MobileNetV2"}
    return {
        "image_processor_type": processor.get(kind, "ViT") + "ImageProcessor",
        "do_resize": True,
        "size": {"height": 32, "width": 32},
        "do_center_crop": False,
        "do_rescale": True,
        "do_normalize": True,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.5, 0.6, 0.7],
    }


def picture(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    """RGB noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels)


def save_corpus(folder: Path, paths: dict[str, str | None]) -> Path:
    """A corpus of images without captions: item id to path."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"item_id": i, "kind": "image", "path": p, "split": "test"} for i, p in paths.items()]
    pq.write_table(pa.Table.from_pylist(rows, schema=ITEMS), folder / "items.parquet")
    pq.write_table(CAPTIONS.empty_table(), folder / "captions.parquet")
    CORPUS.write(folder, inputs={})
    return folder


def save_photo_corpus(folder: Path, count: int) -> Path:
    """A corpus of `count` pictures `0.png`, `1.png`, … inside the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture(number).save(folder / f"{number}.png")
    return save_corpus(folder, {f"item{number}": f"{number}.png" for number in range(count)})
