"""Export of the text side for the package sentence-transformers, and the module that the folder names.

The folder is the model folder with the two files that the package looks for. They name `DragomanText`, so
Dragoman must be installed where the folder is loaded: no module of the package's own has our attention layer.
The name of this module stands in folders for ever; do not move it. The package is not imported here.

T texts, L tokens, J joint width.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dragoman.errors import MissingExtraError, UserError

try:
    import torch
except ImportError:
    raise MissingExtraError("torch", "train", "Exporting a model") from None

from torch import Tensor, nn

from dragoman.export import ExportConfig
from dragoman.export.parity import Agreement, SampleVectors, agreements
from dragoman.export.samples import samples
from dragoman.folders import MANIFEST, require_sound, versions, write_json
from dragoman.models.dual import DualEncoder
from dragoman.models.folder import load_model, save_model
from dragoman.retrievers.trained import Retriever


@dataclass(frozen=True, kw_only=True)
class Config(ExportConfig):
    """Options of the export to sentence-transformers."""


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
        SampleVectors(texts=expected, features=gallery, images=none),
        SampleVectors(texts=found, features=gallery, images=none),
        "fp32",
    )
    return [row for row in rows if row.what.startswith("texts")]


INPUTS = ("input_ids", "words", "mask", "pieces", "sizes", "vectors", "sentence", "known", "sure")


class DragomanText(nn.Module):
    """Texts in, `sentence_embedding` [T, J] of unit length out.

    sentence-transformers finds it by its name in `modules.json`, calls `load`, then for each batch
    `preprocess` (`tokenize` before its version 5.4) and `forward`.
    """

    save_in_root = True
    modalities = ("text",)
    forward_kwargs: frozenset[str] = frozenset()

    def __init__(self, model: DualEncoder, details: dict[str, Any]) -> None:
        super().__init__()
        self.model = model
        self._details = details

    @classmethod
    def load(cls, model_name_or_path: str, subfolder: str = "", **settings: Any) -> DragomanText:
        """Load a folder on disk; what else the library says (revision, token, …) has no meaning for it."""
        folder = Path(model_name_or_path) / subfolder
        if not folder.is_dir():
            raise UserError(
                f"{folder} is no folder on this computer. Download the model first: "
                f"hf download {model_name_or_path} --local-dir FOLDER"
            )
        # The package reads its own files before: prompts and the similarity decide answers as well.
        require_sound(folder, "Copy the whole folder again, or export the model again: dragoman export RUN")
        return cls(*load_model(folder))

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the text encoder, of whatever class."""
        return self.model.trunk.tokenizer

    @property
    def max_seq_length(self) -> int:
        """Tokens of a text at most; longer ones are cut."""
        return self.model.trunk.max_tokens

    def get_embedding_dimension(self) -> int:
        """J."""
        return self.model.joint

    get_sentence_embedding_dimension = get_embedding_dimension

    def preprocess(
        self, inputs: Sequence[str], prompt: str | None = None, **settings: Any
    ) -> dict[str, Tensor]:
        """Make the input of `forward`, of texts that `prompt` is put before."""
        features = self.model.prepare([(prompt or "") + text for text in inputs])
        return features | {"attention_mask": features["mask"]}

    tokenize = preprocess

    def forward(self, features: dict[str, Any], **settings: Any) -> dict[str, Any]:
        """`features` and `sentence_embedding` [T, J]."""
        inputs = {name: value for name, value in features.items() if name in INPUTS}
        return features | {"sentence_embedding": self.model.encode_text(inputs).vector}

    def save(self, output_path: str, *arguments: Any, **settings: Any) -> None:
        """Write the model folder, with what was learned since it was loaded."""
        # Of an export that lies there, its manifest would tell of other weights.
        (Path(output_path) / MANIFEST).unlink(missing_ok=True)
        save_model(Path(output_path), self.model, self._details)
