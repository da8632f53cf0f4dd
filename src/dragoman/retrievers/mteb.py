"""Any model that Dragoman loads, as the package mteb asks models: an encoder, and a search of its own.

As a search it embeds each image once, known by its content, however many languages of a task ask for it; and
it remembers what it was asked, so that a report can be made of it (`pipelines.mteb`). N inputs, Q queries, I
documents, J width of the vectors.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dragoman.errors import MissingExtraError, UserError
from dragoman.languages import canonical_tag
from dragoman.retrievers.base import Encoder, encode_in
from dragoman.retrievers.loading import load_encoder

if TYPE_CHECKING:
    from PIL.Image import Image

Floats = NDArray[np.float32]
Asked = tuple[str, str, str]
"""Task, split and subset."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Seen:
    """Queries and documents of one subset of a task."""

    lang: str | None
    """Language of the queries, as BCP 47 tag; None where the subset has several."""
    document_ids: list[str]
    contents: list[str]
    """Hash of each document that is an image, "" of others."""
    documents: Floats
    """[I, J]"""
    query_ids: list[str]
    texts: list[str]
    """Queries, "" where they are no texts."""
    queries: Floats
    """[Q, J]"""


class MtebModel:
    """A model as mteb asks it: `mteb.evaluate(MtebModel.load("run/"), tasks)`."""

    def __init__(self, model: Encoder, name: str | None = None) -> None:
        self.model = model
        self._name = name or str(model.config.get("recipe") or "model")
        self.seen: dict[Asked, Seen] = {}
        """Memory of what was asked, by task, split and subset."""
        self._images: dict[str, Floats] = {}
        self._indexed: dict[Asked, tuple[list[str], list[str], Floats]] = {}

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu", vision: str | Path | None = None) -> MtebModel:
        """Load a run, an export or a public model. Raises UserError where there is none."""
        return cls(load_encoder(folder, device, vision), Path(folder).resolve().name)

    @property
    def mteb_model_meta(self) -> Any:
        """The model as mteb's tables name it; its revision is the fingerprint."""
        try:
            from mteb.models.model_meta import ModelMeta, ScoringFunction
        except ImportError:
            raise MissingExtraError("mteb", "mteb", "Being asked by mteb") from None
        return ModelMeta.create_empty(
            {
                "name": f"dragoman/{self._name}",
                "revision": self.model.fingerprint,
                "embed_dim": self.model.width,
                "similarity_fn_name": ScoringFunction.COSINE,
                "modalities": ["text", "image"],
                "use_instructions": False,
            }
        )

    def encode(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        **settings: Any,
    ) -> Floats:
        """[N, J] unit vectors of batches of texts, or of images. Raises UserError for both in one input."""
        lang = _language(task_metadata, hf_subset)
        parts = [np.empty((0, self.model.width), np.float32)]
        for batch in inputs:
            given = {name for name in ("text", "image", "audio", "video") if name in batch}
            if given == {"text"}:
                parts.append(encode_in(self.model, list(batch["text"]), lang or "und"))
            elif given == {"image"}:
                parts.append(self._see([_content(image) for image in batch["image"]], batch["image"]))
            else:
                raise UserError(
                    f"The task {task_metadata.name} asks with {' and '.join(sorted(given)) or 'nothing'} in "
                    "one input, but texts or images were expected. Choose a task of the category t2i, i2t, "
                    "t2t or i2i."
                )
        return np.concatenate(parts)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Compute the cosines of all of one with all of the other."""
        return _tensor(embeddings1) @ _tensor(embeddings2).T

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Compute the cosine of each of one with that beside it."""
        return (_tensor(embeddings1) * _tensor(embeddings2)).sum(-1)

    def index(
        self,
        corpus: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        encode_kwargs: Mapping[str, Any],
        num_proc: int | None = None,
        **settings: Any,
    ) -> None:
        """Embed the documents of a subset, images that were embedded before not again."""
        asked = (task_metadata.name, hf_split, hf_subset)
        batches = _batches(corpus, task_metadata, "document", encode_kwargs, num_proc)
        contents = [
            _content(image) if image is not None else ""
            for batch in batches
            for image in batch.get("image", [None] * len(batch.get("text", ())))
        ]
        vectors = self.encode(batches, task_metadata=task_metadata, hf_split=hf_split, hf_subset=hf_subset)
        self._indexed[asked] = ([str(one) for one in corpus["id"]], contents, vectors)

    def search(
        self,
        queries: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        top_k: int,
        encode_kwargs: Mapping[str, Any],
        top_ranked: Mapping[str, Sequence[str]] | None = None,
        num_proc: int | None = None,
        **settings: Any,
    ) -> dict[str, dict[str, float]]:
        """Find the `top_k` best documents of each query by its id, of `top_ranked` ones where given."""
        asked = (task_metadata.name, hf_split, hf_subset)
        ids, contents, documents = self._indexed[asked]
        batches = _batches(queries, task_metadata, "query", encode_kwargs, num_proc)
        texts = [text for batch in batches for text in batch.get("text", [""] * len(batch.get("image", ())))]
        vectors = self.encode(batches, task_metadata=task_metadata, hf_split=hf_split, hf_subset=hf_subset)
        named = [str(one) for one in queries["id"]]
        self.seen[asked] = Seen(
            lang=_language(task_metadata, hf_subset),
            document_ids=ids,
            contents=contents,
            documents=documents,
            query_ids=named,
            texts=texts,
            queries=vectors,
        )
        row_of = {one: row for row, one in enumerate(ids)}
        found = {}
        for query, vector in zip(named, vectors, strict=True):
            rows = np.arange(len(ids))
            if top_ranked is not None:
                rows = np.array([row_of[one] for one in top_ranked[query]], np.int64)
            scores = documents[rows] @ vector
            best = np.argsort(-scores, kind="stable")[:top_k]
            found[query] = {ids[rows[one]]: float(scores[one]) for one in best}
        return found

    def _see(self, contents: Sequence[str], images: Sequence[Image]) -> Floats:
        new = {one: image for one, image in zip(contents, images, strict=True) if one not in self._images}
        if new:
            vectors = self.model.encode_image(list(new.values()))
            self._images |= dict(zip(new, vectors, strict=True))
        return np.stack([self._images[one] for one in contents])


def _batches(
    dataset: Any, task_metadata: Any, kind: str, settings: Mapping[str, Any], num_proc: int | None
) -> Any:
    """Batches of a dataset of mteb, as it makes them for its own models."""
    from mteb._create_dataloaders import create_dataloader
    from mteb.types import PromptType

    return create_dataloader(
        dataset,
        task_metadata=task_metadata,
        prompt_type=PromptType(kind),
        batch_size=settings.get("batch_size", 32),
        num_proc=num_proc,
    )


def _language(task_metadata: Any, subset: str) -> str | None:
    """Find the language of a subset; None where it has several."""
    known = task_metadata.eval_langs
    tags = known[subset] if isinstance(known, Mapping) else known
    # `deu-Latn` there, of which the form with a low line is a code that stands for the language.
    found = {canonical_tag(tag.replace("-", "_")) for tag in tags}
    return found.pop() if len(found) == 1 else None


def _content(image: Image) -> str:
    seen = image.convert("RGB")
    return hashlib.sha256(repr(seen.size).encode() + seen.tobytes()).hexdigest()


def _tensor(vectors: Any) -> Any:
    import torch

    found = torch.as_tensor(vectors)
    return found.reshape(-1, found.shape[-1])
