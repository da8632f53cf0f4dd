"""Labels of machine captions that are learned while training, in the place of the scores of `dragoman trust`.

A label in 0..1 says how surely a caption belongs to its image. All begin at 1. A step measures the captions
that it holds against one another, each language by itself; after an epoch the labels follow from what its
steps have measured.

`gsc` is geometrical structure consistency (Zhao et al., CVPR 2024, arXiv 2405.16996), `ncr` is the label of
noisy correspondence rectifier (Huang et al., NeurIPS 2021), both as in the authors' code, but for three
things. Other captions of an image are no negatives of its caption. Similarities of images, and of texts, are
cosines, less than 0 being 0, where the authors learn a network for them. NCR has one network, which measures
while it trains, and not two, each of which picks captions for the other.

M machine captions of the run, N of one language in a step, J joint width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dragoman.errors import UserError
from dragoman.objectives.contract import Batch, Views
from dragoman.records import ROLES
from dragoman.training.config import TrainConfig
from dragoman.training.samples import Choice, Samples

MT = ROLES.index("mt")
TEMPERATURE, NEWEST = 0.07, 0.7
"""Divisor of similarities, and the part of the last epoch in moving averages (GSC)."""
MARGIN, CLEAN = 0.2, 0.5
"""Margin of the hinge, and the probability above which a caption counts as clean (NCR)."""
MOVES, ROUNDS, TOLERANCE, LEAST_VARIANCE = 100, 10, 1e-2, 5e-4
"""Limits of the mixture: moves of the two means that it begins with, rounds, the gain in mean log-likelihood
below which it stops, and what is added to variances."""
FLAT = 1e-6
"""Values that differ by less are one value, whose differences are rounding."""


class Pairs(NamedTuple):
    """The machine captions of one language in a step, each with its image."""

    number: Tensor
    """[N] among the M of the run, on the CPU."""
    image: Tensor
    """[N, J], unit length."""
    text: Tensor
    """[N, J], unit length."""
    same: Tensor
    """[N, N] true where two captions are of one image."""


class LabelMemory:
    """One label for each machine caption of a run, by engine, and what the epoch has measured so far."""

    def __init__(self, config: TrainConfig, samples: Samples) -> None:
        """Begin with labels of 1. The captions must be numbered (`load_samples`)."""
        self.trust = config.trust
        self.numbers = {
            target.lang: np.array([one.number for some in target.choices for one in some], np.int64)
            for target in samples.targets
        }
        count = sum(map(len, self.numbers.values()))
        # Which label a caption has: its own, or (control) that of any other of its language.
        self._whose = np.arange(count)
        if self.trust.shuffled:
            draws = np.random.default_rng([config.seed, 7])
            for numbers in self.numbers.values():
                self._whose[numbers] = draws.permutation(numbers)
        blank = torch.full((count, 2), torch.nan)
        self.load_state_dict({"label": torch.ones(count), "average": torch.ones(count, 2), "seen": blank})

    def state_dict(self) -> dict[str, Tensor]:
        """Return labels [M], moving averages [M, 2] (GSC) and the measures of this epoch [M, 2], NaN where
        there is none."""
        return {"label": self._label, "average": self._average, "seen": self._seen}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go back to what `state_dict` gave. Raises ValueError where it has other captions."""
        label, average, seen = (state[name] for name in ("label", "average", "seen"))
        if len(label) != len(self._whose):
            raise ValueError(f"it has labels of {len(label)} captions, and the run {len(self._whose)}")
        self._label, self._average, self._seen = label.clone(), average.clone(), seen.clone()
        self._used: list[float] = self._label.numpy()[self._whose].tolist()

    def of(self, choice: Choice) -> float:
        """Return the label that stands for the trust of a caption, in 0..1."""
        return self._used[choice.number]

    def kept(self, choices: tuple[Choice, ...]) -> tuple[Choice, ...]:
        """Return those that are not left out as their labels are too low."""
        least = self.trust.drop_below
        return tuple(choice for choice in choices if self.of(choice) >= least) if least else choices

    def means(self) -> dict[str, float]:
        """Return the mean label of each language."""
        label = self._label.numpy()
        return {lang: float(label[numbers].mean()) for lang, numbers in self.numbers.items() if len(numbers)}

    @torch.no_grad()
    def observe(self, views: Views, batch: Batch, number: Tensor) -> None:
        """Measure the captions of a step; `number` [T] says which they are, on the CPU."""
        for pairs in _pairs(views, batch, number):
            similarity_NN = pairs.image @ pairs.text.T
            if self.trust.learn == "gsc":
                image_NN, text_NN = self._scaled(pairs)
                found = consistency(image_NN, text_NN), shares(similarity_NN, pairs.same)
            else:
                hinge_N = hinges(similarity_NN, pairs.same)
                found = hinge_N, predicted(hinge_N)
            self._seen[pairs.number] = torch.stack(found, dim=1).float().cpu()

    def geometry_loss(self, views: Views, batch: Batch, number: Tensor) -> Tensor | None:
        """Return the loss of geometry (GSC), the mean of label × cross-entropy; None without captions."""
        found = []
        for pairs in _pairs(views, batch, number):
            losses_N = geometry_losses(*self._scaled(pairs), pairs.same)
            found.append(self._label[pairs.number].to(losses_N.device) * losses_N)
        return torch.cat(found).mean() if found else None

    def _scaled(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        label_N = self._label[pairs.number].to(pairs.text.device)
        return scaled(pairs.image, label_N), scaled(pairs.text, label_N)

    def refreshed(self) -> dict[str, Tensor]:
        """Return the state after an epoch. A caption that no step held keeps its label.

        Raises UserError where no caption of a language would be left to learn from.
        """
        label, average = self._label.numpy().copy(), self._average.numpy().copy()
        seen = self._seen.numpy()
        for lang, numbers in self.numbers.items():
            here = numbers[~np.isnan(seen[numbers, 0])]
            if not len(here):
                continue
            signal, share = seen[here].T.astype(np.float64)
            if self.trust.learn == "gsc":
                average[here] = averaged(higher_component(signal), share, average[here])
                label[here] = average[here].min(axis=1)
            else:
                label[here] = rectified(higher_component(-signal), share)
            if label[numbers].max() < self.trust.drop_below:
                raise UserError(
                    f"All {lang} captions have learned labels below trust.drop_below="
                    f"{self.trust.drop_below:g}, the highest {label[numbers].max():.3f}: lower it, or weigh "
                    "instead: --set trust.weight=true --set trust.drop_below=0"
                )
        return {
            "label": torch.from_numpy(label),
            "average": torch.from_numpy(average),
            "seen": torch.full_like(self._seen, torch.nan),
        }


def _pairs(views: Views, batch: Batch, number: Tensor) -> Iterator[Pairs]:
    """Yield the machine captions of each language that has several in the step."""
    for lang in range(1, len(batch.languages)):
        rows = ((batch.lang == lang) & (batch.role == MT)).nonzero().squeeze(1)
        if len(rows) > 1:
            item = batch.item[rows]
            image, text = views.image[item].float(), views.text[rows].float()
            yield Pairs(number[rows.cpu()], image, text, item[:, None] == item[None, :])


def scaled(vectors_NJ: Tensor, label_N: Tensor) -> Tensor:
    """Similarities [N, N] in 0..1 of unit vectors to one another, each column times its label."""
    return (vectors_NJ @ vectors_NJ.T).clamp(0, 1) * label_N


def consistency(image_NN: Tensor, text_NN: Tensor) -> Tensor:
    """Cosine [N] in 0..1 of the rows of an image and of its text: do both lie to the others alike?"""
    return F.cosine_similarity(image_NN, text_NN, dim=1)


def geometry_losses(image_NN: Tensor, text_NN: Tensor, same_NN: Tensor) -> Tensor:
    """Cross-entropy [N] by which the row of an image finds the row of its own text, at temperature 1."""
    logits_NN = (image_NN @ text_NN.T).masked_fill(_others(same_NN), -torch.inf)
    return F.cross_entropy(logits_NN, torch.arange(len(logits_NN), device=logits_NN.device), reduction="none")


def shares(similarity_NN: Tensor, same_NN: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Softmax probability [N] of the own partner, the mean of both directions."""
    logits_NN = (similarity_NN / temperature).masked_fill(_others(same_NN), -torch.inf)
    return (logits_NN.softmax(dim=1).diagonal() + logits_NN.softmax(dim=0).diagonal()) / 2


def hinges(similarity_NN: Tensor, same_NN: Tensor) -> Tensor:
    """Sum [N] of the mean hinges of a pair in both directions, over all N, the own place being 0."""
    own_N = similarity_NN.diagonal()
    rows_NN, columns_NN = (
        (MARGIN + similarity_NN - own).clamp(min=0).masked_fill(same_NN, 0)
        for own in (own_N[:, None], own_N[None, :])
    )
    return rows_NN.mean(dim=1) + columns_NN.mean(dim=0)


def predicted(hinge_N: Tensor) -> Tensor:
    """NCR's guess of labels [N]: what a pair leaves of the margin, over the mean of the best tenth."""
    left_N = (MARGIN - hinge_N / 2).clamp(0, MARGIN)
    best = left_N.topk(len(left_N) // 10 + 1).values.mean()
    return left_N / best.clamp(min=1e-12)


def averaged(
    clean_M: NDArray[np.float64], share_M: NDArray[np.float64], before_M2: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Moving averages [M, 2] of GSC, of the probability to be clean and of the softmax probability; the
    smaller one of the two is the label."""
    found: NDArray[np.float64] = NEWEST * np.stack([clean_M, share_M], axis=1) + (1 - NEWEST) * before_M2
    return found


def rectified(clean_M: NDArray[np.float64], guess_M: NDArray[np.float64]) -> NDArray[np.float64]:
    """NCR's labels [M]: the guess for noisy captions; for clean ones 1 and the guess, mixed."""
    mixed_M = np.where(clean_M > CLEAN, clean_M + (1 - clean_M) * guess_M, guess_M)
    return np.clip(mixed_M, 0, 1)


def higher_component(values_M: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability [M] of each value to come from the component with the higher mean, of a mixture of two
    Gaussians over the values scaled to 0..1; 1 where all are equal.

    Expectation and maximisation begin with two means, which begin with the lowest and the highest value.
    """
    least, spread = values_M.min(), np.ptp(values_M)
    if not spread > FLAT:
        return np.ones(len(values_M))
    scaled_M = (values_M - least) / spread
    fit, before = _maximised(scaled_M, _two_means(scaled_M)), -np.inf
    for _ in range(ROUNDS):
        share_2M, likelihood = _expected(scaled_M, fit)
        fit = _maximised(scaled_M, share_2M)
        if abs(likelihood - before) < TOLERANCE:
            break
        before = likelihood
    share_2M, _ = _expected(scaled_M, fit)
    found: NDArray[np.float64] = share_2M[np.argmax(fit[1])]
    return found


def _two_means(values_M: NDArray[np.float64]) -> NDArray[np.float64]:
    """[2, M] 1 for the nearer one of two means of values in 0..1, of which 0 and 1 are among them."""
    high_M = values_M > 0.5
    # Neither side is ever empty, as the middle of two means lies between 0 and 1.
    for _ in range(MOVES):
        moved_M = values_M > (values_M[high_M].mean() + values_M[~high_M].mean()) / 2
        if np.array_equal(moved_M, high_M):
            break
        high_M = moved_M
    return np.stack([~high_M, high_M]).astype(np.float64)


def _maximised(values_M: NDArray[np.float64], share_2M: NDArray[np.float64]) -> NDArray[np.float64]:
    """[3, 2] weights, means and variances."""
    count_2 = share_2M.sum(axis=1) + 1e-12
    mean_2 = share_2M @ values_M / count_2
    variance_2 = (share_2M * (values_M - mean_2[:, None]) ** 2).sum(axis=1) / count_2 + LEAST_VARIANCE
    return np.stack([count_2 / len(values_M), mean_2, variance_2])


def _expected(
    values_M: NDArray[np.float64], fit_32: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Shares of the components [2, M], and the mean log-likelihood."""
    weight_2, mean_2, variance_2 = fit_32[:, :, None]
    log_2M = np.log(weight_2) - (np.log(2 * np.pi * variance_2) + (values_M - mean_2) ** 2 / variance_2) / 2
    log_M = np.logaddexp(log_2M[0], log_2M[1])
    return np.exp(log_2M - log_M), float(log_M.mean())


def _others(same_NN: Tensor) -> Tensor:
    """[N, N] true at other captions of the same image."""
    return same_NN & ~torch.eye(len(same_NN), dtype=torch.bool, device=same_NN.device)
