"""The NRCCR objective as a whole: who learns from what, and the two presets."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from toy_views import gradients, make_batch, make_views

from dragoman.errors import UserError
from dragoman.objectives.losses.triplet import hardest_triplet
from dragoman.objectives.nrccr import NRCCR, Config, build
from dragoman.recipes import load_recipe

ITEMS = [0, 1, 1, 2]
# What the tests assume, whatever the defaults are tuned to.
BASE = {
    "contrast": "triplet",
    "cycle_contrast": "triplet",
    "margin": 0.2,
    "reduction": "mean",
    "negatives": "by_visual_id",
}
BASE |= {"sim_loss": "ce", "feat_loss": "cos", "cycle": True, "adversary": "alternating"}
BASE |= {"detach_visual_teacher": True, "feat_detach_teacher": True, "discriminator": "medium"}


def made(**settings: object) -> NRCCR:
    torch.manual_seed(1)
    return build(Config(**BASE | settings), 5)  # type: ignore[arg-type]


def test_terms_are_the_losses_of_their_pairs() -> None:
    batch = make_batch(ITEMS)
    views = make_views(batch)
    terms = made()(views, batch)
    assert list(terms) == ["source", "target", "sim", "feat", "cycle", "adversary"]
    item = torch.tensor(ITEMS)
    same = item[:, None] == item[None, :]
    source, target, back = views.text[:4], views.text[4:8], views.text[8:]
    torch.testing.assert_close(terms["source"], hardest_triplet(views.image[item] @ source.T, same, 0.2))
    torch.testing.assert_close(terms["target"], hardest_triplet(views.image[item] @ target.T, same, 0.2))
    torch.testing.assert_close(terms["cycle"], hardest_triplet(source @ back.T, same, 0.2))
    assert views.teacher is not None
    cosines = (views.teacher * target).sum(1)
    torch.testing.assert_close(terms["feat"], (1 - cosines).mean())


def test_a_cycle_that_only_pulls_knows_no_other_caption() -> None:
    batch = make_batch(ITEMS)
    views = make_views(batch)
    terms = made(cycle_contrast="cos")(views, batch)
    text = views.text.detach()
    cosines = [float(text[row] @ text[8 + row]) for row in range(4)]
    assert terms["cycle"].item() == pytest.approx(1 - sum(cosines) / 4, rel=1e-6)
    # The contrast with the images is a setting of its own.
    torch.testing.assert_close(terms["source"], made()(views, batch)["source"])


def test_a_temperature_that_is_not_learned_is_no_weight() -> None:
    batch, names = make_batch(ITEMS), []
    for learn in (True, False):
        objective = made(contrast="info_nce", learn_temperature=learn)
        names.append([name for name, _ in objective.named_parameters() if "temperature" in name])
        views = make_views(batch)
        log_image, log_text = (
            (views.image @ views.text[:4].T / 0.07).log_softmax(dim)[ITEMS, range(4)] for dim in (0, 1)
        )
        # Captions two and three are of one image, whose term is their mean.
        of_images = (log_text[0] + log_text[1:3].mean() + log_text[3]) / 3
        if not learn:
            torch.testing.assert_close(objective(views, batch)["source"], -(log_image.mean() + of_images) / 2)
    assert names == [["contrast_temperature.log"], []]


def test_the_total_is_the_weighted_sum() -> None:
    objective = made()
    values = {name: torch.tensor(float(n)) for n, name in enumerate(objective.weights, start=1)}
    expected = 1 * 1 + 2 * 0.6 + 3 * 0.3 + 4 * 0.1 + 5 * 0.5 + 6 * 0.001
    weights = {"source": 1.0, "target": 0.6, "sim": 0.3, "feat": 0.1, "cycle": 0.5, "adversary": 0.001}
    objective.weights = weights
    assert objective.total(values).item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("strength", ["weak", "medium", "strong"])
def test_encoder_and_opponent_learn_in_turn_and_never_together(strength: str) -> None:
    batch = make_batch(ITEMS)
    views = make_views(batch)
    objective = made(discriminator=strength)
    assert objective.opponent is not None
    objective.total(objective(views, batch)).backward()
    assert [weight.grad for weight in objective.opponent.parameters() if weight.grad is not None] == []
    read = views.tokens if strength == "strong" else views.pooled
    assert read is not None and read.grad is not None and read.grad[4:8].abs().sum() > 0
    # Only the target side is pushed.
    assert read.grad[:4].abs().sum() == 0 and read.grad[8:].abs().sum() == 0

    views = make_views(batch)
    objective.opponent_loss(views, batch).backward()
    assert all(weight.grad is not None for weight in objective.opponent.parameters())
    assert [leaf.grad for leaf in (views.text, views.pooled, views.tokens) if leaf.grad is not None] == []  # type: ignore[union-attr]


@pytest.mark.parametrize("strength", ["weak", "medium", "strong"])
def test_an_opponent_that_knows_nothing_costs_the_logarithm_of_two(strength: str) -> None:
    batch = make_batch(ITEMS)
    views = make_views(batch)
    objective = made(discriminator=strength)
    assert objective.opponent is not None
    with torch.no_grad():
        for weight in objective.opponent.parameters():
            weight.zero_()
    assert objective(views, batch)["adversary"].item() == pytest.approx(math.log(2), abs=1e-6)
    assert objective.opponent_loss(views, batch).item() == pytest.approx(math.log(2), abs=1e-6)


def test_similarity_distillation_teaches_the_student_alone() -> None:
    batch = make_batch(ITEMS)
    views = make_views(batch)
    reached = gradients(made()(views, batch)["sim"], views)
    assert set(reached) == {"image", "text"}
    assert reached["text"][:4].abs().sum() == 0 and reached["text"][8:].abs().sum() == 0
    assert reached["text"][4:8].abs().sum() > 0


def test_the_teacher_learns_from_features_only_in_the_released_form() -> None:
    batch = make_batch(ITEMS)
    for detach, reached in ((True, {"text"}), (False, {"text", "teacher"})):
        views = make_views(batch)
        feat = made(feat_detach_teacher=detach)(views, batch)["feat"]
        assert set(gradients(feat, views)) == reached


def test_visual_targets_learn_only_in_the_released_form() -> None:
    batch = make_batch(ITEMS)
    views = make_views(batch)
    clean, released = (
        gradients(made(detach_visual_teacher=detach)(views, batch)["sim"], views)["image"]
        for detach in (True, False)
    )
    assert not torch.allclose(clean, released)


def test_the_cycle_reaches_both_sides_and_no_image() -> None:
    batch = make_batch(ITEMS)
    views = make_views(batch)
    reached = gradients(made()(views, batch)["cycle"], views)
    assert set(reached) == {"text"}
    assert reached["text"][4:8].abs().sum() == 0
    assert (reached["text"][:4].abs().sum() > 0) and (reached["text"][8:].abs().sum() > 0)


@pytest.mark.parametrize(
    ("setting", "gone", "unneeded"),
    [
        ({"sim_loss": "off"}, {"sim"}, set()),
        ({"feat_loss": "off"}, {"feat"}, set()),
        ({"sim_loss": "off", "feat_loss": "off"}, {"sim", "feat"}, {"teacher"}),
        ({"cycle": False}, {"cycle"}, {"back"}),
        ({"adversary": "off"}, {"adversary"}, {"pooled"}),
    ],
)
def test_a_term_that_is_off_is_absent_and_needs_nothing(
    setting: dict[str, object], gone: set[str], unneeded: set[str]
) -> None:
    full, objective = made(), made(**setting)
    batch = make_batch(ITEMS, back="back" in objective.config.needs)
    views = make_views(batch)
    if "teacher" in unneeded:
        views = replace(views, teacher=None)
    if "pooled" in unneeded:
        views = replace(views, pooled=None, tokens=None)
    terms = objective(views, batch)
    assert set(full.weights) - set(terms) == gone
    assert set(full.config.needs) - set(objective.config.needs) == unneeded
    if gone == {"adversary"}:
        assert objective.opponent is None


def test_the_released_sum_is_the_mean_form_with_effective_weights() -> None:
    size, joint = 128, 32
    batch = make_batch(list(range(size)))
    views = make_views(batch, width=joint)
    released = load_recipe("nrccr_released")("en", ("pt",), "toy").loss
    assert (released.reduction, released.feat_loss) == ("sum", "smooth_l1")
    nominal = {"source": 1.0, "target": 0.6, "sim": 0.4, "feat": 0.1, "cycle": 0.5, "adversary": 0.001}
    effective = {"source": 1.0, "target": 0.6, "sim": 3.125e-3, "feat": 7.8125e-4, "cycle": 0.5}
    effective["adversary"] = 7.8125e-6
    totals = []
    for config, weights in ((released, nominal), (replace(released, reduction="mean"), effective)):
        torch.manual_seed(1)
        objective = build(config, 5)
        objective.weights = weights
        totals.append(objective.total(objective(views, batch)).item())
    assert totals[0] == pytest.approx(size * totals[1], rel=1e-6)
    # As 1 - cos, the feature term weighs 7.8125e-4 / (4 D).
    clean = build(replace(released, feat_loss="cos", reduction="mean"), 5)(views, batch)["feat"].item()
    smooth = build(released, 5)(views, batch)["feat"].item()
    assert smooth == pytest.approx(clean / (4 * joint), rel=1e-5)


def test_the_released_preset_does_what_the_authors_code_does() -> None:
    recipe = load_recipe("nrccr-released")("en", ("pt",), "toy")
    loss = recipe.loss
    assert (loss.contrast, loss.negatives, loss.discriminator_logits) == ("triplet", "diagonal", 2)
    assert (loss.detach_visual_teacher, loss.feat_detach_teacher) == (False, False)
    assert (recipe.dual.pool, recipe.dual.released_scale, recipe.dual.head_batch_norm) == ("all", True, True)
    assert (recipe.schedule, recipe.optimizer, recipe.clip) == ("nrccr", "adam", 2.0)


def test_other_contrasts_treat_captions_of_one_image_as_positives() -> None:
    batch = make_batch(ITEMS)
    views = make_views(batch)
    terms = made(cycle_contrast="info_nce", temperature=0.1)(views, batch)
    logits = views.text[:4] @ views.text[8:].T / 0.1
    same = (torch.tensor(ITEMS)[:, None] == torch.tensor(ITEMS)[None, :]).float()
    target = same / same.sum(1, keepdim=True)
    expected = -sum((target * logits.log_softmax(d)).sum(d).mean() for d in (0, 1)) / 2
    torch.testing.assert_close(terms["cycle"], expected)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"temperature": 0.9}, r"temperature must lie in \[0.001, 0.5\], got 0.9"),
        ({"sim_weight": -1}, "sim_weight must be 0 or more, got -1"),
        ({"cycle_weight": math.nan}, "cycle_weight must be 0 or more, got nan"),
    ],
)
def test_impossible_settings_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Config(**setting)  # type: ignore[arg-type]


def test_trust_weighs_the_pairs_of_every_term_that_reads_translations() -> None:
    batch = make_batch([0, 1, 2])
    weight = torch.tensor([1.0, 1, 1, 0.5, 0.2, 1, 0.5, 0.2, 1])
    views, weighted = make_views(batch), replace(batch, weight=weight)
    terms = build(Config(contrast="info_nce", cycle_contrast="cos"), 5)(views, weighted)
    assert views.teacher is not None
    shares = weight[3:6] / 1.7
    apart = 1 - (views.teacher * views.text[3:6]).sum(1)
    torch.testing.assert_close(terms["feat"], (shares * apart).sum())
    back = 1 - (views.text[:3] * views.text[6:9]).sum(1)
    torch.testing.assert_close(terms["cycle"], (shares * back).sum())
    taught = views.image @ views.teacher.T / 0.07
    learned = views.image @ views.text[3:6].T / 0.07
    rows = -(taught.softmax(1) * learned.log_softmax(1)).sum(1)
    columns = -(taught.softmax(0) * learned.log_softmax(0)).sum(0)
    torch.testing.assert_close(terms["sim"], (shares * (rows + columns)).sum() / 2)
    # One caption an image: rows and columns of the contrast both count by it.
    rows, columns = -learned.log_softmax(1).diagonal(), -learned.log_softmax(0).diagonal()
    torch.testing.assert_close(terms["target"], (shares * (rows + columns)).sum() / 2)
