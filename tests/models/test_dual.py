from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tiny_duals import FEATURES, TEXTS, dual
from torch import Tensor

from dragoman.errors import UserError
from dragoman.models import dual as dual_module
from dragoman.models.dual import DualConfig, DualEncoder, TextViews, unique_texts
from dragoman.objectives.losses.adversary import LanguageDiscriminator, Strength

SOURCE, TARGET = TEXTS[0], TEXTS[1]
MATES = ["one two three four five six seven eight nine ten eleven", "x"]


def encode(model: DualEncoder, texts: Sequence[str], pads: int = 0) -> TextViews:
    """One pass; `pads` more columns of padding."""
    inputs = model.trunk.prepare(list(texts))
    for name in ("words", "mask"):
        inputs[name] = F.pad(inputs[name], (0, pads))
    with torch.no_grad():
        return model.encode_text(inputs, tokens=True)


def row(views: TextViews, at: int) -> TextViews:
    return views[torch.tensor([at])]


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("pads", [0, 9])
def test_padding_and_batch_mates_change_no_embedding(pads: int) -> None:
    model = dual()
    for text in TEXTS:
        alone = encode(model, [text])
        among = row(encode(model, [*MATES, text], pads), 2)
        close(among.vector, alone.vector)
        close(among.pooled, alone.pooled)


@pytest.mark.parametrize("teacher_pool", ["cat", "cross_only"])
def test_padding_and_batch_mates_change_no_teacher(teacher_pool: str) -> None:
    model = dual(teacher_pool=teacher_pool)
    with torch.no_grad():
        alone = model.teach(encode(model, [SOURCE]), encode(model, [TARGET]))
        sources, targets = encode(model, [*MATES, SOURCE], 7), encode(model, [*MATES, TARGET], 3)
        close(model.teach(sources, targets)[2:], alone)


@pytest.mark.parametrize("strength", ["weak", "medium", "strong"])
def test_padding_and_batch_mates_change_no_discriminator(strength: Strength) -> None:
    model = dual()
    torch.manual_seed(0)
    judge = LanguageDiscriminator(16, strength)

    def logits(views: TextViews) -> Tensor:
        assert views.trunk is not None
        return judge(views.trunk, views.mask) if judge.reads_tokens else judge(views.pooled)

    with torch.no_grad():
        close(logits(row(encode(model, [*MATES, TARGET], 9), 2)), logits(encode(model, [TARGET])))


def test_pooling_over_padding_as_released_depends_on_batch_mates() -> None:
    model = dual(pool="all")
    alone, among = encode(model, [SOURCE]), row(encode(model, [*MATES, SOURCE]), 2)
    assert F.cosine_similarity(alone.vector, among.vector).item() < 0.999
    with torch.no_grad():
        taught = model.teach(alone, encode(model, [TARGET]))
        among_mates = model.teach(encode(model, [*MATES, SOURCE]), encode(model, [*MATES, TARGET]))[2:]
    assert F.cosine_similarity(taught, among_mates).item() < 0.999


def test_the_embedding_is_the_masked_mean_through_the_head() -> None:
    model = dual()
    views = encode(model, TEXTS)
    assert views.projected is not None and views.mask is not None
    for at, text in enumerate(TEXTS):
        length = model.trunk.lengths([text])[0]
        states = model.attention(views.projected[at : at + 1, :length], views.mask[at : at + 1, :length])
        close(views.vector[at], F.normalize(model.text_head.linear(states[0].mean(0)), dim=0).detach())


def test_the_teacher_sees_the_target_from_the_source_beside_the_target() -> None:
    model = dual()
    source, target = encode(model, [SOURCE]), encode(model, [TARGET])
    assert source.projected is not None and target.projected is not None and target.mask is not None
    crossed = model.attention.cross(source.projected, target.projected, target.mask, source.mask)
    pooled = torch.cat([crossed[0], target.projected[0]]).mean(0)
    close(model.teach(source, target)[0].detach(), model.text_head(pooled).detach())
    only = dual(teacher_pool="cross_only")
    close(only.teach(source, target)[0].detach(), only.text_head(crossed[0].mean(0)).detach())


def test_the_teacher_of_two_sides_keeps_the_sentence_of_the_target() -> None:
    model = dual()
    with torch.no_grad():
        source, target = encode(model, [SOURCE] * 2), encode(model, [TARGET, TEXTS[3]])
        words = model.teach(source, target)
        weights, sentence = (
            torch.tensor([[0.2, 0.6], [1.0, 0.0]]),
            F.normalize(torch.rand(words.shape), dim=1),
        )
        found = model.teach(source, replace(target, weights=weights, sentence=sentence))
    close(found[0], F.normalize(0.2 * sentence[0] + 0.6 * words[0], dim=0))
    close(found[1], sentence[1])


def test_the_source_decides_which_target_content_survives() -> None:
    model = dual()
    with torch.no_grad():
        target = encode(model, [TARGET])
        first, second = (model.teach(encode(model, [text]), target) for text in (SOURCE, TEXTS[3]))
    assert not torch.allclose(first, second, atol=1e-3)


def test_batches_by_length_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = dual()
    whole = encode(model, [*TEXTS, *MATES])
    monkeypatch.setattr(dual_module, "TOKENS_PER_BATCH", 8)
    cut = encode(model, [*TEXTS, *MATES])
    close(cut.vector, whole.vector)
    assert cut.trunk is not None and whole.trunk is not None and cut.mask is not None
    close(cut.trunk[cut.mask], whole.trunk[cut.mask])


def test_all_vectors_have_unit_length() -> None:
    model = dual(image_head="mlp")
    torch.testing.assert_close(encode(model, TEXTS).vector.norm(dim=1), torch.ones(len(TEXTS)))
    images = model.encode_image(5 * torch.randn(4, FEATURES))
    torch.testing.assert_close(images.norm(dim=1), torch.ones(4))


def test_the_hidden_layer_of_the_released_code_is_as_wide_as_the_vision_vectors() -> None:
    model = dual(image_head="released")
    hidden, relu = model.image_trunk
    assert (hidden.in_features, hidden.out_features, type(relu)) == (FEATURES, FEATURES, torch.nn.ReLU)
    features = torch.randn(4, FEATURES)
    seen = (features @ hidden.weight.T + hidden.bias).clamp(min=0)
    close(model.encode_image(features).detach(), F.normalize(model.image_head.linear(seen), dim=1))  # type: ignore[union-attr]
    # The image side of the released code: 1280 to 1280, then to 1536 with BatchNorm.
    wide = dual(image_head="released", joint=1536, head_batch_norm=True)
    hidden, head = torch.nn.Linear(1280, 1280), torch.nn.Linear(1280, 1536)
    published = sum(weight.numel() for part in (hidden, head) for weight in part.parameters()) + 2 * 1536
    assert published == 3_610_368
    own = [*wide.image_trunk.parameters(), *wide.image_head.parameters()]  # type: ignore[union-attr]
    assert sum(weight.numel() for weight in own) == FEATURES * (FEATURES + 1) + (FEATURES + 1 + 2) * 1536


def test_positions_begin_at_their_scale() -> None:
    for scale in (0.02, 1.0):
        table = dual(position_scale=scale).positions.weight
        # 250 x 16 numbers: their deviation is known to a hundredth.
        assert abs(float(table.detach().std()) / scale - 1) < 0.05


def test_features_are_standardised_by_the_training_set() -> None:
    model = dual()
    mean, deviation = torch.arange(12.0), torch.cat([torch.full((11,), 2.0), torch.zeros(1)])
    model.fit_features(mean, deviation)
    features = mean + 2 * torch.eye(12)[:3]
    expected = model.image_head.linear(torch.eye(12)[:3])  # type: ignore[union-attr]
    close(model.encode_image(features).detach(), F.normalize(expected, dim=1).detach())
    # A dimension that never varied stays finite.
    assert model.encode_image(mean[None] + 1).isfinite().all()


def test_without_an_image_head_the_vision_space_stays() -> None:
    model = dual(image_head="none")
    model.fit_features(torch.ones(12), torch.full((12,), 3.0))
    features = torch.randn(4, 12)
    torch.testing.assert_close(model.encode_image(features), F.normalize(features, dim=1))
    assert (model.joint, encode(model, [SOURCE]).vector.shape) == (12, (1, 12))


def test_no_gradient_is_lost_in_the_teacher_and_none_is_stored_in_eval() -> None:
    model = dual()
    views = model.encode_text(model.trunk.prepare([SOURCE, TARGET]), tokens=True)
    model.teach(views[torch.tensor([0])], views[torch.tensor([1])]).sum().backward()
    assert model.attention.query.weight.grad is not None
    assert model.attention.query.weight.grad.abs().sum() > 0


def test_batch_norm_is_there_only_as_released() -> None:
    kinds = {type(part) for part in dual().modules()}
    assert torch.nn.BatchNorm1d not in kinds
    assert isinstance(dual(head_batch_norm=True).text_head.norm, torch.nn.BatchNorm1d)


def test_equal_texts_stand_once() -> None:
    different, row_of_text = unique_texts(["b", "a", "b", "", "a"])
    assert (different, row_of_text.tolist()) == (["b", "a", ""], [0, 1, 0, 2, 1])
    assert unique_texts([])[1].dtype == torch.long


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hidden": 10}, "hidden 10 and key_width 256 must be multiples of heads 4"),
        ({"head_dropout": 1.0}, r"head_dropout must lie in \[0, 1\), got 1.0"),
        ({"joint": 0}, "joint must be at least 1, got 0"),
        ({"position_scale": -1.0}, "position_scale must be 0 or more, got -1.0"),
    ],
)
def test_impossible_settings_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DualConfig(**setting)  # type: ignore[arg-type]


def batch_norm(states: Tensor) -> Tensor:
    """BatchNorm of fresh weights in training, by its definition."""
    return (states - states.mean(0)) / (states.var(0, correction=0) + 1e-5).sqrt()


@pytest.mark.parametrize("text_head", ["attention", "linear"])
def test_batch_norm_sees_the_texts_of_all_lengths(text_head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    still = {"dropout": 0.0, "piece_dropout": 0.0, "whole_dropout": 0.0}
    model = dual(still, head_batch_norm=True, dropout=0.0, text_head=text_head)
    # Each text in a bucket of its own.
    monkeypatch.setattr(dual_module, "TOKENS_PER_BATCH", 1)
    head = model.text_head.linear if text_head == "attention" else model.text_head.head.linear
    seen: list[Tensor] = []
    head.register_forward_hook(lambda part, given, found: seen.append(found))  # type: ignore[operator]
    found = encode(model.train(), TEXTS).vector
    assert len(seen) == 1
    close(found, F.normalize(batch_norm(seen[0].detach()), dim=1))


def test_batch_norm_of_one_row_takes_the_running_statistics() -> None:
    model = dual(head_batch_norm=True)
    norm = model.image_head.norm  # type: ignore[union-attr]
    norm.running_mean.copy_(torch.arange(16.0))
    norm.running_var.fill_(4.0)
    features = torch.randn(1, FEATURES)
    expected = (model.image_head.linear(features) - torch.arange(16.0)) / (4 + 1e-5) ** 0.5  # type: ignore[union-attr]
    model.image_dropout.p = 0.0
    close(model.train().encode_image(features).detach(), F.normalize(expected, dim=1).detach())
    assert norm.num_batches_tracked.item() == 0
    assert encode(model, [SOURCE]).vector.isfinite().all()
