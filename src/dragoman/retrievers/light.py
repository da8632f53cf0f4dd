"""A trained model that reads texts without PyTorch: NumPy, and the sentence encoder where it has one.

Its text side stands on the vector of a frozen sentence encoder, on glossed words, on the words of the `small`
encoder without Transformer layers, or on a vector and words. Vision vectors enter the joint space as well;
the tower that makes them of images needs PyTorch. Golden vectors, which PyTorch made, are compared at each
load.

T texts, L words of the longest text, U different words, H width of the states; N texts or images, D width of
the vision vectors, J joint width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from dragoman.errors import MissingExtraError, UserError
from dragoman.features.kept_texts import KeptTexts
from dragoman.grouping import by_length
from dragoman.models.identity import model_in, own_fingerprint
from dragoman.models.sentences import Reading, TextSide, kind_of
from dragoman.models.stored import (
    damage_told,
    golden_features,
    read_model_config,
    read_weights,
    require_golden,
    require_written,
)
from dragoman.models.text.glosses import Glosses
from dragoman.models.text.spelling import Spelling
from dragoman.models.text.vectors import FrozenVectors, read_encoder
from dragoman.retrievers.base import BatchedEncoder
from dragoman.retrievers.light_layers import (
    AttentionHead,
    DirectHead,
    Floats,
    Head,
    Hidden,
    Hubness,
    Mask,
    Shape,
    Weights,
    unit,
)

if TYPE_CHECKING:
    from PIL.Image import Image

    from dragoman.corpus import Corpus

TOKENS = 2048
"""States of a batch in the attention, padding among them, as in PyTorch."""
EXPORTED = ("small", "huggingface")
"""Text encoders with a graph in ONNX, where they stand alone."""


class Words:
    """The `small` encoder: words as means of their pieces, and their positions."""

    def __init__(self, folder: Path, weights: Weights, config: Mapping[str, Any]) -> None:
        self._spelling = Spelling.load(folder)
        if self._spelling.config.layers:
            require_pytorch("A model with Transformer layers", config)
        self._pieces, self._positions = (weights.pop(f"trunk.{p}.weight") for p in ("pieces", "positions"))
        self.lengths = self.tokens = self._spelling.lengths
        self.reads = self._spelling.reads
        self.known_shares = self.encoder_shares = self._spelling.known_shares
        self.frozen: FrozenVectors | None = None

    def states(self, texts: Sequence[str]) -> tuple[Floats, Mask]:
        """[T, L, H], and the mask [T, L] of what is no padding."""
        found = self._spelling.prepare(texts)
        sizes_U, words_TL = found["sizes"], found["words"]
        summed_UH = np.add.reduceat(self._pieces[found["pieces"]], np.cumsum(sizes_U) - sizes_U, axis=0)
        words_UH = summed_UH / sizes_U.astype(np.float32)[:, None]
        return words_UH[words_TL] + self._positions[: words_TL.shape[1]], found["mask"]


class GlossedWords:
    """The `glossed` encoder: words as their own embeddings and those of their glosses."""

    def __init__(self, folder: Path, weights: Weights, config: Mapping[str, Any]) -> None:
        self._glosses = Glosses.load(folder)
        self.frozen = require_numpy(self._glosses.frozen, config)
        self._known_GD = weights.pop("trunk.gloss_vectors").astype(np.float32)
        self._own, self._glossed = (weights.pop(f"trunk.{part}.weight") for part in ("own", "glosses"))

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Words of each text."""
        return [len(words) for words in self._glosses.words(texts)]

    tokens = lengths

    def reads(self, texts: Sequence[str]) -> list[bool]:
        """Tell of each text whether any word of it is known."""
        return [share > 0 for share in self.known_shares(texts)]

    def known_shares(self, texts: Sequence[str]) -> list[float]:
        """Tell of each text how surely it is known, 0 to 1."""
        return self._glosses.known_shares(texts, self._known_GD)

    def encoder_shares(self, texts: Sequence[str]) -> list[float]:
        """Tell of each text how surely the encoder reads it, from 0 to its known share."""
        return self._glosses.encoder_shares(texts, self._known_GD)

    def states(self, texts: Sequence[str]) -> tuple[Floats, Mask]:
        """[T, L, H], and the mask [T, L] of what is no padding."""
        found = self._glosses.prepare(texts, self._known_GD)
        glossed_UH = np.einsum("uk,ukh->uh", found["shares"], self._glossed[found["rows"]])
        return (self._own[found["own"]] + glossed_UH)[found["words"]], found["mask"]


class Vectors:
    """The `frozen` encoder: the vector of a text, standardised, is its only state."""

    def __init__(
        self, folder: Path, weights: Weights, config: Mapping[str, Any], name: str = "trunk"
    ) -> None:
        self.frozen = require_numpy(read_encoder(folder)[1], config)
        self._mean, self._scale = (weights.pop(f"{name}.vector_{part}") for part in ("mean", "scale"))
        self.width = len(self._mean)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """One state a text."""
        return [1] * len(texts)

    def tokens(self, texts: Sequence[str]) -> list[int] | None:
        """Those of its encoder."""
        return self.frozen.side.tokens(texts)

    def reads(self, texts: Sequence[str]) -> list[bool]:
        """Tell of each text whether anything of it is known."""
        return self.frozen.side.reads(texts)

    def known_shares(self, texts: Sequence[str]) -> list[float]:
        """There are no words."""
        return [1.0] * len(texts)

    encoder_shares = known_shares

    def states(self, texts: Sequence[str]) -> tuple[Floats, Mask]:
        """[T, 1, H], and a mask [T, 1] of ones."""
        vectors_TH = (self.frozen.vectors(texts)[:, : self.width] - self._mean) * self._scale
        return vectors_TH[:, None], np.ones((len(texts), 1), bool)


TRUNKS: Mapping[str, type[Words] | type[GlossedWords] | type[Vectors]] = {
    "small": Words,
    "glossed": GlossedWords,
    "frozen": Vectors,
}


class LightTexts(TextSide):
    """The text side: words or vectors of texts, or both."""

    unit = True
    reading = Reading(folded=False)

    def __init__(
        self, folder: Path, config: Mapping[str, Any], weights: Weights, hubness: Hubness | None
    ) -> None:
        shape: Shape = config["dual"]
        self.width, self._hubness = int(config["joint"]), hubness
        self._trunk = TRUNKS[config["text"]](folder, weights, config)
        self._head: AttentionHead | DirectHead
        kind = shape.get("text_head", "attention")
        if kind == "attention":
            self._head = AttentionHead(weights, shape)
        else:
            self._head = DirectHead(weights, "text_head", kind, shape)
        self.frozen = [self._trunk.frozen] if self._trunk.frozen is not None else []
        """The sentence encoders that it reads by."""
        self._sentence: Vectors | None = None
        if config.get("sentence"):
            self._sentence = Vectors(folder, weights, config, "sentence.trunk")
            self._sentence_head = DirectHead(weights, "sentence.head", shape["sentence_head"], shape)
            self._word_weight = np.float32(shape["word_weight"])
            for frozen in self.frozen:
                frozen.share(self._sentence.frozen)
            self.frozen.append(self._sentence.frozen)
        self._read = self._sentence
        if isinstance(self._trunk, Vectors) and isinstance(self._head, DirectHead):
            self._read = self._sentence or self._trunk

    def lengths(self, texts: Sequence[str]) -> list[int]:
        return self._trunk.lengths(texts)

    def tokens(self, texts: Sequence[str]) -> list[int] | None:
        return self._trunk.tokens(texts)

    def reads(self, texts: Sequence[str]) -> list[bool]:
        found = self._trunk.reads(texts)
        if self._sentence is not None:
            found = [one or other for one, other in zip(found, self._sentence.reads(texts), strict=True)]
        return found

    @property
    def sentence_width(self) -> int:
        """H of the vectors that a head reads directly; 0 where none does."""
        return 0 if self._read is None else self._read.width

    def sentences(self, given: list[str]) -> Floats:
        """[T, H] these vectors."""
        assert self._read is not None
        return self._read.states(given)[0][:, 0]

    def vectors(self, given: list[str], step_H: Floats | None = None) -> Floats:
        """[T, J] of texts, their sentence vectors moved by a step where there is one."""
        found_TJ = self._own(given, step_H if self._sentence is None else None)
        if self._sentence is not None:
            states_T1H, mask_T1 = self._sentence.states(given)
            sentence_TJ = self._sentence_head(moved(states_T1H, step_H), mask_T1)
            known_T1, sure_T1 = (
                np.square(np.array(shares, np.float32))[:, None]
                for shares in (self._trunk.known_shares(given), self._trunk.encoder_shares(given))
            )
            left_T1 = np.where(known_T1 > 0, sure_T1 / np.maximum(known_T1, np.float32(1e-9)), np.float32(1))
            found_TJ = unit(left_T1 * sentence_TJ + self._word_weight * known_T1 * found_TJ)
        return found_TJ if self._hubness is None else self._hubness.texts(found_TJ)

    def _vectors(self, given: list[str]) -> Floats:
        return self.vectors(given)

    def _own(self, given: list[str], step_H: Floats | None) -> Floats:
        """[T, J] of the trunk alone."""
        states_TLH, mask_TL = self._trunk.states(given)
        states_TLH = moved(states_TLH, step_H)
        lengths_T = mask_TL.sum(1)
        found_TJ = np.empty((len(given), self._head.width), np.float32)
        for rows in by_length(lengths_T.tolist(), tokens=TOKENS):
            longest = int(lengths_T[rows].max())
            found_TJ[rows] = self._head(states_TLH[rows, :longest], mask_TL[rows, :longest])
        return found_TJ


class Images:
    """Vision vectors into the joint space."""

    def __init__(self, weights: Weights, shape: Shape, hubness: Hubness | None) -> None:
        self._mean, self._scale = weights.pop("feature_mean"), weights.pop("feature_scale")
        self._unit, kind = bool(shape.get("image_unit")), shape["image_head"]
        self._hidden = Hidden(weights, "image_trunk") if "image_trunk.0.weight" in weights else None
        self._head = None
        if kind != "none":
            self._head = Head(weights, "image_head", shape, bias=kind != "matrix")
        self._hubness = hubness

    def __call__(self, vectors_ND: Floats) -> Floats:
        seen = unit(vectors_ND) if self._unit else (vectors_ND - self._mean) * self._scale
        if self._hidden is not None:
            seen = self._hidden(seen)
        found_NJ = unit(seen) if self._head is None else self._head(seen)
        return found_NJ if self._hubness is None else self._hubness.pictures(found_NJ)


class LightRetriever(BatchedEncoder):
    """A dual encoder loaded from a run folder: as `Retriever`, but for `encode_image` and `rerank`.

    Vectors are float32 of unit length; score = dot product.
    """

    def __init__(self, folder: Path, config: Mapping[str, Any], texts: LightTexts, images: Images) -> None:
        self._folder, self._description, self._texts, self._images = folder, config, texts, images
        self.config: dict[str, Any] = dict(config["trained"])
        """Source and target languages, feature set, recipe, seed: what the model was trained with."""

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> LightRetriever:
        """Load `run/` (or its `model/`), and check its golden vectors.

        `device` is cpu, or auto, which is the same. Raises MissingExtraError for a model that needs PyTorch,
        and UserError as `Retriever.load`.
        """
        if device not in ("cpu", "auto"):
            raise UserError(f"No device {device!r} here without PyTorch. Use --device cpu, or auto.")
        path = model_in(Path(folder))
        config = read_model_config(path)
        with damage_told(path):
            refuse_others(config)
            golden, weights = read_weights(path)
            require_written(path, golden, tensors_of(weights))
            hubness = Hubness(weights, config["dual"]) if config["dual"].get("hubness") else None
            texts = LightTexts(path, config, weights, hubness)
            found = cls(path, config, texts, Images(weights, config["dual"], hubness))
            if weights:
                raise ValueError(f"unexpected tensors: {', '.join(sorted(weights)[:3])}")
            images_2D = golden_features(found.feature_width)[:, 0]
            require_golden(path, golden, texts.encode(golden["texts"]), found.encode_features(images_2D))
        return found

    @cached_property
    def fingerprint(self) -> str:
        """Name of the model (`models.identity`), the same as with PyTorch."""
        return own_fingerprint(self._folder)

    @property
    def width(self) -> int:
        """J."""
        return int(self._description["joint"])

    @property
    def feature_width(self) -> int:
        """D."""
        return int(self._description["feature_width"])

    def text_side(self) -> LightTexts:
        return self._texts

    @property
    def sentence_width(self) -> int:
        """H."""
        return self._texts.sentence_width

    def _sentences(self, texts: list[str]) -> Floats:
        return self._texts.sentences(texts)

    def _moved(self, texts: list[str], step: Floats) -> Floats:
        return self._texts.vectors(texts, step)

    def look_up(self, corpus: Corpus) -> None:
        for frozen in self._texts.frozen:
            if (kept := KeptTexts.made_like(corpus, frozen.made_by)) is not None:
                frozen.look_up(kept)

    def prepare_image(self, image: Image) -> NoReturn:
        """Raise MissingExtraError: vision towers need PyTorch."""
        require_pytorch("The vision tower of the model", self._description)

    def _see(self, prepared: Sequence[Any]) -> NoReturn:
        require_pytorch("The vision tower of the model", self._description)

    def _head(self, vectors: Floats) -> Floats:
        return self._images(vectors)


def moved(states_TLH: Floats, step_H: Floats | None) -> Floats:
    """Move states by a step, where there is one; [H + 1, H] is a map, whose last row is added."""
    if step_H is None:
        return states_TLH
    return states_TLH + step_H if step_H.ndim == 1 else states_TLH @ step_H[:-1] + step_H[-1]


def refuse_others(config: Mapping[str, Any]) -> None:
    """Raise MissingExtraError for a model of which a part needs PyTorch, whatever its text encoder holds."""
    parts = {
        f"the text encoder {config['text']!r}": config["text"] not in TRUNKS,
        "a fusion encoder": "fusion" in config,
        "an encoder of frames": "video" in config,
        "slots that read descriptions": "slots" in config,
        "an average over padding (dual.pool=all)": config["dual"].get("pool") == "all",
    }
    if wants := [part for part, there in parts.items() if there]:
        require_pytorch(f"A model with {wants[0]}", config)


def require_numpy(frozen: FrozenVectors, config: Mapping[str, Any]) -> FrozenVectors:
    """Give a sentence encoder back. Raises MissingExtraError for one that needs PyTorch."""
    path = frozen.made_by["path"]
    if not getattr(kind_of(Path(path)), "NUMPY", False):
        require_pytorch(f"A model with the sentence encoder {path}", config)
    return frozen


def require_pytorch(purpose: str, config: Mapping[str, Any]) -> NoReturn:
    """Say what needs PyTorch, how it is installed, and how else the model can be asked."""
    alone = config["text"] in EXPORTED and not config.get("sentence")
    exported = alone and not {"video", "slots"} & config.keys() and config["dual"].get("pool") != "all"
    way = "An export of the model needs none: dragoman export RUN --to onnx --out FOLDER."
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError("torch", "train", purpose, way if exported else "") from None
    raise UserError(f"{purpose} needs PyTorch. Load it by dragoman.Retriever.load(RUN)")


def tensors_of(weights: Weights) -> Iterator[tuple[str, str, tuple[int, ...], memoryview]]:
    """Name, type, shape and bytes of each tensor, by name."""
    for name, value in sorted(weights.items()):
        yield name, f"torch.{value.dtype.name}", value.shape, value.reshape(-1).view(np.uint8).data
