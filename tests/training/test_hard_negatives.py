"""Hard negatives: which items look alike, and that they meet in one step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from training_world import tiny, write_world

from dragoman.corpus import Corpus
from dragoman.corpus.features import FeatureSet, write_features
from dragoman.training import batches, train
from dragoman.training.augment import Augmentation
from dragoman.training.batches import StepPlan, nearest_items, side_by_side
from dragoman.training.config import TrainConfig
from dragoman.training.samples import load_samples


def nearest_one_by_one(vectors: list[NDArray[np.float64]]) -> list[list[int]]:
    """The places of all others by their cosine, for every vector."""
    middle = np.mean(vectors, axis=0)
    found = []
    for row, vector in enumerate(vectors):
        cosine = {}
        for other, seen in enumerate(vectors):
            if other != row:
                one, two = vector - middle, seen - middle
                cosine[other] = float(one @ two / np.sqrt((one @ one) * (two @ two)))
        found.append(sorted(cosine, key=lambda other: -cosine[other]))
    return found


def follow_one_by_one(order: list[int], item: list[int], nearest: list[list[int]]) -> list[int]:
    left, found = list(order), []
    while left:
        unit = left.pop(0)
        found.append(unit)
        for near in nearest[item[unit]]:
            partners = [other for other in left if item[other] == near]
            if partners:
                left.remove(partners[0])
                found.append(partners[0])
                break
    return found


def test_near_images_are_those_of_a_plain_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "BLOCK", 7)
    vectors = np.random.default_rng(3).standard_normal((30, 5)).astype(np.float16)
    ids = [f"item{row}" for row in range(30)]
    write_features(tmp_path / "set", ids, vectors, inputs={})
    chosen = ids[::-1][:25]
    found = nearest_items(FeatureSet.open(tmp_path / "set"), chosen)
    expected = nearest_one_by_one([vectors[29 - place].astype(np.float64) for place in range(25)])
    assert found.tolist() == [others[: batches.NEAREST] for others in expected]


def test_a_clip_is_nearest_to_its_reversal(tmp_path: Path) -> None:
    draws = np.random.default_rng(4)
    clips = [draws.standard_normal((int(draws.integers(2, 6)), 8)) for _ in range(6)]
    videos = [one for clip in clips for one in (clip, clip[::-1])]
    write_features(tmp_path / "set", [f"clip{at}" for at in range(12)], videos, layout="frames", inputs={})
    found = nearest_items(FeatureSet.open(tmp_path / "set"), [f"clip{at}" for at in range(12)])
    assert found[:, 0].tolist() == [at + 1 if at % 2 == 0 else at - 1 for at in range(12)]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_items_have_fewer_near_ones(tmp_path: Path, count: int) -> None:
    ids = [f"item{row}" for row in range(count)]
    write_features(tmp_path / "set", ids, np.eye(count, 4), inputs={})
    found = nearest_items(FeatureSet.open(tmp_path / "set"), ids)
    assert [sorted(row) for row in found.tolist()] == [
        [other for other in range(count) if other != row] for row in range(count)
    ]


def test_units_are_followed_by_those_of_near_items() -> None:
    # Items 0 and 1 are near each other, item 2 is nearest to 1, then to 0.
    nearest = np.array([[1, 2], [0, 2], [1, 0]])
    item = np.array([0, 0, 1, 2, 2])
    # 3 (item 2) takes 2 (item 1); 4 (item 2) finds item 1 used up and takes 0 (item 0); 1 is left alone.
    assert side_by_side(np.array([3, 0, 4, 2, 1]), item, nearest).tolist() == [3, 2, 0, 4, 1]
    assert side_by_side(np.array([3, 4, 0, 2, 1]), item, nearest).tolist() == [3, 2, 4, 0, 1]


@given(st.data())
def test_the_order_is_that_of_a_plain_walk(data: st.DataObject) -> None:
    items = data.draw(st.integers(1, 6))
    item = data.draw(st.lists(st.integers(0, items - 1), min_size=1, max_size=20))
    order = data.draw(st.permutations(range(len(item))))
    nearest = [
        data.draw(st.permutations([other for other in range(items) if other != row]))[:3]
        for row in range(items)
    ]
    found = side_by_side(np.array(order), np.array(item), np.array(nearest).reshape(items, -1))
    assert found.tolist() == follow_one_by_one(order, item, nearest)


def plan_of(folder: Path, **settings: str) -> StepPlan:
    corpus = Corpus.open(folder)
    config = tiny("translate_train", ("pt",), word_dropout="0", **settings)
    samples = load_samples(corpus, config, back=False)
    return StepPlan(
        samples=samples,
        config=config,
        back=False,
        augmentation=Augmentation(word_dropout=0, synonyms=0, renderings=0, lexicons=()),
        nearest=nearest_items(corpus.features(config.features), samples.items),
    )


def test_an_epoch_has_every_unit_once_and_near_ones_in_one_step(tmp_path: Path) -> None:
    plan = plan_of(write_world(tmp_path / "corpus"), batch_size="2")
    assert plan.nearest is not None and plan.steps_per_epoch == 40
    place = {item_id: at for at, item_id in enumerate(plan.samples.items)}

    def near(chosen: StepPlan, epoch: int) -> int:
        """Steps of two units whose second looks like the first."""
        assert plan.nearest is not None
        steps = [chosen._units_of(epoch, position) for position in range(40)]
        assert sorted(unit for step in steps for unit in step) == list(range(80))
        pairs = [[place[plan.samples.item_id[unit]] for unit in step] for step in steps]
        return sum(second in plan.nearest[first] for first, second in pairs)

    for epoch in range(2):
        # The last units of an epoch find their near items used up; by chance a fifth of the steps would do.
        assert near(plan, epoch) >= 34 and near(replace(plan, nearest=None), epoch) <= 16
    assert plan._units_of(0, 0) != plan._units_of(1, 0)


def test_training_with_hard_negatives_orders_its_steps_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, seen = write_world(tmp_path / "corpus"), []

    def noting(features: FeatureSet, item_ids: list[str]) -> NDArray[np.int64]:
        seen.append((features.folder.name, item_ids))
        return nearest_items(features, item_ids)

    monkeypatch.setattr("dragoman.training.loop.nearest_items", noting)
    short = {"steps": "2", "validate_every": "1000"}

    def trained(name: str, **settings: str) -> TrainConfig:
        config = tiny("translate_train", ("pt",), **short | settings)
        train(folder, config, tmp_path / name)
        return config

    trained("plain")
    assert not seen
    config = trained("hard", hard_negatives="true")
    assert seen == [(config.features, load_samples(Corpus.open(folder), config, back=False).items)]
    models = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("plain", "hard")]
    assert models[0] != models[1]
