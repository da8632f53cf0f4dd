"""From a step's texts and vision vectors to the views that an objective reads, and nothing else.

A large step is encoded in chunks whose graphs are thrown away and built anew in the backward pass, with the
same random draws (GradCache: Gao et al., 2021, section 3).

T texts, B items, D width of the vision vectors. Of a chunk: N texts, Q of the P pairs of source and target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from dragoman.corpus import Corpus, FeatureSet
from dragoman.errors import UserError
from dragoman.features.kept_texts import KeptTexts
from dragoman.models.dual import DualEncoder, TextViews, unique_texts
from dragoman.models.text.vectors import FrozenVectors
from dragoman.objectives.contract import Batch, Slots, Teacher, Views
from dragoman.retrievers.described import read_by, with_descriptions
from dragoman.training.batches import Step
from dragoman.training.config import TrainConfig
from dragoman.training.processes import Processes

Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class StepEncoder:
    """Encodes every different text of a step once, and hands out its vector to each caption that has this
    text; where a vector depends on the texts beside it, one language after the other.

    About `config.chunk` texts and images are encoded at a time, and memory holds the graph of so many only;
    without a number it holds all. Each process encodes its share and gets the views of the whole step.
    """

    model: DualEncoder
    features: FeatureSet
    config: TrainConfig
    processes: Processes

    def vectors(self, item_ids: Sequence[str]) -> NDArray[np.floating]:
        """Return the vision vectors of items as they are stored, [B, D], or [B, F, D] of their frames."""
        return self.features.whole(self.features.rows(item_ids))

    def encode(self, step: Step) -> tuple[Views, Batch]:
        """Return the views that the objective reads, and the metadata of the texts, on the model's device."""
        mine = step.items[self.processes.share(len(step.items))]
        return self.encode_beside(step, self.on_device(self.vectors(mine)))

    def encode_beside(self, step: Step, vectors_N: Tensor) -> tuple[Views, Batch]:
        """Do the same with the vision vectors [N, D] of the images that fall to this process."""
        apart = self.config.dual.depends_on_batch
        handed_out: dict[str, Any] = self._encode_apart(step) if apart else self._encode_once(step)
        handed_out |= self._encode_images(vectors_N)
        if "raw_image" in self.config.loss.needs:
            with torch.no_grad():
                handed_out["raw_image"] = self.processes.gather(self.model.raw_image(vectors_N))
        return Views(**handed_out), moved(step.batch, self.model.feature_mean.device)

    def _encode_once(self, step: Step) -> dict[str, Tensor]:
        """Return the views of all captions, each different text encoded once."""
        processes, device = self.processes, self.model.feature_mean.device
        loss = self.config.loss
        taught = _taught(step, loss.taught_by) if "teacher" in loss.needs else []
        chunks = cut(len(step.texts), taught, processes.count * self._parts(len(step.texts)))
        found = self._encode_texts(step, chunks[processes.share(len(chunks))])
        # Chunks hand out their texts in an order of their own.
        place_of_text = torch.argsort(torch.cat([here.texts[: here.own] for here in chunks]))
        place_of_pair = torch.argsort(torch.cat([here.pairs for here in chunks])).to(device)
        row_of_text = place_of_text[step.row_of_text].to(device)
        return {
            name: processes.gather(_joined(parts))[place_of_pair if name == "teacher" else row_of_text]
            for name, parts in found.items()
        }

    def _encode_apart(self, step: Step) -> dict[str, Tensor]:
        """Return the views of all captions, the captions of one language at a time, equal ones again and
        again, and back-translations by themselves, as the code of NRCCR does.

        Padding reaches to the longest text of a language, and BatchNorm has the statistics of a language.
        """
        model, needs, batch = self.model, self.config.loss.needs, step.batch
        taught_by = self.config.loss.taught_by
        found: list[dict[str, Tensor]] = []
        places: list[Tensor] = []
        teacher: dict[str, Tensor] = {}
        source: TextViews | None = None
        # The order is that of the released code, whose last pass counts most in running statistics.
        for back, lang in ((back, lang) for back in (False, True) for lang in range(len(batch.languages))):
            rows = batch.rows(lang, back=back)
            if not len(rows):
                continue
            inputs = self._prepare(step, step.row_of_text[rows].tolist())
            here = model.encode_text(inputs, tokens=self._keeps_tokens)
            found.append(self._wanted(here, len(rows)))
            places.append(rows)
            source = here if lang == 0 and not back else source
            if "teacher" in needs and lang == 1 and taught_by == "itself":
                teacher["teacher"] = model.encode_text(inputs).vector
            elif "teacher" in needs and lang == 1:
                assert source is not None
                taught = batch.pair[rows] if taught_by == "source" else batch.pair[rows].roll(1)
                # Most steps translate every source caption, whose states then need not be copied.
                whole = torch.equal(taught, torch.arange(len(source.vector)))
                paired = source if whole else source[taught.to(source.vector.device)]
                teacher["teacher"] = model.teach(paired, here)
        place_of_row = torch.argsort(torch.cat(places)).to(model.feature_mean.device)
        joined = {name: _joined([part[name] for part in found])[place_of_row] for name in found[0]}
        return joined | teacher

    def on_device(self, vectors: NDArray[np.floating]) -> Tensor:
        """Return stored vectors as float32, where the model is."""
        return torch.from_numpy(np.asarray(vectors, np.float32)).to(self.model.feature_mean.device)

    def _parts(self, texts: int) -> int:
        """Count the chunks that each process encodes."""
        chunk = self.config.chunk
        return 1 if chunk is None else -(-texts // (chunk * self.processes.count))

    def _encode_images(self, vectors_N: Tensor) -> dict[str, Any]:
        """Return the views of all images, and of their slots where these are read."""
        model, parts = self.model, torch.split(vectors_N, self.config.chunk or max(1, len(vectors_N)))
        encode = self._meet if "slots" in self.config.loss.needs else self._look
        found = [recomputed(partial(encode, part), model.feature_mean, len(parts)) for part in parts]
        views: dict[str, Any] = {
            name: self.processes.gather(torch.cat([part[name] for part in found])) for name in found[0]
        }
        image = views.pop("image")
        if not views:
            return {"image": image}
        described_B = views.pop("described").squeeze(1) > 0
        return {"image": image, "slots": Slots(described=described_B, **views)}

    def _look(self, vectors_N: Tensor) -> dict[str, Tensor]:
        return {"image": self.model.encode_image(vectors_N)}

    def _meet(self, vectors_N: Tensor) -> dict[str, Tensor]:
        image_NJ, met = self.model.meet(vectors_N)
        read = {field.name: getattr(met, field.name) for field in fields(Slots)}
        # Processes hand numbers to one another.
        return {"image": image_NJ, **read, "described": met.described.to(image_NJ.dtype)}

    def _encode_texts(self, step: Step, chunks: Sequence[Chunk]) -> dict[str, list[Tensor]]:
        """Return the views of the texts that the chunks own, and their teacher vectors, each a list of
        parts."""
        model = self.model
        inputs = [self._prepare(step, here.texts.tolist()) for here in chunks]
        again: list[dict[str, Tensor] | None] = [None] * len(chunks)
        if self.config.loss.taught_by == "itself":
            again = [
                self._prepare(step, here.texts[here.target].tolist()) if len(here.target) else None
                for here in chunks
            ]
        found = [
            recomputed(partial(self._encode_chunk, given, second, here), model.feature_mean, len(chunks))
            for given, second, here in zip(inputs, again, chunks, strict=True)
        ]
        return {name: [part[name] for part in found] for name in found[0]}

    def _prepare(self, step: Step, rows: list[int]) -> dict[str, Tensor]:
        whole = None if step.whole is None else [step.whole[row] for row in rows]
        languages = None if step.languages is None else [step.languages[row] for row in rows]
        return self.model.prepare([step.texts[row] for row in rows], whole, languages)

    @property
    def _keeps_tokens(self) -> bool:
        loss = self.config.loss
        return "tokens" in loss.needs or ("teacher" in loss.needs and loss.taught_by != "itself")

    def _encode_chunk(
        self, inputs: dict[str, Tensor], again: dict[str, Tensor] | None, here: Chunk
    ) -> dict[str, Tensor]:
        """Return the views of a chunk; `again` are the texts that a second pass teaches."""
        model = self.model
        found = model.encode_text(inputs, tokens=self._keeps_tokens)
        views = self._wanted(found, here.own)
        if "teacher" in self.config.loss.needs:
            source, target = here.source.to(found.vector.device), here.target.to(found.vector.device)
            if again is not None:
                views["teacher"] = model.encode_text(again).vector
            else:
                views["teacher"] = (
                    model.teach(found[source], found[target]) if len(source) else found.vector[:0]
                )
        return views

    def _wanted(self, found: TextViews, count: int) -> dict[str, Tensor]:
        """Return what the objective reads of the first `count` texts, but for the teacher."""
        # Only what is needed: nothing else keeps memory.
        needs, views = self.config.loss.needs, {"text": found.vector[:count]}
        if found.sentence is not None and found.words is not None:
            views |= {"sentence": found.sentence[:count], "words": found.words[:count]}
        if "pooled" in needs:
            views["pooled"] = found.pooled[:count]
        for name in ("raw", "semantic", "agnostic"):
            if name in needs:
                value = getattr(found, name)
                assert value is not None
                views[name] = value[:count]
        if "tokens" in needs:
            assert found.trunk is not None and found.mask is not None
            views |= {"tokens": found.trunk[:count], "mask": found.mask[:count]}
        return views


def seen_with(corpus: Corpus, config: TrainConfig) -> FeatureSet:
    """Open what a run sees of items: their vision vectors, and their descriptions where it reads them."""
    features, texts = corpus.features(config.features), config.descriptions
    read = None if texts is None else read_by(corpus, texts, config.slots.sentences)
    return with_descriptions(features, corpus, read)


class KeptAnchors:
    """Places where captions belong: kept vectors of their source captions by a dual encoder's text side."""

    def __init__(self, corpus: Corpus, config: TrainConfig, model: DualEncoder, processes: Processes) -> None:
        """Open the set. Raises UserError where its vectors do not lie in the space of the model."""
        assert config.anchors is not None
        self._kept, self._model, self._processes = (
            KeptTexts(corpus.features(config.anchors)),
            model,
            processes,
        )
        self._learn = config.loss.anchors_learn
        if self._kept.width != model.feature_width:
            raise UserError(
                f"{self._kept.features.folder} has vectors of width {self._kept.width}, and those of "
                f"{config.features} are {model.feature_width} wide: text and vision vectors of one dual "
                "encoder are needed."
            )

    def of(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[N, D] of source captions, of unit length."""
        vectors = self._kept.vectors(texts)
        found: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-12)
        return found

    def __call__(self, step: Step, batch: Batch) -> Tensor:
        """[T, J] of the texts of a step, each where its source caption is."""
        if not self._learn:
            return self.places(step, batch)
        anchor_PD = self._of_pairs(step, batch)
        # Each process has the gradient of its share, as of images.
        mine = anchor_PD[self._processes.share(len(anchor_PD))]
        frames = self._model.image_frames is not None
        seen = self._model.encode_image(mine.unsqueeze(1) if frames else mine)
        return self._processes.gather(seen)[batch.pair]

    def places(self, step: Step, batch: Batch) -> Tensor:
        """[T, D] in the space of the dual encoder."""
        return self._of_pairs(step, batch)[batch.pair]

    def _of_pairs(self, step: Step, batch: Batch) -> Tensor:
        different, row_of_pair = unique_texts(step.source_of_pair)
        device = batch.pair.device
        return torch.from_numpy(self.of(different)).to(device)[row_of_pair.to(device)]


class KeptSentences:
    """Kept vectors of the texts of a step, by a frozen sentence encoder."""

    def __init__(self, corpus: Corpus, config: TrainConfig) -> None:
        assert config.frozen is not None
        kept = KeptTexts(corpus.features(config.frozen))
        self._frozen = FrozenVectors(kept.made_by, kept)

    def __call__(self, step: Step, batch: Batch) -> Tensor:
        """[T, K] of unit length, of texts with all their words."""
        assert step.whole is not None
        # The encoder's own vector, in which translations lie beside one another.
        vectors = torch.from_numpy(self._frozen.vectors(step.whole)[:, : self._frozen.own_width])
        return F.normalize(vectors, dim=1).to(batch.item.device)[step.row_of_text.to(batch.item.device)]


def _taught(step: Step, taught_by: Teacher) -> list[tuple[int, int]]:
    """Return source and target of each teacher vector, as rows of the different texts."""
    batch = step.batch
    target = batch.rows(1)
    source = target if taught_by == "itself" else batch.rows(0)[batch.pair[target]]
    if taught_by == "shuffled":
        # Pairs stand in random order, so the next one is any other.
        source = source.roll(1)
    rows = torch.stack([step.row_of_text[source], step.row_of_text[target]], dim=1)
    return [(first, second) for first, second in rows.tolist()]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Return the rows of all parts; tokens are padded to the longest text of all."""
    longest = max(part.shape[1] for part in parts)
    return torch.cat(
        [F.pad(part, (*(0, 0) * (part.dim() - 2), 0, longest - part.shape[1])) for part in parts]
    )


def moved(batch: Batch, device: torch.device) -> Batch:
    """Return the metadata of a step on a device."""
    tensors = {field.name: getattr(batch, field.name) for field in fields(batch)}
    there: dict[str, Any] = {
        name: value.to(device) for name, value in tensors.items() if isinstance(value, Tensor)
    }
    return replace(batch, **there)


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """Texts that are encoded together, and the pairs whose teacher is computed beside them."""

    texts: Tensor
    """[N] rows among the T different texts, N at least 1."""
    own: int
    """The first so many are handed out from here; the others belong elsewhere and serve the teacher."""
    pairs: Tensor
    """[Q] numbers among the P pairs."""
    source: Tensor
    """[Q] place of each pair's source in `texts`."""
    target: Tensor
    """[Q] place of each pair's target in `texts`."""


def cut(texts: int, pairs: Sequence[tuple[int, int]], parts: int) -> list[Chunk]:
    """Cut T texts into `parts` chunks of nearly T / `parts` texts.

    Both texts of a pair (row of the source, row of the target) lie in one chunk, as the teacher reads the
    tokens of both. A text of several pairs is handed out by one chunk and encoded again in the others.
    """
    home = [-1] * texts
    placed = 0

    def place(row: int, part: int) -> None:
        nonlocal placed
        if home[row] < 0:
            home[row] = part
            placed += 1

    pairs_of: list[list[int]] = [[] for _ in range(parts)]
    for number, (source, target) in enumerate(pairs):
        part = home[target] if home[target] >= 0 else placed * parts // texts
        place(target, part)
        place(source, part)
        pairs_of[part].append(number)
    for row in range(texts):
        place(row, placed * parts // texts)
    owned: list[list[int]] = [[] for _ in range(parts)]
    for row, part in enumerate(home):
        owned[part].append(row)
    return [_chunk(own, here, pairs) for own, here in zip(owned, pairs_of, strict=True)]


def _chunk(own: list[int], here: list[int], pairs: Sequence[tuple[int, int]]) -> Chunk:
    asked = {row for number in here for row in pairs[number]}
    # An encoder needs a text; where there are fewer than chunks, the first is encoded for nothing.
    texts = own + sorted(asked.difference(own)) or [0]
    place = {row: at for at, row in enumerate(texts)}
    return Chunk(
        texts=torch.tensor(texts),
        own=len(own),
        pairs=torch.tensor(here, dtype=torch.long),
        source=torch.tensor([place[pairs[number][0]] for number in here], dtype=torch.long),
        target=torch.tensor([place[pairs[number][1]] for number in here], dtype=torch.long),
    )


def recomputed(encode: Callable[[], Found], device_of: Tensor, parts: int) -> Found:
    """Return what `encode` gives, with a graph that is built in the backward pass where it is one of
    several."""
    if parts == 1:
        return encode()
    # The argument is of no use but to name the device whose random state is kept for the second time.
    found: Found = checkpoint(lambda _: encode(), device_of, use_reentrant=False)
    return found
