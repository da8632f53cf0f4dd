"""Toy values and gradient routes of both distillations."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dragoman.objectives.losses.distil import SoftTargets, feature_distillation, similarity_distillation

IMAGE = torch.tensor([[1.0, 0], [0, 1]])
TEACHER = torch.tensor([[0.8, 0.6], [0.6, 0.8]])
STUDENT = torch.tensor([[0.6, 0.8], [0, 1.0]])
HALF = SoftTargets(temperature=0.5)


def gradient(loss: Tensor, of: Tensor) -> Tensor | None:
    return torch.autograd.grad(loss, of, allow_unused=True)[0]


def test_both_forms_have_the_published_values() -> None:
    assert similarity_distillation(IMAGE, TEACHER, STUDENT, HALF).item() == pytest.approx(0.775110, abs=1e-6)
    kl = similarity_distillation(IMAGE, TEACHER, STUDENT, SoftTargets(temperature=0.5, form="kl"))
    assert kl.item() == pytest.approx(0.101570, abs=1e-6)


def test_both_directions_are_averaged() -> None:
    share, logits = (IMAGE @ TEACHER.T / 0.5), (IMAGE @ STUDENT.T / 0.5)
    to_text = -(share.softmax(1) * logits.log_softmax(1)).sum(1).mean().item()
    to_image = -(share.softmax(0) * logits.log_softmax(0)).sum(0).mean().item()
    assert (to_text, to_image) == pytest.approx((0.709199, 0.841022), abs=1e-6)


def test_a_student_equal_to_its_teacher_has_the_entropy_left() -> None:
    assert similarity_distillation(IMAGE, TEACHER, TEACHER, HALF).item() == pytest.approx(0.673540, abs=1e-6)
    kl = similarity_distillation(IMAGE, TEACHER, TEACHER, SoftTargets(temperature=0.5, form="kl"))
    assert kl.item() == pytest.approx(0, abs=1e-6)


def test_no_gradient_reaches_the_teacher() -> None:
    image, teacher, student = (t.clone().requires_grad_() for t in (IMAGE, TEACHER, STUDENT))
    for detach in (True, False):
        targets = SoftTargets(temperature=0.5, detach_image=detach)
        loss = similarity_distillation(image, teacher, student, targets)
        assert gradient(loss, teacher) is None


def test_images_learn_through_the_targets_only_when_asked() -> None:
    image = IMAGE.clone().requires_grad_()
    by_flag = {}
    for detach in (True, False):
        how = SoftTargets(temperature=0.5, detach_image=detach)
        by_flag[detach] = gradient(similarity_distillation(image, TEACHER, STUDENT, how), image)
    targets = IMAGE @ TEACHER.T / 0.5
    logits = image @ STUDENT.T / 0.5
    constant = -sum((targets.softmax(d) * logits.log_softmax(d)).sum(d).mean() for d in (0, 1)) / 2
    torch.testing.assert_close(by_flag[True], gradient(constant, image))
    moving = image @ TEACHER.T / 0.5
    logits = image @ STUDENT.T / 0.5
    both = -sum((moving.softmax(d) * logits.log_softmax(d)).sum(d).mean() for d in (0, 1)) / 2
    torch.testing.assert_close(by_flag[False], gradient(both, image))
    assert not torch.allclose(by_flag[True], by_flag[False])


def test_equal_weights_change_nothing_and_a_zero_leaves_the_pair_out() -> None:
    plain = similarity_distillation(IMAGE, TEACHER, STUDENT, HALF)
    weighted = similarity_distillation(IMAGE, TEACHER, STUDENT, HALF, weight_N=torch.tensor([0.4, 0.4]))
    torch.testing.assert_close(plain, weighted)
    first = similarity_distillation(IMAGE, TEACHER, STUDENT, HALF, weight_N=torch.tensor([1.0, 0]))
    share, logits = (IMAGE @ TEACHER.T / 0.5), (IMAGE @ STUDENT.T / 0.5)
    expected = [-(share.softmax(d) * logits.log_softmax(d)).sum(d)[0].item() for d in (0, 1)]
    assert first.item() == pytest.approx(sum(expected) / 2, abs=1e-6)


def test_feature_distillation_has_the_published_values() -> None:
    student, teacher = torch.tensor([[1.0, 0]]), torch.tensor([[0.6, 0.8]])
    assert feature_distillation(teacher, student).item() == pytest.approx(0.4, abs=1e-6)
    smooth = feature_distillation(teacher, student, form="smooth_l1")
    assert smooth.item() == pytest.approx((1 - 0.6) / (4 * 2), abs=1e-6)


@pytest.mark.parametrize("form", ["cos", "smooth_l1"])
def test_the_teacher_of_features_learns_only_when_asked(form: str) -> None:
    teacher, student = torch.tensor([[0.6, 0.8]], requires_grad=True), torch.tensor([[1.0, 0]])
    student.requires_grad_()
    still = feature_distillation(teacher, student, form=form)  # type: ignore[arg-type]
    assert gradient(still, teacher) is None
    moving = feature_distillation(teacher, student, form=form, detach_teacher=False)  # type: ignore[arg-type]
    found = gradient(moving, teacher)
    assert found is not None and math.isfinite(found.sum().item()) and found.abs().sum() > 0
