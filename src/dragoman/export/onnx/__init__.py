"""Export to ONNX: text side, vision tower and image head apart, and what it takes to run them without torch.

`text.onnx` is the whole text side, `image.onnx` the vision tower with its rule of which vector counts,
`head.onnx` takes a vision vector into the joint space. The weights of each lie beside it: `text.onnx.data`.
`dragoman.retrievers.onnx` reads the folder.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError, UserError

try:
    import torch  # noqa: F401
except ImportError:
    raise MissingExtraError("torch", "train", "Exporting a model") from None

from dragoman.export import ExportConfig, copy_beside
from dragoman.export.onnx import graphs
from dragoman.export.onnx.inputs import preprocessing_of, save_tokenizer
from dragoman.export.parity import Agreement, Precision, SampleVectors, agreements
from dragoman.export.samples import SampleInputs, samples
from dragoman.folders import write_json
from dragoman.models.identity import own_fingerprint, own_image_fingerprint
from dragoman.models.sentences import GOLDEN_TEXTS
from dragoman.models.text.huggingface import HuggingFaceText
from dragoman.models.text.small import SmallText
from dragoman.models.vision import VisionTower
from dragoman.retrievers.onnx import FORMAT_VERSION, MODEL_TYPE, OnnxGraph, OnnxRetriever, golden_pixels
from dragoman.retrievers.onnx_inputs import READERS, Preprocessing
from dragoman.retrievers.trained import Retriever

log = logging.getLogger(__name__)

MADE_UP = 256


@dataclass(frozen=True, kw_only=True)
class Config(ExportConfig):
    """Options of the ONNX export."""

    int8: bool = False
    """Weights of both towers as 8-bit integers; the image head stays as it is."""
    vision: str | None = None
    """Folder or hub id of the vision tower, where the run does not know it or it has moved."""


def write(model: Path, folder: Path, config: Config) -> list[Agreement]:
    """Fill `folder`; the agreement of the fp32 graphs with the model, and that of int8 where asked for."""
    retriever = Retriever.load(model, vision=config.vision)
    _refuse_padding(retriever)
    _refuse_frames(retriever)
    _refuse_slots(retriever)
    tower = retriever.tower() if _knows_tower(retriever, config.vision) else None
    preprocess = None if tower is None else preprocessing_of(tower)
    sample = samples(config.corpus, retriever.config, _made_up(retriever))
    expected = encode(retriever, sample, images=tower is not None)

    text = _write_text(retriever, folder)
    graphs.save_head(retriever.model, folder / "head.onnx")
    if tower is not None and preprocess is not None:
        graphs.save_tower(tower, preprocess.shape, folder / "image.onnx")
        write_json(folder / "preprocess.json", preprocess.as_json())
    described = _description(retriever, model, text, tower)
    rows = _checked(folder, described, "fp32", preprocess, sample, expected)
    if config.int8:
        for name in ("text.onnx", "image.onnx"):
            if (folder / name).exists():
                graphs.quantise(folder / name)
        rows += _checked(folder, described, "int8", preprocess, sample, expected)
    copy_beside(model, folder)
    return rows


def encode(retriever: Retriever | OnnxRetriever, sample: SampleInputs, *, images: bool) -> SampleVectors:
    """The samples by either kind of model."""
    return SampleVectors(
        texts={lang: retriever.encode_text(texts) for lang, texts in sample.texts.items()},
        features=retriever.encode_features(sample.features),
        images=retriever.encode_image(sample.images if images else []),
    )


def _checked(
    folder: Path,
    described: dict[str, Any],
    precision: Precision,
    preprocess: Preprocessing | None,
    sample: SampleInputs,
    expected: SampleVectors,
) -> list[Agreement]:
    """The agreement of what lies in `folder`, whose description is completed by golden vectors of its own."""
    write_json(folder / "config.json", described | {"precision": precision})
    write_json(folder / "golden.json", _golden(folder, described, preprocess))
    found = encode(OnnxRetriever.load(folder), sample, images=preprocess is not None)
    return agreements(expected, found, precision)


def _golden(folder: Path, described: dict[str, Any], preprocess: Preprocessing | None) -> dict[str, Any]:
    texts = list(GOLDEN_TEXTS)
    read = READERS[described["text"]](folder, described).prepare(texts)
    golden: dict[str, Any] = {
        "texts": texts,
        "text_vectors": OnnxGraph(folder / "text.onnx").run(read).tolist(),
    }
    if preprocess is not None:
        pixels = {"pixel_values": golden_pixels(preprocess.shape)[None]}
        golden["vision_vector"] = OnnxGraph(folder / "image.onnx").run(pixels).tolist()
    return golden


def _write_text(retriever: Retriever, folder: Path) -> dict[str, Any]:
    """The text graph and what its reader needs; what the description says of it."""
    model = retriever.model
    graphs.save_text(model, folder / "text.onnx")
    if isinstance(model.trunk, HuggingFaceText):
        return {"text": "huggingface", **save_tokenizer(model.trunk, folder)}
    assert isinstance(model.trunk, SmallText), "graphs.save_text refuses all others"
    model.trunk.spelling.save(folder)
    return {"text": "small"}


def _description(
    retriever: Retriever, model: Path, text: dict[str, Any], tower: VisionTower | None
) -> dict[str, Any]:
    return {
        "model_type": MODEL_TYPE,
        "format_version": FORMAT_VERSION,
        "fingerprint": own_fingerprint(model),
        "image_fingerprint": own_image_fingerprint(model),
        "joint": retriever.width,
        "feature_width": retriever.model.feature_width,
        **text,
        "vision": None if tower is None else {"fingerprint": tower.fingerprint},
        "trained": retriever.config,
    }


def _made_up(retriever: Retriever) -> NDArray[np.float32]:
    """[MADE_UP, D] vectors spread as those that the model was trained on."""
    mean, scale = (t.numpy() for t in (retriever.model.feature_mean, retriever.model.feature_scale))
    drawn = np.random.default_rng(0).normal(size=(MADE_UP, len(mean)))
    made_up: NDArray[np.float32] = (mean + drawn / scale).astype(np.float32)
    return made_up


def _knows_tower(retriever: Retriever, vision: str | None) -> bool:
    if vision is None and "path" not in retriever.vision:
        log.warning(
            "The run was trained on given vectors and knows no vision tower, so images cannot be encoded "
            "with this export. If a tower made them, name it: --vision FOLDER"
        )
        return False
    return True


def _refuse_padding(retriever: Retriever) -> None:
    if retriever.model.config.pool == "all":
        raise UserError(
            "This model averages over padding (pool=all, as the released NRCCR code does), so the vector of "
            "a text depends on its batch, and an export could not agree with it. Train with pool=masked: "
            "dragoman train CORPUS --set dual.pool=masked"
        )


def _refuse_slots(retriever: Retriever) -> None:
    if retriever.model.image_slots is not None:
        raise UserError(
            "This model reads descriptions beside images, for which there is no graph. Its text side can be "
            "exported: dragoman export RUN --to sentence-transformers --out FOLDER"
        )


def _refuse_frames(retriever: Retriever) -> None:
    if retriever.model.image_frames is not None:
        raise UserError(
            "This model reads the frames of videos, for which there is no graph. Its text side can be "
            "exported: dragoman export RUN --to sentence-transformers --out FOLDER"
        )
