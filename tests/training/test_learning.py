"""Does it learn, and what do shuffled translations cost? Only differences far beyond noise count."""

from __future__ import annotations

from pathlib import Path

from training_world import tiny, write_world

from dragoman.training import train

SETTINGS = {"steps": "100", "learning_rate": "0.01", "patience": "99", "validate_every": "10"}


def sum_r(folder: Path, recipe: str, shuffled: float, role: str = "mt") -> float:
    corpus = write_world(folder / "corpus", shuffled=shuffled, train=60, val=30, test=1)
    settings = SETTINGS | {"target_captions": role, "validation": "human"}
    return train(corpus, tiny(recipe, **settings), folder / "run", device="cpu").best


def test_shuffled_translations_cost_more_the_more_there_are(
    tmp_path: Path,
) -> None:
    plain = {rate: sum_r(tmp_path / f"plain{rate}", "translate_train", rate) for rate in (0.0, 0.2, 0.4, 0.6)}
    robust = {rate: sum_r(tmp_path / f"robust{rate}", "nrccr", rate) for rate in (0.0, 0.6)}
    print("SumR by share of shuffled translations:", {"translate_train": plain, "nrccr": robust})
    # Chance is about 80 of 600.
    assert plain[0.0] > 200
    assert plain[0.0] > plain[0.6] + 30
    assert plain[0.2] > plain[0.6]
    assert robust[0.0] > 200
