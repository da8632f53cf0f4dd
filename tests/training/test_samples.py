"""What a run learns from, and what it says when something is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from training_world import DE, EN, PT, edit_captions, tiny, write_captions, write_world

from checksums import without_checksums
from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.objectives.contract import Batch
from dragoman.training import train
from dragoman.training.augment import Augmentation
from dragoman.training.batches import BACK, HUMAN, MT, Step, StepPlan
from dragoman.training.samples import Choice, Samples, load_samples
from left_out import lacking_vectors


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world") / "corpus", targets=("pt", "de"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_world(tmp_path / "corpus", train=6, val=4, test=2)


def samples_of(
    corpus: Path, recipe: str = "nrccr", targets: tuple[str, ...] = ("pt",), **settings: str
) -> Samples:
    config = tiny(recipe, targets, **settings)
    return load_samples(Corpus.open(corpus), config, back="back" in config.loss.needs)


def plan_of(
    samples: Samples,
    *,
    back: bool = True,
    size: int = 8,
    word_dropout: float = 0.0,
    seed: int = 1,
    recipe: str = "nrccr",
    **settings: str,
) -> StepPlan:
    augmentation = Augmentation(word_dropout=word_dropout, synonyms=0, renderings=0, lexicons=())
    plain = {"batch_size": str(size), "back_share": "1", "seed": str(seed)}
    targets = tuple(target.lang for target in samples.targets)
    return StepPlan(
        samples=samples,
        config=tiny(recipe if len(targets) == 1 else "one_to_k", targets, **plain | settings),
        back=back,
        augmentation=augmentation,
    )


def texts_of(step: Step) -> list[list[str]]:
    """The words of each text of the step."""
    return [step.texts[row].split() for row in step.row_of_text]


def translated(text: str, words: tuple[str, ...] = PT) -> str:
    return " ".join(words[EN.index(word)] for word in text.split())


def test_every_source_caption_has_its_own_translation_and_way_back(world: Path) -> None:
    samples = samples_of(world)
    assert (len(samples), samples.dropped) == (80, 0)
    target = samples.targets[0]
    assert (target.lang, target.engines) == ("pt", ("toy",))
    for source, choices in zip(samples.source_text, target.choices, strict=True):
        assert choices == (Choice(translated(source), 1.0, source.rsplit(" ", 1)[0]),)


def test_several_languages_stand_beside_one_source(world: Path) -> None:
    samples = samples_of(world, "translate_train", ("pt", "de"))
    for number, source in enumerate(samples.source_text):
        assert [target.choices[number] for target in samples.targets] == [
            (Choice(translated(source)),),
            (Choice(translated(source, DE)),),
        ]


def test_trust_is_handed_on(corpus: Path) -> None:
    edit_captions(
        corpus, lambda rows: [row | {"trust": 0.25 if row["role"] == "mt" else None} for row in rows]
    )
    (target,) = samples_of(corpus).targets
    assert [choice.trust for choices in target.choices for choice in choices] == [0.25] * 12


def test_the_oracle_learns_from_human_captions_alone(world: Path) -> None:
    samples = samples_of(world, "translate_train", target_captions="human")
    captions = pq.read_table(world / "captions.parquet").to_pylist()
    human = {
        (row["item_id"], row["text"]) for row in captions if row["role"] == "human" and row["lang"] == "pt"
    }
    machine = {row["text"] for row in captions if row["role"] != "human"}
    target = samples.targets[0]
    assert target.engines == ()
    for item, choices in zip(samples.item_id, target.choices, strict=True):
        assert {(item, choice.text) for choice in choices} <= human
        assert not machine & {choice.text for choice in choices}
        assert {choice.back for choice in choices} == {None}
    assert not machine & set(samples.all_texts())


def test_the_oracle_draws_among_all_human_captions_of_the_item(world: Path) -> None:
    plan = plan_of(samples_of(world, "translate_train", target_captions="human"), back=False, size=80)
    drawn: dict[str, set[str]] = {}
    for number in range(12):
        step = plan.step(number)
        rows = step.batch.rows(1)
        assert step.batch.role[rows].tolist() == [HUMAN] * 80
        for row in rows.tolist():
            text = step.texts[step.row_of_text[row]]
            drawn.setdefault(step.items[step.batch.item[row]], set()).add(text)
    assert len(drawn) == 40
    assert min(len(texts) for texts in drawn.values()) == 2


def test_both_learns_from_human_captions_of_the_item_beside_the_translations(world: Path) -> None:
    machine = samples_of(world, "translate_train").targets[0]
    oracle = samples_of(world, "translate_train", target_captions="human").targets[0]
    both = samples_of(world, "translate_train", target_captions="both")
    (target,) = both.targets
    assert target.engines == ("toy",)
    assert target.choices == [
        (*human, *translated) for human, translated in zip(oracle.choices, machine.choices, strict=True)
    ]
    assert {choice.human for choices in oracle.choices for choice in choices} == {True}
    assert {choice.human for choices in machine.choices for choice in choices} == {False}
    plan = plan_of(both, back=False, size=80)
    roles = {role for number in range(4) for role in plan.step(number).batch.role[80:].tolist()}
    assert roles == {HUMAN, MT}


def test_both_takes_a_language_that_people_alone_wrote_and_captions_that_a_machine_alone_wrote(
    tmp_path: Path,
) -> None:
    world = write_world(tmp_path / "corpus", targets=("pt", "de"))

    def without(role: str, keep: int) -> None:
        seen = 0

        def kept(row: dict[str, Any]) -> bool:
            nonlocal seen
            seen += row["role"] == role and row["lang"] == "pt"
            return row["role"] != role or row["lang"] != "pt" or seen <= keep

        edit_captions(world, lambda rows: [row for row in rows if kept(row)])

    without("human", 1)
    (target,) = samples_of(world, "translate_train", target_captions="both").targets
    lengths = [len(choices) for choices in target.choices]
    # One item of two source captions has the one human caption that is left.
    assert (lengths.count(2), lengths.count(1)) == (2, 78)
    edit_captions(world, lambda rows: [row for row in rows if row["role"] == "human"])
    (target,) = samples_of(world, "translate_train", target_captions="both", incomplete="keep").targets
    assert [len(choices) for choices in target.choices].count(1) == 2
    edit_captions(world, lambda rows: [row for row in rows if row["lang"] == "en"])
    message = failure(world, "translate_train", target_captions="both", incomplete="keep")
    assert "human pt captions" in message
    assert "Human target captions have no back-translations" in failure(world, target_captions="both")


def test_a_translation_that_a_person_corrected_is_not_learned_from(tmp_path: Path) -> None:
    world = write_world(tmp_path / "corpus")
    before = samples_of(world, "translate_train", target_captions="both").targets[0].choices
    item_id, wrong = samples_of(world, "translate_train").item_id[0], before[0][-1].text
    assert not before[0][-1].human

    table = pq.read_table(world / "captions.parquet")
    corrects = [
        wrong if row["item_id"] == item_id and row["lang"] == "pt" and row["role"] == "human" else None
        for row in table.to_pylist()
    ]
    assert any(corrects)
    pq.write_table(
        table.append_column("corrects", pa.array(corrects, pa.string())), world / "captions.parquet"
    )
    without_checksums(world)
    after = samples_of(world, "translate_train", target_captions="both").targets[0].choices
    assert after[0] == before[0][:-1]
    assert after[2:] == before[2:]


def test_a_step_lists_texts_by_item_pair_language_and_role(world: Path) -> None:
    samples = samples_of(world)
    step = plan_of(samples).step(3)
    batch: Batch = step.batch
    assert batch.languages == ("en", "pt")
    assert batch.role.tolist() == [HUMAN] * 8 + [MT] * 8 + [BACK] * 8
    assert batch.lang.tolist() == [0] * 8 + [1] * 8 + [0] * 8
    assert batch.pair.tolist() == [*range(8)] * 3
    assert len(set(step.items)) == len(step.items) == int(batch.item.max()) + 1
    # Source, translation and way back of a pair show one item.
    assert batch.item[:8].tolist() == batch.item[8:16].tolist() == batch.item[16:].tolist()
    assert batch.rows(0, back=True).tolist() == [*range(16, 24)]


def test_equal_texts_of_a_step_are_encoded_once(world: Path) -> None:
    samples = samples_of(world)
    step = plan_of(samples, size=80).step(0)
    assert len(step.row_of_text) == 240
    assert sorted(step.texts) == sorted(set(samples.all_texts()))


def test_an_epoch_shows_every_caption_once_and_in_another_order_than_the_next(world: Path) -> None:
    samples = samples_of(world, "translate_train")
    plan = plan_of(samples, back=False, size=10)
    assert plan.steps_per_epoch == 8
    orders = []
    for epoch in range(2):
        items = []
        for number in range(8):
            step = plan.step(8 * epoch + number)
            items += [step.items[row] for row in step.batch.item[step.batch.rows(0)]]
        orders.append(items)
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(samples.item_id)
    assert orders[0] != orders[1]


def test_a_step_follows_from_seed_and_number_alone(world: Path) -> None:
    samples = samples_of(world)
    found = plan_of(samples, word_dropout=0.3).step(5)
    again = plan_of(samples, word_dropout=0.3)
    for number in (9, 2, 5):
        step = again.step(number)
    assert (step.items, texts_of(step)) == (found.items, texts_of(found))
    other = plan_of(samples, word_dropout=0.3, seed=2).step(5)
    assert other.items != found.items


def test_word_dropout_leaves_words_out_but_never_all(world: Path) -> None:
    samples = samples_of(world, "translate_train")
    whole, thinned = (plan_of(samples, back=False, size=80, word_dropout=share) for share in (0.0, 0.5))
    before, after = ([len(text) for text in texts_of(plan.step(0))] for plan in (whole, thinned))
    assert min(after) >= 1
    assert all(now <= then for now, then in zip(after, before, strict=True))
    assert np.mean(after) / np.mean(before) == pytest.approx(0.5, abs=0.1)


def without(**wanted: Any) -> Any:
    """A change that removes the captions with these values."""
    return lambda rows: [row for row in rows if any(row[k] != v for k, v in wanted.items())]


def failure(corpus: Path, recipe: str = "nrccr", targets: tuple[str, ...] = ("pt",), **settings: str) -> str:
    with pytest.raises(UserError) as caught:
        train(corpus, tiny(recipe, targets, **settings), corpus.parent / "run", device="cpu")
    # Nothing that could be taken for a run is left.
    assert [file.name for file in (corpus.parent / "run").glob("*") if file.name != ".lock"] == []
    return str(caught.value)


def test_a_missing_language_names_the_command_that_makes_it(corpus: Path) -> None:
    message = failure(corpus, targets=("de",))
    assert "has no de translation of its human en captions in split 'train'" in message
    assert f"Translate them: dragoman translate {corpus} --to de --engine ENGINE" in message
    message = failure(corpus, "translate_train", target_captions="human", targets=("de",))
    assert (
        f"has no human de captions in split 'train'. See what it holds: dragoman corpus show {corpus}"
        in message
    )


def test_a_missing_translation_is_an_error_or_left_out(corpus: Path) -> None:
    edit_captions(corpus, without(caption_id="train003#pt-mt1"))
    message = failure(corpus)
    assert "1 of 12 source captions have no translation into pt by 'toy'" in message
    assert "train003#en1" in message
    samples = samples_of(corpus, incomplete="drop")
    assert (len(samples), samples.dropped) == (11, 1)


def test_a_missing_back_translation_is_an_error_unless_there_is_no_cycle(corpus: Path) -> None:
    edit_captions(corpus, without(caption_id="train003#pt-back1"))
    message = failure(corpus)
    assert "1 of 12 pt translations have no back-translation, which the recipe needs" in message
    assert "--back ENGINE; or train without: --set loss.cycle=false" in message
    assert len(samples_of(corpus, loss__cycle="false")) == 12
    edit_captions(corpus, without(role="back"))
    assert "12 of 12 pt translations have no back-translation" in failure(corpus)
    report = train(
        corpus, tiny("nrccr", loss__cycle="false", epochs="1"), corpus.parent / "run", device="cpu"
    )
    assert report.steps == 1


def test_human_target_captions_cannot_close_the_cycle(corpus: Path) -> None:
    message = failure(corpus, target_captions="human")
    assert message == (
        "Human target captions have no back-translations, which the recipe needs. "
        "Train without: --set loss.cycle=false"
    )


def test_several_engines_must_be_told_apart(corpus: Path) -> None:
    def other(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        more = [
            row | {"caption_id": row["caption_id"] + "x", "engine": "other"}
            for row in rows
            if row["role"] == "mt"
        ]
        return rows + more

    edit_captions(corpus, other)
    assert "Several engines wrote the translations from en into pt: 'other', 'toy'" in failure(corpus)
    assert samples_of(corpus, engines="toy").targets[0].engines == ("toy",)
    assert "by engine 'third'" in failure(corpus, engines="third")


def test_without_most_vectors_nothing_is_trained(corpus: Path, tmp_path: Path) -> None:
    lacking = lacking_vectors(corpus, tmp_path / "other" / "corpus", *(f"train00{n}" for n in range(4)))
    message = failure(lacking)
    assert "has no vector for 4 of 6 items in train: train000, train001, train002, …." in message
    assert "Name another feature set, or give them vectors: dragoman corpus" in message


def test_an_unknown_feature_set_lists_the_known_ones(corpus: Path) -> None:
    message = failure(corpus, features="clip")
    assert f"{corpus} has no feature set 'clip' (known: toy). Make one: dragoman features" in message


def test_a_validation_split_that_is_too_small_is_refused(corpus: Path) -> None:
    rows = pq.read_table(corpus / "captions.parquet").to_pylist()
    write_captions(
        corpus, [row for row in rows if not row["item_id"].startswith("val00") or "val000" in row["item_id"]]
    )
    without_checksums(corpus)
    assert (
        "The val split of" in (message := failure(corpus))
        and "has 1 captioned items; 2 are needed" in message
    )
