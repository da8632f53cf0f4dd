"""Export of the text side for the package sentence-transformers.

The folder is the model folder with the two files that the package looks for. They name a module of Dragoman,
which must be installed where the folder is loaded: no module of the package's own has our attention layer.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dragoman.errors import MissingExtraError

try:
    import torch
except ImportError:
    raise MissingExtraError("torch", "train", "Exporting a model") from None

from dragoman.export._text_module import DragomanText
from dragoman.export.onnx.parity import Agreement, Encoded, agreements, require
from dragoman.export.onnx.samples import samples
from dragoman.folders import versions, write_json
from dragoman.retrievers.trained import Retriever


@dataclass(frozen=True, kw_only=True)
class Config:
    """Options of the export to sentence-transformers."""

    corpus: str | None = None
    """Corpus of which captions are compared."""


def write(model: Path, folder: Path, config: Config) -> list[Agreement]:
    """Fill `folder`; the agreement of what is loaded from it with the model."""
    retriever = Retriever.load(model)
    shutil.copytree(model, folder, dirs_exist_ok=True)
    kind = f"{DragomanText.__module__}.{DragomanText.__name__}"
    write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": kind}])
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "model_type": "SentenceTransformer",
            "__version__": versions(("dragoman", "torch", "transformers")),
            "prompts": {},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    )
    gallery = retriever.encode_features(np.eye(retriever.model.feature_width, dtype=np.float32))
    texts = samples(config.corpus, retriever.config, gallery).texts
    none = np.empty((0, retriever.width), np.float32)
    expected = {lang: retriever.encode_text(some) for lang, some in texts.items()}
    loaded = DragomanText.load(str(folder)).eval()
    with torch.inference_mode():
        found = {
            lang: loaded(loaded.preprocess(some))["sentence_embedding"].numpy()
            for lang, some in texts.items()
        }
    rows = agreements(
        Encoded(texts=expected, features=gallery, images=none),
        Encoded(texts=found, features=gallery, images=none),
        "fp32",
    )
    rows = [row for row in rows if row.what.startswith("texts")]
    require(rows)
    return rows
