"""Views and batches of a few made-up pairs, for every objective, and one step to calculate by hand."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from dragoman.objectives.contract import Batch, Fused, Retrieved, Slots, Views
from dragoman.objectives.leccr import chosen
from dragoman.records import ROLES

HUMAN, MT, BACK = (ROLES.index(role) for role in ("human", "mt", "back"))


def make_batch(item_of_pair: list[int], targets: int = 1, back: bool = True) -> Batch:
    """Source captions, then for each target translations and back-translations, one a pair."""
    pairs = range(len(item_of_pair))
    rows = [(item_of_pair[p], p, 0, HUMAN) for p in pairs]
    for lang in range(1, targets + 1):
        rows += [(item_of_pair[p], p, lang, MT) for p in pairs]
        rows += [(item_of_pair[p], p, 0, BACK) for p in pairs if back and lang == 1]
    item, pair, lang_, role = zip(*rows, strict=True)
    languages = ("en", *("pt", "es", "de")[:targets])
    return Batch(
        item=torch.tensor(item),
        pair=torch.tensor(pair),
        lang=torch.tensor(lang_),
        role=torch.tensor(role),
        languages=languages,
    )


def hand_step() -> tuple[Views, Batch]:
    """Two images with a source caption, its translation and its way back each, in the plane.

    Cosines of the images with the captions, at T = 0.5 half of the logits:

                     source 0   source 1   target 0   target 1
        image 0        0.8        0.6         1          0
        image 1        0.6        0.8         0          1

    Ways back are (1, 0) and (0.8, 0.6), teacher vectors (0.8, 0.6) and (0.6, 0.8), anchors (0.6, 0.8) of the
    first pair and (0.8, 0.6) of the other. The first component of a
    pooled state is 2 in source captions and 1 in translations. Tokens are unit vectors along axes: 0 and 1 in
    the first source caption, 1 and 0 in its translation; 0 in the second one, 1 in its translation. A frozen
    encoder puts the source captions at (1, 0) and (0.6, 0.8), the translations at (0.8, 0.6) and (0, 1).
    All texts of the first pair find a text and an image at (1, 0), those of the second at (0, 1). Of three
    fused pairs the first matches.

    Raw vectors of source captions are (1.6, 1.2) and (0.6, 0.8), of translations (2, 0) and (0, 1), of images
    (2, 0) and (0, 2). Semantic features of the translations are (1.6, 1) and (0.5, 0.5); the first components
    of the agnostic ones are 0.5 and 0.1.

    Both images have a description and two slots. Those of image 0 have a cosine of 0.6, of image 1 of 0.
    Where texts are, they are (1, 0), (0, 1) and (0.6, 0.8), (-1, 0): their largest products with captions are

                     source 0   source 1   target 0   target 1
        image 0        0.8        0.8         1          1
        image 1        0.96       1           0.6        0.8
    """
    pooled = torch.zeros(6, 5)
    pooled[:, 0] = torch.tensor([2.0, 2, 1, 1, 0, 0])
    tokens = torch.zeros(6, 2, 5)
    for text, axes in enumerate([(0, 1), (0,), (1, 0), (1,), (0,), (0,)]):
        tokens[text, range(len(axes)), axes] = 1
    agnostic = torch.zeros(6, 5)
    agnostic[2:4, 0] = torch.tensor([0.5, 0.1])
    views = Views(
        image=torch.eye(2),
        text=torch.tensor([[0.8, 0.6], [0.6, 0.8], [1, 0], [0, 1], [1, 0], [0.8, 0.6]]),
        teacher=torch.tensor([[0.8, 0.6], [0.6, 0.8]]),
        pooled=pooled,
        tokens=tokens,
        mask=tokens.any(2),
        anchor=torch.tensor([[0.6, 0.8], [0.8, 0.6]]).repeat(3, 1),
        frozen=torch.tensor([[1, 0], [0.6, 0.8], [0.8, 0.6], [0, 1], [1, 0], [0.6, 0.8]]),
        raw=torch.tensor([[1.6, 1.2], [0.6, 0.8], [2, 0], [0, 1], [1, 0], [0.8, 0.6]]),
        raw_image=2 * torch.eye(2),
        semantic=torch.tensor([[0.0, 0.0], [0, 0], [1.6, 1], [0.5, 0.5], [0, 0], [0, 0]]),
        agnostic=agnostic,
        retrieved=Retrieved(text=torch.eye(2).repeat(3, 1), image=torch.eye(2).repeat(3, 1)),
        fused=Fused(
            match_logits=torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]]),
            match_labels=torch.tensor([1, 0, 0]),
            word_logits=torch.tensor([[1.0, 2.0, 3.0]]),
            word_labels=torch.tensor([2]),
        ),
        slots=Slots(
            described=torch.tensor([True, True]),
            states=torch.tensor([[[1, 0], [0.6, 0.8]], [[0, 2.0], [3, 0]]]),
            joint=torch.tensor([[[1, 0], [0, 1]], [[0.6, 0.8], [-1, 0]]]),
            slot_sides=torch.tensor([[[2.0, 0], [0, 3]], [[0, 1], [0, 5]]]),
            vision_sides=torch.tensor([[[4, 0]], [[0, 0.5]]]),
        ),
    )
    return views, make_batch([0, 1])


def make_views(batch: Batch, width: int = 6, hidden: int = 5, length: int = 4, seed: int = 0) -> Views:
    """Random unit vectors and states that need gradients; every text has at least one token."""
    draws = torch.Generator().manual_seed(seed)
    # Of their own, so that all others are as they were before there were anchors.
    other = torch.Generator().manual_seed(seed + 1000)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draws)

    def further(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=other).requires_grad_()

    texts, items = len(batch.item), int(batch.item.max()) + 1
    lengths = torch.randint(1, length + 1, (texts, 1), generator=draws)
    return Views(
        image=F.normalize(random(items, width), dim=1).requires_grad_(),
        text=F.normalize(random(texts, width), dim=1).requires_grad_(),
        teacher=F.normalize(random(len(batch.rows(1)), width), dim=1).requires_grad_(),
        pooled=random(texts, hidden).requires_grad_(),
        tokens=random(texts, length, hidden).requires_grad_(),
        mask=torch.arange(length)[None, :] < lengths,
        anchor=F.normalize(torch.randn(texts, width, generator=other), dim=1)[batch.pair].requires_grad_(),
        frozen=F.normalize(torch.randn(texts, width, generator=other), dim=1).requires_grad_(),
        raw=further(texts, width),
        raw_image=further(items, width),
        semantic=further(texts, width),
        agnostic=further(texts, hidden),
        slots=Slots(
            # The second item has no description.
            described=torch.arange(items) != 1,
            states=further(items, 3, hidden),
            joint=further(items, 3, width),
            slot_sides=further(items, 3, hidden),
            vision_sides=further(items, 2, hidden),
        ),
        retrieved=Retrieved(
            text=F.normalize(torch.randn(texts, width, generator=other), dim=1),
            image=F.normalize(torch.randn(texts, width, generator=other), dim=1),
        ),
        fused=Fused(
            match_logits=random(6, 2).requires_grad_(),
            match_labels=torch.tensor([1, 1, 0, 0, 0, 0]),
            word_logits=random(3, 7).requires_grad_(),
            word_labels=torch.tensor([6, 0, 2]),
        ),
    )


def leaves(views: Views) -> dict[str, Tensor]:
    """The tensors that can get gradients, by name."""
    names = ("image", "text", "teacher", "pooled", "tokens", "anchor", "frozen")
    return {name: getattr(views, name) for name in (*names, "raw", "raw_image", "semantic", "agnostic")}


def gradients(loss: Tensor, views: Views) -> dict[str, Tensor]:
    """Gradients of the leaves that the loss reaches."""
    found = torch.autograd.grad(loss, list(leaves(views).values()), allow_unused=True)
    return {name: grad for name, grad in zip(leaves(views), found, strict=True) if grad is not None}


def reorder(views: Views, batch: Batch, texts: Tensor, items: Tensor) -> tuple[Views, Batch]:
    """The same step with texts and items in another order. `batch.rows` sorts by pair, so teachers stay."""
    place = torch.argsort(items)
    moved = {f.name: getattr(batch, f.name) for f in fields(batch)}
    moved = {name: value[texts] if isinstance(value, Tensor) else value for name, value in moved.items()}
    moved["item"] = place[moved["item"]]
    assert views.pooled is not None and views.tokens is not None and views.mask is not None
    assert views.anchor is not None and views.frozen is not None and views.slots is not None
    assert views.raw is not None and views.raw_image is not None
    assert views.semantic is not None and views.agnostic is not None
    assert views.retrieved is not None
    return (
        replace(
            views,
            image=views.image[items],
            text=views.text[texts],
            pooled=views.pooled[texts],
            tokens=views.tokens[texts],
            mask=views.mask[texts],
            anchor=views.anchor[texts],
            frozen=views.frozen[texts],
            raw=views.raw[texts],
            raw_image=views.raw_image[items],
            semantic=views.semantic[texts],
            agnostic=views.agnostic[texts],
            slots=chosen(views.slots, items),
            retrieved=Retrieved(text=views.retrieved.text[texts], image=views.retrieved.image[texts]),
        ),
        Batch(**moved),
    )
