"""Steps over many languages: which captions meet, what a step costs, and how trust reaches them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from training_world import DE, EN, PT, edit_captions, tiny, write_world

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.training import train
from dragoman.training.augment import Augmentation
from dragoman.training.batches import BACK, HUMAN, MT, Step, StepPlan
from dragoman.training.config import TrustUse
from dragoman.training.samples import Choice, Samples, load_samples
from dragoman.training.validation import load_validation

TARGETS = ("pt", "de")
Rows = list[dict[str, Any]]


def make(
    corpus: Path, recipe: str = "one_to_k", targets: tuple[str, ...] = TARGETS, **settings: str
) -> StepPlan:
    config = tiny(recipe, targets, word_dropout="0", **settings)
    back = "back" in config.loss.needs
    samples = load_samples(Corpus.open(corpus), config, back=back)
    augmentation = Augmentation(word_dropout=0, synonyms=0, renderings=0, lexicons=())
    return StepPlan(samples=samples, config=config, back=back, augmentation=augmentation)


def step_of(plan: StepPlan, number: int = 0) -> tuple[Step, list[str]]:
    step = plan.step(number)
    return step, [step.texts[row] for row in step.row_of_text]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus", targets=TARGETS)


@pytest.fixture(scope="module")
def gappy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """German translations of the first caption of every second item only; Portuguese by two engines."""
    corpus = write_world(tmp_path_factory.mktemp("gappy") / "corpus", targets=TARGETS)

    def change(rows: Rows) -> Rows:
        kept = []
        for row in rows:
            german = row["role"] == "mt" and row["lang"] == "de" and row["item_id"].startswith("train")
            if german and (row["caption_id"].endswith("1") or int(row["item_id"][-1]) % 2):
                continue
            kept.append(row)
            if row["role"] == "mt" and row["lang"] == "pt":
                other = {"caption_id": row["caption_id"] + "x", "engine": "other"}
                kept.append(row | other | {"text": row["text"].upper(), "trust": 0.25})
        backs = {row["caption_id"] for row in kept}
        return [row for row in kept if row["role"] != "back" or row["source_id"] in backs]

    edit_captions(corpus, change)
    return corpus


def test_one_to_k_shows_an_image_with_one_caption_of_each_language(world: Path) -> None:
    plan = make(world, batch_size="10")
    assert plan.steps_per_epoch == 4  # 40 images
    step, texts = step_of(plan)
    batch = step.batch
    assert len(set(step.items)) == 10
    assert batch.lang.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert batch.role.tolist() == [HUMAN] * 10 + [MT] * 20
    assert batch.item.tolist() == [*range(10)] * 3 == batch.pair.tolist()
    for row in range(10):
        words = texts[row].split()
        assert texts[10 + row].split() == [PT[EN.index(word)] for word in words]
        assert texts[20 + row].split() == [DE[EN.index(word)] for word in words]


def test_every_image_comes_once_an_epoch_and_all_its_captions_get_their_turn(world: Path) -> None:
    plan = make(world, batch_size="8")
    seen: set[tuple[str, str]] = set()
    for epoch in range(12):
        found = [step_of(plan, 5 * epoch + number) for number in range(5)]
        items = [item for step, _ in found for item in step.items]
        assert len(items) == len(set(items)) == 40
        seen |= {
            (step.items[int(item)], texts[row])
            for step, texts in found
            for row, item in enumerate(step.batch.item[:8])
        }
    assert len(seen) == len(set(zip(plan.samples.item_id, plan.samples.source_text, strict=True)))


def test_a_random_language_stands_alone_for_its_image(world: Path) -> None:
    plan = make(world, "random_language", batch_size="40")
    counts: Counter[int] = Counter()
    for number in range(30):
        step, texts = step_of(plan, number)
        assert len(texts) == 40 and sorted(step.batch.item.tolist()) == [*range(40)]
        counts.update(step.batch.lang.tolist())
    # 400 draws each are expected; five standard deviations are 82.
    assert sorted(counts) == [0, 1, 2]
    assert all(abs(count - 400) < 82 for count in counts.values())


def test_pivot_adds_one_translation_to_each_source_caption(world: Path) -> None:
    plan = make(world, "pivot", batch_size="20")
    assert plan.steps_per_epoch == 4  # 80 source captions
    step, texts = step_of(plan)
    source = step.batch.rows(0)
    others = (step.batch.lang != 0).nonzero().squeeze(1)
    assert source.tolist() == [*range(20)] and len(others) == 20
    assert sorted(step.batch.pair[others].tolist()) == [*range(20)]
    assert set(step.batch.lang[others].tolist()) == {1, 2}
    for row in others.tolist():
        to = {1: PT, 2: DE}[int(step.batch.lang[row])]
        own = texts[int(step.batch.pair[row])]
        assert texts[row].split() == [to[EN.index(word)] for word in own.split()]


def test_the_source_alone_has_no_translation_in_any_step(world: Path) -> None:
    step, texts = step_of(make(world, "source_only", batch_size="10"))
    assert step.batch.lang.tolist() == [0] * 10 and len(texts) == 10
    assert step.batch.languages == ("en", "pt", "de")


def test_captions_may_lack_languages(gappy: Path) -> None:
    samples = make(gappy, engines="*").samples
    portuguese, german = samples.targets
    assert (portuguese.engines, german.engines) == (("other", "toy"), ("toy",))
    assert len(samples) == 80 and samples.dropped == 0
    assert sum(bool(choices) for choices in german.choices) == 20
    for source, choices in zip(samples.source_text, portuguese.choices, strict=True):
        translated = " ".join(PT[EN.index(word)] for word in source.split())
        assert choices == (Choice(translated.upper(), 0.25), Choice(translated, 1.0))


def test_an_image_takes_the_translation_of_another_of_its_captions(gappy: Path) -> None:
    plan = make(gappy, engines="*", batch_size="40")
    elsewhere = 0
    for number in range(3):
        step, texts = step_of(plan, number)
        rows = step.batch.rows(2)
        assert len(rows) == 20 and len(texts) == 100
        for row in rows.tolist():
            item, pair = int(step.batch.item[row]), int(step.batch.pair[row])
            (caption,) = (
                at
                for at, (item_id, choices) in enumerate(
                    zip(plan.samples.item_id, plan.samples.targets[1].choices, strict=True)
                )
                if item_id == step.items[item] and choices
            )
            assert texts[row] == plan.samples.targets[1].choices[caption][0].text
            # Another caption is another pair, whose source caption is not in the step.
            own = int(step.batch.pair[int((step.batch.item[:40] == item).nonzero()[0])])
            assert (pair == own) == (texts[own] == plan.samples.source_text[caption])
            elsewhere += pair != own
    assert 0 < elsewhere < 60


def test_captions_without_every_language_can_be_left_out_or_refused(gappy: Path) -> None:
    assert (len(make(gappy, engines="toy", incomplete="drop").samples)) == 20
    with pytest.raises(UserError, match="60 of 80 source captions have no translation into de by 'toy'"):
        make(gappy, engines="toy", incomplete="error")


def test_engines_may_fill_each_others_gaps(tmp_path: Path) -> None:
    corpus = write_world(tmp_path / "corpus", train=4)

    def change(rows: Rows) -> Rows:
        mt = [row for row in rows if row["role"] == "mt"]
        for row in mt[::2]:
            row["engine"] = "other"
        return rows

    edit_captions(corpus, change)
    complete = make(corpus, targets=("pt",), engines="*", incomplete="error").samples
    assert [len(choices) for choices in complete.targets[0].choices] == [1] * 8
    edit_captions(corpus, lambda rows: [row for row in rows if row["caption_id"] != "train002#pt-mt0"])
    with pytest.raises(UserError, match=r"1 of 8 .* into pt by any of other, toy\. .* incomplete=keep"):
        make(corpus, targets=("pt",), engines="*", incomplete="error")


def test_engines_are_chosen_by_language(gappy: Path) -> None:
    chosen = make(gappy, engines="toy,pt=other").samples
    assert [target.engines for target in chosen.targets] == [("other",), ("toy",)]
    with pytest.raises(UserError, match="Several engines wrote the translations from en into pt"):
        make(gappy)


def test_each_step_draws_among_the_engines(gappy: Path) -> None:
    _, texts = step_of(make(gappy, engines="*", batch_size="40"))
    upper = sum(text.isupper() for text in texts[40:80])
    assert 8 < upper < 32


@pytest.mark.parametrize("recipe", ["one_to_k", "random_language", "pivot", "translate_train"])
def test_the_text_budget_of_a_step_is_kept(gappy: Path, recipe: str) -> None:
    plan = make(gappy, recipe, engines="*", captions_per_step="24", incomplete="keep")
    largest = {"one_to_k": 3, "random_language": 1, "pivot": 2, "translate_train": 3}[recipe]
    counts = [len(step_of(plan, number)[1]) for number in range(plan.steps_per_epoch)]
    assert all(24 - largest < count < 24 + largest for count in counts)
    assert abs(sum(counts) - 24 * len(counts)) < largest
    # One more step would not have been full.
    whole = sum(plan._sizes)
    assert len(counts) == whole // 24


def test_ways_back_count_as_captions_of_the_budget(world: Path) -> None:
    plan = make(world, "nrccr", ("pt",), captions_per_step="36", back_share="0.25")
    step, texts = step_of(plan)
    assert (len(step.batch.rows(0)), len(step.batch.rows(1)), len(texts)) == (16, 16, 36)
    assert int((step.batch.role == BACK).sum()) == 4


def test_a_budget_below_one_unit_is_refused(world: Path) -> None:
    with pytest.raises(UserError, match=r"captions_per_step is 2, but one image brings up to 3\. Give room"):
        make(world, captions_per_step="2")


def test_extra_images_have_no_caption_and_do_not_repeat(world: Path) -> None:
    plain, _ = step_of(make(world, batch_size="10"))
    plan = make(world, batch_size="10", extra_images="7")
    step, texts = step_of(plan)
    assert step.items[:10] == plain.items and len(texts) == 30
    assert len(set(step.items)) == len(step.items) == 17
    assert int(step.batch.item.max()) == 9
    assert step_of(plan, 1)[0].items[10:] != step.items[10:]
    # Where there are not so many, all take part.
    most, _ = step_of(make(world, batch_size="10", extra_images="99"))
    assert sorted(most.items) == sorted(set(plan.samples.item_id))


def test_a_cycle_needs_its_own_source_captions() -> None:
    for settings in ({"unit": "image"}, {"always_source": "false"}):
        with pytest.raises(UserError, match="--set unit=caption --set always_source=true"):
            tiny("nrccr", **settings)


def test_draws_that_leave_nothing_are_refused() -> None:
    with pytest.raises(UserError, match=r"draw must be at least 1 \(0 is the source alone"):
        tiny("random_language", draw="0")


def test_trust_becomes_weights_and_confidences(gappy: Path) -> None:
    plain, _ = step_of(make(gappy, engines="other,de=toy"))
    assert plain.batch.weight is None and plain.batch.confidence is None
    edit_captions(gappy, lambda rows: [row | {"trust": row["trust"] or 0.05} for row in rows])
    both = {"trust.weight": "true", "trust.soft": "true", "engines": "other,de=toy"}
    step, _ = step_of(make(gappy, **both))
    expected = [{0: 1.0, 1: 0.25, 2: 0.1}[lang] for lang in step.batch.lang.tolist()]
    assert step.batch.weight is not None and step.batch.confidence is not None
    assert step.batch.weight.tolist() == pytest.approx(expected)
    assert step.batch.confidence.tolist() == pytest.approx(expected)


def test_distrusted_captions_can_be_left_out(gappy: Path) -> None:
    edit_captions(gappy, lambda rows: [row | {"trust": row["trust"] or 0.05} for row in rows])
    samples: Samples = make(gappy, engines="*", **{"trust.drop_below": "0.2"}).samples
    assert samples.distrusted == 80 + 20 and len(samples) == 80
    assert {choice.trust for choices in samples.targets[0].choices for choice in choices} == {0.25}
    assert not any(samples.targets[1].choices)


def test_shuffled_scores_are_the_same_scores_elsewhere(gappy: Path) -> None:
    edit_captions(gappy, lambda rows: [row | {"trust": 0.001 * (at % 997)} for at, row in enumerate(rows)])
    found = [
        [
            choice.trust
            for choices in make(gappy, engines="*", **more).samples.targets[0].choices
            for choice in choices
        ]
        for more in ({}, {"trust.shuffled": "true", "trust.weight": "true"})
    ]
    assert found[0] != found[1] and sorted(found[0]) == sorted(found[1])


def test_unscored_captions_cannot_be_weighed(world: Path) -> None:
    with pytest.raises(
        UserError, match=f"80 of 80 pt translations have no trust score.* dragoman trust {world}"
    ):
        make(world, **{"trust.weight": "true"})


def test_weights_have_a_floor() -> None:
    trust = torch.tensor([0.0, 0.5, 1.0])
    assert TrustUse().weights(trust) is None and TrustUse().confidences(trust) is None
    found = TrustUse(weight=True, floor=0.3).weights(trust)
    assert found is not None and found.tolist() == pytest.approx([0.3, 0.5, 1.0])
    for settings, message in (({"floor": 0.0}, "trust.floor must lie"), ({"drop_below": 2.0}, "drop_below")):
        with pytest.raises(UserError, match=message):
            TrustUse(**settings)  # type: ignore[arg-type]


def test_validation_ranks_a_spread_of_captions(world: Path) -> None:
    corpus = Corpus.open(world)
    whole = load_validation(corpus, tiny("one_to_k", TARGETS)).queries["pt"]
    some = load_validation(corpus, tiny("one_to_k", TARGETS, validation_captions="6")).queries["pt"]
    assert len(whole[0]) == 24
    assert some == tuple([part[at] for at in (0, 4, 8, 12, 16, 20)] for part in whole)


@pytest.mark.parametrize(
    "recipe", ["one_to_k", "one_to_k_released", "random_language", "per_language", "pivot", "dragoman"]
)
def test_every_recipe_learns_the_toy_world(world: Path, tmp_path: Path, recipe: str) -> None:
    settings = {"epochs": "25", "learning_rate": "6e-3", "validate_every": "40"}
    corpus = world
    if recipe == "dragoman":
        corpus = write_world(tmp_path / "corpus", targets=TARGETS)
        edit_captions(corpus, lambda rows: [row | {"trust": 0.5} for row in rows])
        settings["captions_per_step"] = "8"
    report = train(corpus, tiny(recipe, TARGETS, **settings), tmp_path / "run", device="cpu")
    # 12 images: chance is about 250.
    assert report.best > 320


def test_the_last_model_is_kept_where_it_is_asked_for(world: Path, tmp_path: Path) -> None:
    settings = {"epochs": "3", "select": "last", "validate_every": "1"}
    report = train(world, tiny("one_to_k", TARGETS, **settings), tmp_path / "run", device="cpu")
    assert report.best_step == report.steps
