"""Contract of the models that are asked, and what all of them do in the same way.

`Model` is enough to be evaluated (`Reranker` with `--rerank`), `Encoder` is what search and indexes need, and
`BatchedEncoder` does for a trained, an exported and a public model what none of them should repeat: each
different text once, texts of similar length together, images through a vision tower, rounded as feature sets
are.

N texts or images, R regions of an image, F frames of a video, D width of the vision vectors, J joint width, H
width of sentence vectors; T texts, I images and P pairs of re-ranking. Vectors are float32, and but for those
of sentences of unit length; score = dot product.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import UserError
from dragoman.grouping import by_length, unique
from dragoman.models.sentences import TextSide

if TYPE_CHECKING:
    from PIL.Image import Image

    from dragoman.corpus import Corpus


NO_FUSION = (
    "This model has no fusion encoder, so it cannot re-rank. Train one: dragoman train CORPUS "
    "--recipe one_to_k --set loss.mitm_weight=1"
)


NO_SENTENCES = (
    "This model has no head that reads the vector of a whole text. Train one: dragoman train CORPUS --recipe "
    "mlp"
)


class Model(Protocol):
    """Any object that encodes texts and stored vision vectors: evaluation and trust need no more."""

    @property
    def config(self) -> Mapping[str, Any]:
        """`source`, `targets` and `features`: what it was trained with; further keys describe the run."""

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[N, J] unit vectors."""

    def encode_features(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """[N, J] unit vectors of frozen vision vectors [N, D]."""


@runtime_checkable
class Reranker(Protocol):
    """A model that also reads a text and an image together; `regions` is 0 where it cannot after all."""

    @property
    def regions(self) -> int:
        """R."""

    def rerank(
        self, texts: Sequence[str], regions: NDArray[np.floating], pairs: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """[P] match scores of texts with regions [I, R, D], named by `pairs` [P, 2]."""


@runtime_checkable
class SentenceReader(Protocol):
    """A model with a head that reads the vector of a whole text; `sentence_width` is 0 where it has none
    after all."""

    @property
    def sentence_width(self) -> int:
        """H."""

    def sentence_vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[N, H] of texts, as the head reads them."""

    def encode_text(
        self, texts: Sequence[str], *, step: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """[N, J] unit vectors; `step` [H] is added to the sentence vectors before the head. As [H + 1, H] it
        is a map of them, whose last row is added."""


@runtime_checkable
class LanguageReader(Protocol):
    """A model that reads a text by parts of its language; `adapted` is empty where it does not after all."""

    @property
    def adapted(self) -> tuple[str, ...]:
        """Languages that have such parts; texts in others are read as those of the source language."""

    def encode_text(
        self, texts: Sequence[str], *, languages: Sequence[str] | None = None
    ) -> NDArray[np.float32]:
        """[N, J] unit vectors of texts in languages named by BCP 47 tags; of the source without."""


def encode_in(model: Model, texts: Sequence[str], languages: str | Sequence[str]) -> NDArray[np.float32]:
    """[N, J] unit vectors of texts in one language, or each in its own, told where it matters."""
    if not (isinstance(model, LanguageReader) and model.adapted):
        return model.encode_text(texts)
    told = [languages] * len(texts) if isinstance(languages, str) else languages
    return model.encode_text(texts, languages=told)


class Encoder(ABC):
    """A model that can be asked. What not every model can do is declared here, with a default."""

    config: Mapping[str, Any]
    """`source`, `targets`, `features`, `vision`: what it was trained with."""

    @property
    @abstractmethod
    def width(self) -> int:
        """J."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Name of the model by what decides its vectors; an index is searched with the one that filled it."""

    @property
    def adapted(self) -> tuple[str, ...]:
        """Languages that the model has parts for: `encode_text` needs to be told them."""
        return ()

    @property
    def widths(self) -> tuple[int, ...]:
        """Numbers of leading components that can stand for a vector, once they have unit length again: those
        that were trained to (Matryoshka), rising, and J."""
        nested = {int(width) for width in self.config.get("widths", ())}
        return (*sorted(width for width in nested if width < self.width), self.width)

    @property
    def vision(self) -> Mapping[str, Any]:
        """`path`, `fingerprint`, `grid` and `sampling` of its vision tower, as far as they are known."""
        known = self.config.get("vision")
        # Vectors made by other means than a tower carry a name at most.
        return known if isinstance(known, dict) else {}

    @property
    def reads_frames(self) -> bool:
        """True for a model of videos, which encodes frames together; others take a frame for an image."""
        return False

    @property
    def regions(self) -> int:
        """R of the images that `rerank` reads; 0 where the model has no fusion encoder."""
        return 0

    @property
    def sentence_width(self) -> int:
        """H of the vectors of whole texts that a head reads directly, by an encoder that was learned
        elsewhere; 0 where none does."""
        return 0

    def sentence_vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[N, H] of texts, as the head reads them."""
        raise UserError(NO_SENTENCES)

    @abstractmethod
    def encode_text(
        self,
        texts: Sequence[str],
        *,
        step: NDArray[np.float32] | None = None,
        languages: Sequence[str] | None = None,
    ) -> NDArray[np.float32]:
        """[N, J] unit vectors; `step` [H] is added to the sentence vectors before the head. As [H + 1, H] it
        is a map of them, whose last row is added. `languages` of the texts, as BCP 47 tags, matter to
        `adapted` models alone, which without them read all as in the source language.

        Raises UserError for a step where there are none.
        """

    @abstractmethod
    def encode_image(self, images: Sequence[str | Path | Image]) -> NDArray[np.float32]:
        """[N, J] unit vectors of image files or PIL images."""

    def look_up(self, corpus: Corpus) -> None:
        """Look texts of a corpus up where it keeps their frozen vectors; nothing unless overridden."""
        return

    def reads(self, texts: Sequence[str]) -> list[bool]:
        """Tell of each text whether anything of it is known; the vector of another one says nothing."""
        return [bool(text.strip()) for text in texts]

    def tokens(self, texts: Sequence[str]) -> list[int] | None:
        """Count the tokens of each text as the model cuts it: pieces of its vocabulary, or words where it
        reads words; None where that cannot be told."""
        return None

    @abstractmethod
    def encode_features(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """[N, J] unit vectors of frozen vision vectors [N, D]; of a model of videos, of frames [N, F, D]."""

    def prepare_image(self, image: Image) -> Any:
        """Do ahead, in any thread, what `encode_prepared` need not do any more; nothing unless overridden."""
        return image

    def encode_prepared(self, prepared: Sequence[Any]) -> NDArray[np.float32]:
        """[N, J] as `encode_image`, of what `prepare_image` returned."""
        return self.encode_image(prepared)

    def tower_vectors(self, images: Sequence[str | Path | Image]) -> NDArray[np.float16]:
        """[N, R, D] frozen vision vectors of image files or PIL images, the whole image first."""
        raise UserError("This model has no vision tower of its own. Give it vectors: encode_features")

    def rerank(
        self,
        texts: Sequence[str],
        regions: NDArray[np.floating],
        pairs: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """[P] match scores of texts with regions [I, R, D], named by `pairs` [P, 2]; [T, I] without them."""
        raise UserError(NO_FUSION)


class BatchedEncoder(Encoder):
    """An encoder with a text side and a vision tower, which are called on batches.

    A subclass brings the text side, and says what its tower and its image head make of one batch.
    """

    batch_of_texts = 256
    batch_of_tokens: int | None = None
    """Tokens of a batch of texts, padding among them; None bounds their number alone."""

    @property
    @abstractmethod
    def feature_width(self) -> int:
        """D."""

    @abstractmethod
    def text_side(self) -> TextSide:
        """The text side, loaded once; it may be asked by several threads."""

    @abstractmethod
    def prepare_image(self, image: Image) -> Any:
        """Make what `encode_prepared` takes of one RGB image (`open_image`); safe in several threads."""

    @abstractmethod
    def _see(self, prepared: Sequence[Any]) -> NDArray[np.float32]:
        """[N, R, D] what the vision tower makes of prepared images, in one pass."""

    @abstractmethod
    def _head(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """[N, J] unit vectors of one batch of vision vectors."""

    def _side_in(self, lang: str) -> TextSide:
        """The text side that reads texts in a language; asked where there are `adapted` ones."""
        return self.text_side()

    def _moved(self, texts: list[str], step: NDArray[np.float32]) -> NDArray[np.float32]:
        """[N, J] unit vectors of one batch of texts, their sentence vectors moved by a step [H]; asked where
        there are any."""
        raise NotImplementedError

    def _sentences(self, texts: list[str]) -> NDArray[np.float32]:
        """[N, H] of one batch of texts; asked where there are any."""
        raise NotImplementedError

    def encode_text(
        self,
        texts: Sequence[str],
        batch_size: int | None = None,
        *,
        step: NDArray[np.float32] | None = None,
        languages: Sequence[str] | None = None,
    ) -> NDArray[np.float32]:
        """[N, J] unit vectors; equal texts are encoded once, so that they get equal vectors.

        `step` [H] is added to the sentence vectors before the head; as [H + 1, H] it is a map of them, whose
        last row is added. Raises UserError where there are none. `languages` of the texts, as BCP 47 tags,
        matter to `adapted` models alone, which without them read all as in the source language.
        """
        require_list(texts, "encode_text", "texts")
        if step is not None:
            require_step(step, self.sentence_width)
        if languages is not None and self.adapted:
            return self._encode_in(texts, languages, batch_size)

        def encode(given: list[str]) -> NDArray[np.float32]:
            return self._moved(given, step) if step is not None else _unit_vectors(self.text_side(), given)

        return self._batched(texts, encode, self.width, batch_size)

    def _encode_in(
        self, texts: Sequence[str], languages: Sequence[str], batch_size: int | None
    ) -> NDArray[np.float32]:
        if len(languages) != len(texts):
            raise UserError(f"{len(texts)} texts need as many languages, got {len(languages)}.")
        vectors = np.empty((len(texts), self.width), np.float32)
        # One after the other: the batches of a language do not depend on texts in others.
        for lang in dict.fromkeys(languages):
            rows = [row for row, one in enumerate(languages) if one == lang]
            encode = partial(_unit_vectors, self._side_in(lang))
            vectors[rows] = self._batched([texts[row] for row in rows], encode, self.width, batch_size)
        return vectors

    def sentence_vectors(self, texts: Sequence[str], batch_size: int | None = None) -> NDArray[np.float32]:
        """[N, H] of texts, as the head reads them. Raises UserError where none does."""
        require_list(texts, "sentence_vectors", "texts")
        if not self.sentence_width:
            raise UserError(NO_SENTENCES)
        return self._batched(texts, self._sentences, self.sentence_width, batch_size)

    def _batched(
        self,
        texts: Sequence[str],
        encode: Callable[[list[str]], NDArray[np.float32]],
        width: int,
        batch_size: int | None,
    ) -> NDArray[np.float32]:
        # Equal texts in two batches could differ in the last bits, and would then not tie in a ranking.
        different, row_of_text = unique(texts)
        vectors = np.empty((len(different), width), np.float32)
        if not different:
            # Nothing is loaded for nothing.
            return vectors
        lengths, size = self.text_side().lengths(different), batch_size or self.batch_of_texts
        for rows in by_length(lengths, rows=size, tokens=self.batch_of_tokens):
            vectors[rows] = encode([different[row] for row in rows])
        return vectors[row_of_text]

    def reads(self, texts: Sequence[str]) -> list[bool]:
        return self.text_side().reads(texts) if texts else []

    def tokens(self, texts: Sequence[str]) -> list[int] | None:
        return self.text_side().tokens(texts) if texts else []

    def encode_image(self, images: Sequence[str | Path | Image], batch_size: int = 32) -> NDArray[np.float32]:
        """[N, J] unit vectors of image files or PIL images, through the vision tower and the image head."""
        require_list(images, "encode_image", "images")
        vectors = [np.empty((0, self.width), np.float32)]
        vectors += [self.encode_prepared(batch) for batch in self._prepared(images, batch_size)]
        return np.concatenate(vectors)

    def encode_prepared(self, prepared: Sequence[Any]) -> NDArray[np.float32]:
        """[N, J] as `encode_image`, of images that were prepared ahead, in one pass of the tower."""
        return self.encode_features(self._rounded(prepared)[:, 0])

    def encode_features(self, vectors: NDArray[np.floating], batch_size: int = 1024) -> NDArray[np.float32]:
        """[N, J] unit vectors of frozen vision vectors [N, D], of the feature set that it was trained on.

        A model of videos reads [N, F, D], absent frames being NaN (`FeatureSet.whole`, `padded`), and takes
        [N, D] for videos of one frame. At most `batch_size` vectors are encoded at a time.
        """
        self._require_vectors(vectors)
        size = max(1, batch_size // (vectors.shape[1] if vectors.ndim == 3 else 1))
        encoded = np.empty((len(vectors), self.width), np.float32)
        for start in range(0, len(vectors), size):
            block = np.asarray(vectors[start : start + size], np.float32)
            encoded[start : start + size] = self._head(block)
        return encoded

    def tower_vectors(
        self, images: Sequence[str | Path | Image], batch_size: int = 32
    ) -> NDArray[np.float16]:
        """[N, R, D] what the vision tower makes of image files or PIL images, the whole image first: what
        `rerank` takes. R is 1 where the feature set of the run has no regions."""
        require_list(images, "tower_vectors", "images")
        if not len(images):
            return np.empty((0, max(1, self.regions), self.feature_width), np.float16)
        return np.concatenate([self._rounded(batch) for batch in self._prepared(images, batch_size)])

    def _require_vectors(self, vectors: NDArray[np.floating]) -> None:
        """Raise UserError unless the vectors are [N, D]."""
        require_width(vectors, self.feature_width, self.config.get("features"))

    def _prepared(self, images: Sequence[str | Path | Image], batch_size: int) -> Iterator[list[Any]]:
        # Pillow is imported here, so that a service that reads texts only does without it.
        from dragoman.media.images import open_image

        for start in range(0, len(images), batch_size):
            yield [self.prepare_image(open_image(image)) for image in images[start : start + batch_size]]

    def _rounded(self, prepared: Sequence[Any]) -> NDArray[np.float16]:
        # Feature sets are stored as float16; the same rounding here gives the same vectors. What does not fit
        # becomes infinite, for which those who store vectors look.
        with np.errstate(over="ignore"):
            return self._see(prepared).astype(np.float16)


def _unit_vectors(side: TextSide, texts: list[str]) -> NDArray[np.float32]:
    return side.encode(texts) if side.unit else unit(side.encode(texts))


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale vectors [N, J] to unit length."""
    found: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def require_list(values: object, method: str, what: str) -> None:
    """Raise UserError for a single string or path, which is a sequence too, of letters."""
    # Without this, the letters of the string would be encoded, and the shape alone would tell.
    if isinstance(values, str | Path):
        raise UserError(f"{method} takes a list of {what}, got {values!r}. Write {method}([{values!r}])")


def require_step(step: NDArray[np.float32], width: int) -> None:
    """Raise UserError unless a step is [width], or [width + 1, width], as the sentence vectors of the
    model."""
    if not width:
        raise UserError(NO_SENTENCES)
    if step.shape not in ((width,), (width + 1, width)):
        raise UserError(
            f"This step has shape {step.shape}, but the sentence vectors of the model have the width "
            f"{width}. Let it be learnt anew: dragoman calibrate RUN CORPUS --centre"
        )


def require_width(vectors: NDArray[np.floating], width: int, features: str | None) -> None:
    """Raise UserError unless the vectors are [N, width], as those of the feature set that is named."""
    if vectors.ndim != 2 or vectors.shape[1] != width:
        raise UserError(
            f"These vectors have shape {vectors.shape}, but the model reads [N, {width}] of the feature set "
            f"{features!r}. Extract that feature set (dragoman features), or train a model on this one."
        )
