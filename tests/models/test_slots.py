"""Slots that read descriptions: layers by hand, and images without a description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_duals import small_text
from torch import Tensor, nn

from dragoman.errors import UserError
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import load_model, save_model
from dragoman.models.identity import own_fingerprint, own_image_fingerprint
from dragoman.models.slots import CrossAttention, SlotConfig, SlotReader

D, H, W, M, SLOTS = 6, 5, 8, 3, 2
CONFIG = SlotConfig(count=SLOTS, sentences=M, width=W, heads=2, layers=2, meeting_layers=1, query_scale=1.0)
Floats = NDArray[np.float64]


def reader(regions: int = 1) -> SlotReader:
    torch.manual_seed(1)
    found = SlotReader(CONFIG, vision_width=D, regions=regions, sentence_width=H, joint=4).eval()
    for norm in (part for part in found.modules() if isinstance(part, nn.LayerNorm)):
        nn.init.normal_(norm.weight)
    return found


def dual(regions: int = 1, **settings: Any) -> DualEncoder:
    torch.manual_seed(2)
    model = DualEncoder(
        DualConfig(joint=4, image_head=settings.pop("image_head", "linear")),
        small_text(),
        D,
        regions=regions,
        slots=CONFIG,
        description_width=H,
    )
    model.fit_features(torch.linspace(-1, 1, D), torch.linspace(0.5, 2, D))
    return model.eval()


def of(module: nn.Linear | nn.LayerNorm) -> tuple[Floats, Floats]:
    assert module.bias is not None
    return module.weight.detach().double().numpy(), module.bias.detach().double().numpy()


def linear(module: nn.Linear, states: Floats) -> Floats:
    weight, bias = of(module)
    return states @ weight.T + bias


def normed(module: nn.LayerNorm, states: Floats) -> Floats:
    weight, bias = of(module)
    centred = states - states.mean(-1, keepdims=True)
    return weight * centred / np.sqrt(centred.var(-1, keepdims=True) + module.eps) + bias


def gelu(values: Floats) -> Floats:
    return np.vectorize(lambda x: x * 0.5 * (1 + torch.erf(torch.tensor(x / 2**0.5)).item()))(values)


def crossed(module: CrossAttention, states: Floats, memory: Floats) -> Floats:
    """One item's states [N, W] after the layers, token by token and head by head."""
    for layer in module.layers:
        attention: Any = layer.attention  # type: ignore[union-attr]
        weights = attention.in_proj_weight.detach().double().numpy().reshape(3, W, W)
        biases = attention.in_proj_bias.detach().double().numpy().reshape(3, W)
        sides = (states, memory, memory)
        query, key, value = (side @ w.T + b for side, w, b in zip(sides, weights, biases, strict=True))
        read = np.zeros_like(query)
        for row in range(len(query)):
            for head in range(CONFIG.heads):
                here = slice(head * W // CONFIG.heads, (head + 1) * W // CONFIG.heads)
                logits = np.array([query[row, here] @ one[here] for one in key]) / np.sqrt(W / CONFIG.heads)
                share = np.exp(logits) / np.exp(logits).sum()
                read[row, here] = sum(p * one[here] for p, one in zip(share, value, strict=True))
        feed: Any = layer.feed  # type: ignore[union-attr]
        inner = gelu(linear(feed[0], linear(attention.out_proj, read)))
        states = normed(layer.norm, states + linear(feed[3], inner))  # type: ignore[union-attr, arg-type]
    return states


def packed(regions: int = 1, sentences: tuple[int, ...] = (3, 0, 1)) -> Tensor:
    """Items with so many sentences each, of the three there may be."""
    draws = torch.Generator().manual_seed(5)
    vision = torch.randn(len(sentences), regions * D, generator=draws)
    told = torch.randn(len(sentences), M, H, generator=draws)
    for row, count in enumerate(sentences):
        told[row, count:] = torch.nan
    return torch.cat([vision, told.flatten(1)], dim=1)


@pytest.mark.parametrize("regions", [1, 4])
def test_vision_and_slots_meet_as_by_hand(regions: int) -> None:
    module, items = reader(regions), packed(regions)
    if module.places is not None:
        nn.init.normal_(module.places)
    vision, told = module.parts(items)
    with torch.no_grad():
        met = module(vision, told)
    assert met.described.squeeze(1).tolist() == [True, False, True]
    read: Any = module.read
    for row in (0, 2):
        seen = linear(module.enter, vision[row].double().numpy())
        if module.places is not None:
            seen = seen + module.places.detach().double().numpy()
        sentences = told[row][~told[row, :, 0].isnan()].double().numpy()
        memory = linear(read[1], normed(read[0], sentences))
        slots = crossed(module.compress, module.queries.detach().double().numpy(), memory)
        expected = {
            "states": slots,
            "vision": crossed(module.to_vision, seen, slots)[0],
            "joint": linear(module.slot_head, crossed(module.to_slots, slots, seen)),
            "slot_sides": linear(module.slot_side, slots),
            "vision_sides": linear(module.vision_side, seen),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(met, name)[row].numpy(), value, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("regions", [1, 4])
@pytest.mark.parametrize("image_head", ["linear", "mlp"])
def test_an_image_without_a_description_has_the_vector_of_a_model_without_slots(
    regions: int, image_head: str
) -> None:
    model, items = dual(regions, image_head=image_head), packed(regions, (3, 0, 1, 0))
    slots, head = model.image_slots, model.image_head
    assert slots is not None and head is not None
    with torch.no_grad():
        found = model.encode_image(items)
        vision, _ = slots.parts(items)
        # V' = V: the states are handed on as they are.
        plain = head(model.image_trunk(slots.look((vision - model.feature_mean) * model.feature_scale)[:, 0]))
        bare = model.encode_image(items[:, :D])
    same = [torch.equal(one, other) for one, other in zip(found, plain, strict=True)]
    assert same == [False, True, False, True]
    # Nor does it matter whether the rest of its parts is known.
    torch.testing.assert_close(bare[1::2], found[1::2], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(4))


def test_a_vector_does_not_depend_on_the_descriptions_beside_it() -> None:
    model, items = dual(), packed(sentences=(3, 0, 2))
    with torch.no_grad():
        together = model.encode_image(items)
        alone = torch.cat([model.encode_image(items[row : row + 1]) for row in range(3)])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_gradients_are_finite_where_sentences_are_absent() -> None:
    model, items = dual().train(), packed(sentences=(0, 2, 0))
    vector, met = model.meet(items)
    (vector.sum() + met.joint[met.described.squeeze(1)].sum()).backward()
    slots = model.image_slots
    assert slots is not None
    for name, weight in slots.named_parameters():
        assert weight.grad is None or weight.grad.isfinite().all(), name
    assert slots.queries.grad is not None and slots.queries.grad.abs().max() > 0


def test_queries_of_zero_make_equal_slots() -> None:
    torch.manual_seed(1)
    released = SlotReader(
        SlotConfig(count=3, sentences=M, width=W, heads=2, query_scale=0.0),
        vision_width=D,
        regions=1,
        sentence_width=H,
        joint=4,
    ).eval()
    with torch.no_grad():
        states = released(*released.parts(packed(sentences=(3,)))).states[0]
    torch.testing.assert_close(states[1:], states[:1].expand(2, -1))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"count": 0}, "slots.count must be at least 1"),
        ({"dropout": 1.0}, r"slots.dropout must lie in \[0, 1\)"),
        ({"query_scale": -1.0}, "slots.query_scale must be 0 or more"),
        ({"width": 10, "heads": 4}, "slots.width 10 must be a multiple of slots.heads 4"),
    ],
)
def test_shapes_that_cannot_be_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        SlotConfig(**settings)


def test_a_model_folder_holds_the_slots_and_who_reads_descriptions(tmp_path: Path) -> None:
    model, items = dual(), packed()
    told = {"features": "toy_texts", "fingerprint": "abc", "reading": {}, "sentences": M, "width": H}
    details = {"recipe": "leccr", "source": "en", "targets": [], "features": "toy", "seed": 1}
    details |= {"target_captions": "mt", "descriptions": told}
    save_model(tmp_path / "a", model, details)
    loaded, trained = load_model(tmp_path / "a")
    assert json.loads((tmp_path / "a" / "config.json").read_text())["format_version"] == 8
    assert trained["descriptions"] == told
    with torch.no_grad():
        assert torch.equal(loaded.encode_image(items), model.encode_image(items))
    # Another encoder of descriptions gives other vectors of images.
    other = told | {"fingerprint": "xyz"}
    save_model(tmp_path / "b", model, details | {"descriptions": other})
    for name in (own_fingerprint, own_image_fingerprint):
        assert name(tmp_path / "a") != name(tmp_path / "b")
