"""Export for the package sentence-transformers: texts and images in its own modules, or texts in ours.

A model of transformers with linear layers behind it becomes modules of the package's own (`plain_modules`),
which need no Dragoman. Of any other the folder is the model folder with the two files that the package looks
for. They name `DragomanText`, so Dragoman must be installed where the folder is loaded: no module of the
package's own has our attention layer. The name of this module stands in folders for ever; do not move it. The
package is not imported here.

T texts, L tokens, J joint width.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError, UserError

try:
    import torch
except ImportError:
    raise MissingExtraError("torch", "train", "Exporting a model") from None

from torch import Tensor, nn

from dragoman.export import ExportConfig, copy_beside, plain_modules
from dragoman.export.parity import Agreement, SampleVectors, agreements
from dragoman.export.samples import samples
from dragoman.folders import MANIFEST, require_sound, versions, write_json, write_text
from dragoman.models.dual import DualEncoder
from dragoman.models.folder import load_model, save_model
from dragoman.models.hub import model_folder
from dragoman.retrievers.trained import Retriever

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Config(ExportConfig):
    """Options of the export to sentence-transformers."""

    vision: str | None = None
    """Folder or hub id of the vision tower, where the run does not know it or it has moved."""
    plain: bool = True
    """Modules of the package's own, where they have a place for all that the model is; else Dragoman's, in a
    folder that is a model folder as well."""


def write(model: Path, folder: Path, config: Config) -> list[Agreement]:
    """Fill `folder`; the agreement of what is loaded from it with the model."""
    retriever = Retriever.load(model, vision=config.vision)
    obstacle = plain_modules.obstacle(retriever.model) if config.plain else "that was asked for (plain=false)"
    if obstacle is None:
        return _write_plain(retriever, model, folder, config)
    log.info(
        "Dragoman's own module reads the texts of this export, because %s: it needs Dragoman, and "
        "trust_remote_code=True. It reads no images.",
        obstacle,
    )
    return _write_own(retriever, model, folder, config)


def _write_plain(retriever: Retriever, model: Path, folder: Path, config: Config) -> list[Agreement]:
    vision = _vision_of(retriever, config)
    plain_modules.write(retriever, folder, vision=vision)
    copy_beside(model, folder)
    write_text(folder / "README.md", _card(retriever, reads="text and images" if vision else "text"))
    sample = samples(config.corpus, retriever.config, _made_up(retriever))
    tower = None if vision is None else retriever.tower()
    images = [] if tower is None else sample.images
    both = (
        plain_modules.unrounded(retriever, sample.texts.values(), tower, images),
        plain_modules.read(folder, sample.texts.values(), images),
    )
    gallery = retriever.encode_features(sample.features)
    expected, found = (
        SampleVectors(texts=dict(zip(sample.texts, texts, strict=True)), features=gallery, images=seen)
        for texts, seen in both
    )
    return [row for row in agreements(expected, found, "fp32") if row.what != "vision vectors"]


def _vision_of(retriever: Retriever, config: Config) -> str | None:
    """Find the folder of the vision tower; None, and why, where images stay out."""
    known = config.vision or retriever.vision.get("path")
    if not plain_modules.sees(retriever.model):
        reason = "the package has no modules for its images with descriptions, or videos"
    elif retriever.vision.get("of") == "items":
        reason = "the model learned from texts in their place"
    elif known is None:
        reason = "the run does not know its vision tower. If one made its vectors, name it: --vision FOLDER"
    elif plain_modules.vision_half(model_folder(known)) is None:
        reason = f"transformers has no model of its own for the images of {known}"
    else:
        return str(known)
    log.info("Texts alone are exported, in modules of the package's own; images are not: %s", reason)
    return None


def _made_up(retriever: Retriever) -> NDArray[np.float32]:
    return np.eye(retriever.model.feature_width, dtype=np.float32)


def _write_own(retriever: Retriever, model: Path, folder: Path, config: Config) -> list[Agreement]:
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
    gallery = retriever.encode_features(_made_up(retriever))
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


def _card(retriever: Retriever, *, reads: str) -> str:
    known = [retriever.config["source"], *retriever.config["targets"]]
    listed = "".join(f"\n- {lang}" for lang in known)
    return (
        f"---\nlanguage:{listed}\nlibrary_name: sentence-transformers\n"
        "pipeline_tag: feature-extraction\n---\n"
        f"# Encoder of {reads} for cross-lingual retrieval\n\n"
        f"Trained with Dragoman by the recipe `{retriever.config['recipe']}`.\n\n"
        "```python\nfrom sentence_transformers import SentenceTransformer\n\n"
        "model = SentenceTransformer('.')\nvectors = model.encode(['…'])\n```\n"
    )


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
