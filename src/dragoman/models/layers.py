"""Layers of a pretrained transformer: found, run from one of them on, and learned by low-rank differences.

T texts, L tokens, H width of the states, I and O widths before and after a linear layer, r rank.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dragoman.errors import UserError

QUERIES = ("query", "q", "q_proj", "q_lin")
VALUES = ("value", "v", "v_proj", "v_lin")
"""Names of the linear layers that make queries and values, in models of transformers."""
TOLERANCE = 1e-4
"""Largest difference of a state where layers are run apart, beside the largest state."""


def layers_of(trunk: Any) -> tuple[str, nn.ModuleList]:
    """Name and list of the layers. Raises UserError for a model that keeps no list of them."""
    count = int(trunk.config.num_hidden_layers)
    for name, module in trunk.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return name, module
    raise UserError(
        f"A {trunk.config.model_type} model keeps no list of {count} layers (ALBERT shares one), so layers "
        "cannot be trained by index. Choose another encoder, such as xlm-roberta-base."
    )


def states_below(trunk: nn.Module, first: int, input_ids_TL: Tensor, mask_TL: Tensor) -> Tensor:
    """States [T, L, H] that layer `first` reads, from 0; without gradients."""
    name, layers = layers_of(trunk)
    found: list[Tensor] = []

    def look(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        found.append(args[0] if args else named["hidden_states"])

    # The layer itself is run for nothing: how its result is wrapped differs from model to model.
    with torch.no_grad(), _only(trunk, name, layers[: first + 1]), _before(layers[first], look):
        trunk(input_ids=input_ids_TL, attention_mask=mask_TL.long())
    return found[0]


def run_from(trunk: Any, first: int, states_TLH: Tensor, mask_TL: Tensor) -> Tensor:
    """States [T, L, H] of the whole model, given those that layer `first` reads; those below do not run."""
    name, layers = layers_of(trunk)

    def give(
        module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return ((states_TLH, *args[1:]), named) if args else ((), named | {"hidden_states": states_TLH})

    # Embeddings of any token: they are looked up and thrown away, which costs next to nothing.
    ids_TL = torch.zeros_like(mask_TL, dtype=torch.long)
    with _only(trunk, name, layers[first:]), _before(layers[first], give):
        found: Tensor = trunk(input_ids=ids_TL, attention_mask=mask_TL.long()).last_hidden_state
    return found


@torch.no_grad()
def require_cut(trunk: Any, first: int, input_ids_TL: Tensor, mask_TL: Tensor) -> None:
    """Raise UserError where a model run in two parts gives other states than in one.

    T5, for one, computes positions in its first layer and hands them to the others.
    """
    whole_TLH = trunk(input_ids=input_ids_TL, attention_mask=mask_TL.long()).last_hidden_state[mask_TL]
    try:
        below_TLH = states_below(trunk, first, input_ids_TL, mask_TL)
        gap = (run_from(trunk, first, below_TLH, mask_TL)[mask_TL] - whole_TLH).abs().max()
        if gap <= TOLERANCE * whole_TLH.abs().max():
            return
        said = f"its states then differ by {gap:.2g}"
    except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        said = f"{type(error).__name__}: {error}"
    raise UserError(
        f"The layers of a {trunk.config.model_type} model cannot be run from layer {first} on ({said}). "
        "Train it without kept states: --set text.states=none"
    )


class LowRank(nn.Module):
    """A frozen linear layer and a difference that learns: y = W x + b + (alpha / r) B A x (LoRA: Hu et al.,
    2021, section 4.1). A begins by Kaiming, B as zero, so that the layer begins as it was."""

    def __init__(self, base: nn.Linear, rank: int, alpha: float, dropout: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale, self.dropout = alpha / rank, nn.Dropout(dropout)
        self.down = nn.Parameter(base.weight.new_empty(rank, base.in_features))
        self.up = nn.Parameter(base.weight.new_zeros(base.out_features, rank))
        nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, states: Tensor) -> Tensor:
        """[..., I] to [..., O]."""
        low = F.linear(self.dropout(states), self.down)
        found: Tensor = self.base(states) + self.scale * F.linear(low, self.up)
        return found

    @property
    def merged(self) -> Tensor:
        """[O, I] the one matrix that does the same."""
        return self.base.weight + self.scale * (self.up @ self.down)


def learn_low_rank(layers: Sequence[nn.Module], rank: int, alpha: float, dropout: float) -> None:
    """Put `LowRank` in the place of the linear layers of queries and values. Raises UserError where a layer
    keeps none under their usual names."""
    for layer in layers:
        found = [
            (parent, child)
            for parent in layer.modules()
            for child, module in parent.named_children()
            if child in (*QUERIES, *VALUES) and isinstance(module, nn.Linear)
        ]
        if not {child for _, child in found} & set(QUERIES) or not {child for _, child in found} & set(
            VALUES
        ):
            raise UserError(
                f"{type(layer).__name__} has no linear layers of queries and values by their usual names, so "
                "low-rank differences have no place. Train its layers: --set text.lora=0"
            )
        for parent, child in found:
            setattr(parent, child, LowRank(getattr(parent, child), rank, alpha, dropout))


def merged(module: nn.Module) -> dict[str, Tensor]:
    """The `state_dict` that the module would have without low-rank differences, and with their effect."""
    weights = module.state_dict()
    for name, part in module.named_modules():
        if isinstance(part, LowRank):
            beginning = f"{name}." if name else ""
            del weights[f"{beginning}down"], weights[f"{beginning}up"]
            for what in [one for one in weights if one.startswith(f"{beginning}base.")]:
                weights[beginning + what.removeprefix(f"{beginning}base.")] = weights.pop(what)
            weights[f"{beginning}weight"] = part.merged.detach()
    return weights


@contextmanager
def _only(trunk: nn.Module, name: str, layers: nn.ModuleList) -> Iterator[None]:
    """Let a model have these layers alone."""
    place, _, child = name.rpartition(".")
    parent = trunk.get_submodule(place)
    whole = getattr(parent, child)
    setattr(parent, child, layers)
    try:
        yield
    finally:
        setattr(parent, child, whole)


@contextmanager
def _before(layer: nn.Module, act: Any) -> Iterator[None]:
    """Call `act` before a layer, which may change what it is given."""
    handle = layer.register_forward_pre_hook(act, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()
