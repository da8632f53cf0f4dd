"""Transformers run in two parts, and low-rank differences of their layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_encoders import save_encoder
from torch import nn

from dragoman.errors import UserError
from dragoman.models.layers import LowRank, learn_low_rank, merged, require_cut, run_from, states_below
from dragoman.models.text.huggingface import HuggingFaceText, HuggingFaceTextConfig

TEXTS = ["Um cão", "a dog runs over the green grass", "cão cão cão"]


def load(folder: Path, **options: Any) -> HuggingFaceText:
    return HuggingFaceText.load(HuggingFaceTextConfig(path=str(folder), **options)).eval()


@pytest.mark.parametrize("first", [0, 1, 2])
@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "clip", "distilbert"])
def test_a_model_run_in_two_parts_gives_what_it_gives_in_one(tmp_path: Path, kind: str, first: int) -> None:
    encoder = load(save_encoder(tmp_path, kind))
    inputs = encoder.prepare(TEXTS)
    ids, mask = inputs["input_ids"], inputs["mask"]
    with torch.no_grad():
        # What transformers itself keeps: `hidden_states[n]` is what layer n reads.
        whole = encoder.trunk(ids, attention_mask=mask.long(), output_hidden_states=True)
        below = states_below(encoder.trunk, first, ids, mask)
        torch.testing.assert_close(below[mask], whole.hidden_states[first][mask], rtol=0, atol=1e-6)
        found = run_from(encoder.trunk, first, below, mask)
    torch.testing.assert_close(found[mask], whole.last_hidden_state[mask], rtol=0, atol=1e-5)
    with torch.no_grad():
        again = encoder.trunk(ids, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(again, whole.last_hidden_state, rtol=0, atol=0)


def test_layers_below_are_not_run(tmp_path: Path) -> None:
    encoder = load(save_encoder(tmp_path, "bert"))
    mask = encoder.prepare(TEXTS)["mask"]
    for layer in encoder.trunk.encoder.layer[:2]:
        layer.register_forward_pre_hook(lambda *given: pytest.fail("a layer below was run"))
    run_from(encoder.trunk, 2, torch.randn(*mask.shape, 16), mask)


def test_a_model_that_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    encoder = load(save_encoder(tmp_path, "t5"))
    inputs = encoder.prepare(TEXTS)
    require_cut(encoder.trunk, 0, inputs["input_ids"], inputs["mask"])
    with pytest.raises(UserError, match=r"t5 model cannot be run from layer 1 on.*text.states=none"):
        require_cut(encoder.trunk, 1, inputs["input_ids"], inputs["mask"])


def test_a_low_rank_difference_by_hand() -> None:
    base = nn.Linear(2, 2, bias=False)
    base.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    part = LowRank(base, rank=2, alpha=4, dropout=0)
    x = torch.tensor([1.0, -1.0])
    # B begins as zero, and A within the bound of Kaiming for 2 inputs.
    torch.testing.assert_close(part(x), torch.tensor([-1.0, -1.0]))
    assert part.down.abs().max() <= 1 / 2**0.5 and part.down.abs().min() > 0
    part.down.data, part.up.data = torch.eye(2), torch.diag(torch.tensor([0.5, -0.5]))
    torch.testing.assert_close(part(x), torch.tensor([0.0, 0.0]))
    torch.testing.assert_close(part.merged @ x, torch.tensor([0.0, 0.0]))
    torch.testing.assert_close(part.merged, torch.tensor([[2.0, 2.0], [3.0, 3.0]]))
    assert {name for name, value in part.named_parameters() if value.requires_grad} == {"down", "up"}


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "clip", "t5", "distilbert"])
def test_merged_weights_give_what_unmerged_ones_do(tmp_path: Path, kind: str) -> None:
    folder = save_encoder(tmp_path, kind)
    encoder, plain = load(folder, lora=2, layers="last:2"), load(folder)
    inputs = encoder.prepare(TEXTS)

    def states(one: HuggingFaceText) -> torch.Tensor:
        with torch.no_grad():
            found: torch.Tensor = one(one.embed(inputs), inputs["mask"])
        return found[inputs["mask"]]

    torch.testing.assert_close(states(encoder), states(plain), rtol=0, atol=1e-6)
    torch.manual_seed(1)
    for part in encoder.modules():
        if isinstance(part, LowRank):
            part.up.data.normal_()
    assert (states(encoder) - states(plain)).abs().max() > 0.05
    plain.load_state_dict(merged(encoder))
    torch.testing.assert_close(states(encoder), states(plain), rtol=0, atol=1e-5)


def test_a_layer_without_queries_by_name_is_refused() -> None:
    with pytest.raises(UserError, match=r"Linear has no linear layers of queries and values.*text.lora=0"):
        learn_low_rank([nn.Linear(2, 2)], 2, 4, 0)


def test_dropout_of_a_low_rank_difference_hides_components_of_its_input_alone() -> None:
    part = LowRank(nn.Linear(3, 2), rank=1, alpha=1, dropout=0.5).train()
    part.up.data.fill_(1.0)
    x = torch.tensor([1.0, 10.0, 100.0])
    torch.manual_seed(0)
    seen = nn.functional.dropout(x, 0.5)
    torch.manual_seed(0)
    expected = part.base(x) + (part.down @ seen) * torch.ones(2)
    torch.testing.assert_close(part(x), expected)
