"""Words that a lexicon puts into machine captions: which, how often, and when a run may go on with them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray
from training_world import DE, EN, PT, tiny, write_world

from dragoman.corpus import Corpus
from dragoman.errors import UserError
from dragoman.models.text.small import SmallText
from dragoman.models.text.spelling import SmallTextConfig, fit_pieces, pieces
from dragoman.training import train
from dragoman.training.augment import Augmentation, lexicon_hashes, load_augmentation
from dragoman.training.batches import BACK, HUMAN, MT, Step, StepPlan
from dragoman.training.samples import Samples, load_samples
from dragoman.translation import Lexicon

ENTRIES = [
    ("cão", "dog"),
    ("cadela", "dog"),
    ("cachorro", "dog"),
    ("gato", "cat"),
    ("bichano", "cat"),
    ("corre", "runs"),
    ("bola", "ball"),
    ("rubro", "red"),
]
LEXICON = Lexicon(ENTRIES)
SOURCE, TARGET = "A dog and a cat runs .", "Um cão e um gato corre ."


def augmentation(
    synonyms: float = 0.0, renderings: float = 0.0, *lexicons: Lexicon, drop: float = 0.0
) -> Augmentation:
    return Augmentation(word_dropout=drop, synonyms=synonyms, renderings=renderings, lexicons=lexicons)


def one_of(choices: list[str], word: str, draws: Generator) -> str:
    return choices[draws.integers(len(choices))] if choices else word


def slow_variation(text: str, source: str, synonyms: float, renderings: float, draws: Generator) -> str:
    """The varied caption, from the list of entries: a draw for the caption, one a word, one a choice."""
    meanings = dict(ENTRIES)
    if draws.random() < renderings:
        out = []
        for word in source.split(" "):
            out.append(one_of([t for t, s in ENTRIES if s == word.lower()], word, draws))
        return " ".join(out)
    words = text.split(" ")
    chances = [draws.random() for _ in words]
    for place, word in enumerate(words):
        if chances[place] < synonyms:
            alike = [t for t, s in ENTRIES if s == meanings.get(word.lower(), "")]
            words[place] = one_of(alike, word, draws)
    return " ".join(words)


@pytest.mark.parametrize(("synonyms", "renderings"), [(0.3, 0.3), (0.9, 0.0), (0.0, 0.9), (0.5, 0.5)])
def test_the_words_drawn_are_those_of_a_plain_search(synonyms: float, renderings: float) -> None:
    mine, slow = np.random.default_rng(3), np.random.default_rng(3)
    found = [
        augmentation(synonyms, renderings, LEXICON).vary_target(TARGET, SOURCE, 0, mine) for _ in range(300)
    ]
    assert found == [slow_variation(TARGET, SOURCE, synonyms, renderings, slow) for _ in range(300)]
    # Both stand at the same draw, so that what follows is the same as well.
    assert mine.random() == slow.random()


class Given:
    """Draws that are written down: chances, the chances of several words at once, and choices."""

    def __init__(self, *values: float | NDArray[np.float64]) -> None:
        self.values = list(values)

    def random(self, size: int | None = None) -> float | NDArray[np.float64]:
        value = self.values.pop(0)
        assert size == (len(value) if isinstance(value, np.ndarray) else None)
        return value

    def integers(self, count: int) -> int:
        value = self.values.pop(0)
        assert isinstance(value, int) and 0 <= value < count
        return value


@pytest.mark.parametrize(
    ("draws", "caption"),
    [
        # Above its share a caption is not rendered, and a word not replaced.
        ((0.3, [0.2] * 7), "Um cão e um gato corre ."),
        ((0.3, [0.1, 0.1, 0.1, 0.1, 0.2, 0.2, 0.1], 2), "Um cachorro e um gato corre ."),
        ((0.3, [0.2, 0.1, 0.2, 0.2, 0.1, 0.1, 0.2], 1, 1, 0), "Um cadela e um bichano corre ."),
        ((0.2, 1, 0, 0), "A cadela and a gato corre ."),
        ((0.2, 2, 1, 0), "A cachorro and a bichano corre ."),
    ],
)
def test_given_draws_give_this_caption(draws: tuple[float | list[float], ...], caption: str) -> None:
    given = Given(*(np.array(draw) if isinstance(draw, list) else draw for draw in draws))
    assert augmentation(0.2, 0.3, LEXICON).vary_target(TARGET, SOURCE, 0, given) == caption  # type: ignore
    assert given.values == []


def test_every_synonym_is_drawn_as_often_as_the_others() -> None:
    draws = np.random.default_rng(5)
    varied = [augmentation(0.6, 0.0, LEXICON).vary_target("cão", "dog", 0, draws) for _ in range(9000)]
    share = {word: varied.count(word) / 9000 for word in set(varied)}
    # Three synonyms share 0.6; the word itself is one of them.
    assert share == pytest.approx({"cão": 0.6, "cadela": 0.2, "cachorro": 0.2}, abs=0.02)


def test_the_share_of_rendered_captions_is_as_asked() -> None:
    draws = np.random.default_rng(5)
    varied = [
        augmentation(0.0, 0.3, LEXICON).vary_target("Uma esfera", "ball", 0, draws) for _ in range(9000)
    ]
    assert {one: varied.count(one) / 9000 for one in set(varied)} == pytest.approx(
        {"bola": 0.3, "Uma esfera": 0.7}, abs=0.02
    )


def test_words_without_synonyms_or_renderings_stay_as_they_are() -> None:
    draws = np.random.default_rng(2)
    for _ in range(50):
        changed = augmentation(0.99, 0.0, LEXICON).vary_target("Um zebu  e RUBRO .", "x", 0, draws).split(" ")
        assert changed[:4] + changed[5:] == ["Um", "zebu", "", "e", "."]
        assert changed[4] in ("RUBRO", "rubro")
        assert augmentation(0.0, 0.999, LEXICON).vary_target("x", "A zebu  and ball.", 0, draws) in (
            "A zebu  and ball.",
            "x",
        )


def test_captions_stay_as_they_are_where_nothing_is_wanted() -> None:
    draws = np.random.default_rng(2)
    assert augmentation().vary_target(TARGET, SOURCE, 0, draws) == TARGET
    assert augmentation().drop_words(TARGET, draws) == TARGET
    # Nothing was drawn either: a run without a lexicon is what it was before there were any.
    assert draws.random() == np.random.default_rng(2).random()
    assert augmentation(0.0, 0.0, LEXICON).vary_target(TARGET, SOURCE, 0, draws) == TARGET


def test_each_language_has_its_own_lexicon() -> None:
    lexicons = (LEXICON, Lexicon([("Hund", "dog")]))
    draws = np.random.default_rng(2)
    rendered = {augmentation(0.0, 0.999, *lexicons).vary_target("", "dog", 1, draws) for _ in range(50)}
    assert rendered == {"hund"}


def test_the_vocabulary_gets_what_the_source_captions_can_bring_in() -> None:
    both = augmentation(0.1, 0.1, LEXICON, Lexicon([("bola", "ball"), ("Hund", "dog")]))
    dogs = ["cão", "cadela", "cachorro", "hund"]
    found = both.words_for(["A Dog .", "cat dog"])
    assert list(found.items()) == [
        *((word, ("cat",)) for word in ("gato", "bichano")),
        *((word, ("dog",)) for word in dogs),
    ]
    assert list(both.words_for(["ball", "dog"])) == ["bola", *dogs]
    assert both.words_for(["zebu"]) == both.words_for([]) == augmentation().words_for(["A dog"]) == {}


def test_known_words_are_in_the_vocabulary_with_all_their_pieces() -> None:
    config = SmallTextConfig(shortest=3, longest=4, min_count=2)
    texts = ["um rubro", "um gato", "um gato", "um"]
    before, after = fit_pieces(texts, config), fit_pieces(texts, config, ["rubro", "cão"])
    assert set(before) == {*pieces("um", 3, 4), *pieces("gato", 3, 4)}
    assert set(after) - set(before) == {*pieces("rubro", 3, 4), *pieces("cão", 3, 4)}
    assert SmallText.fit(texts, config, ["rubro", "cão"]).vocabulary == after
    # A word that is known and frequent counts as both: «um» is in four texts, «rubro» in one and known.
    assert after.index("<um>") < after.index("<rubro>") < after.index("<gato>")


# The way of the lexicon through a run.


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_world(tmp_path_factory.mktemp("world") / "corpus")
    write_lexicon(folder)
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_world(tmp_path / "corpus", train=6, val=4, test=2)


NOTHING = {"word_dropout": "0", "synonyms": "0", "renderings": "0"}


def write_lexicon(corpus: Path, *more: tuple[str, str]) -> None:
    (corpus / "lexicon").mkdir(exist_ok=True)
    lines = (f"{target}\t{source}\n" for target, source in [*ENTRIES, *more])
    (corpus / "lexicon" / "pt.tsv").write_text("".join(lines), encoding="utf-8")


def texts_of(plan: StepPlan, number: int = 0) -> tuple[Step, list[str]]:
    """A step, and its texts row by row."""
    step = plan.step(number)
    return step, [step.texts[row] for row in step.row_of_text]


def plan_of(corpus: Path, recipe: str, back_share: float = 1.0, size: int = 20, **settings: str) -> StepPlan:
    plain = {"batch_size": str(size), "back_share": str(back_share), "seed": "4"}
    config, opened = tiny(recipe, **NOTHING | plain | settings), Corpus.open(corpus)
    samples: Samples = load_samples(opened, config, back="back" in config.loss.needs)
    return StepPlan(
        samples=samples,
        config=config,
        back="back" in config.loss.needs,
        augmentation=load_augmentation(opened, config),
    )


def translated(text: str) -> str:
    return " ".join(PT[EN.index(word)] for word in text.split())


def test_only_machine_captions_are_varied(world: Path) -> None:
    plan = plan_of(world, "nrccr", synonyms="0.4", renderings="0.4")
    step, varied = texts_of(plan)
    _, plain = texts_of(plan_of(world, "nrccr"))
    role = step.batch.role.tolist()
    assert role == [HUMAN] * 20 + [MT] * 20 + [BACK] * 20
    assert varied[:20] == plain[:20] and varied[40:] == plain[40:]
    assert varied[20:40] != plain[20:40]
    # An untouched caption is the translation of its source; a varied one means the same, word by word.
    meaning = dict(ENTRIES) | dict(zip(PT, EN, strict=True)) | dict(zip(EN, EN, strict=True))
    for source, caption in zip(varied[:20], varied[20:40], strict=True):
        assert [meaning[word] for word in caption.split()] == source.split()
    assert {"cadela", "cachorro", "bichano", "rubro"} & set(" ".join(varied[20:40]).split())


def test_each_language_of_a_step_reads_its_own_lexicon(tmp_path: Path) -> None:
    corpus = write_world(tmp_path / "corpus", targets=("pt", "de"))
    write_lexicon(corpus)
    (corpus / "lexicon" / "de.tsv").write_text("köter\tdog\nkater\tcat\n", encoding="utf-8")
    config, opened = (
        tiny("translate_train", ("pt", "de"), **NOTHING | {"renderings": "0.99", "batch_size": "40"}),
        Corpus.open(corpus),
    )
    samples = load_samples(opened, config, back=False)
    augmentation = load_augmentation(opened, config)
    plan = StepPlan(samples=samples, config=config, back=False, augmentation=augmentation)
    _, texts = texts_of(plan)
    pt, de = " ".join(texts[40:80]).split(), " ".join(texts[80:]).split()
    assert {"köter", "kater"} <= set(de) and not {"köter", "kater"} & set(pt)
    assert {"cachorro", "bichano"} <= set(pt) and not {"cachorro", "bichano"} & set(de)


def test_a_language_may_go_without_a_lexicon(tmp_path: Path) -> None:
    corpus = write_world(tmp_path / "corpus", targets=("pt", "de"))
    write_lexicon(corpus)
    settings = NOTHING | {"renderings": "0.99", "batch_size": "40", "lexicons": "pt"}
    config, opened = tiny("translate_train", ("pt", "de"), **settings), Corpus.open(corpus)
    plan = StepPlan(
        samples=load_samples(opened, config, back=False),
        config=config,
        back=False,
        augmentation=load_augmentation(opened, config),
    )
    _, texts = texts_of(plan)
    assert {"cachorro", "bichano"} <= set(" ".join(texts[40:80]).split())
    assert texts[80:] == [" ".join(DE[EN.index(word)] for word in text.split()) for text in texts[:40]]
    starred = config.with_settings({"lexicons": "*"})
    found = load_augmentation(opened, starred).lexicons
    assert [lexicon is not None for lexicon in found] == [True, False]
    assert list(lexicon_hashes(opened, starred)) == ["pt"]
    with pytest.raises(UserError, match="lexicons names fr, which is no target"):
        tiny("translate_train", lexicons="fr")


def test_steps_are_as_before_where_no_lexicon_is_wanted(world: Path) -> None:
    _, found = texts_of(plan_of(world, "translate_train"), 2)
    assert found[20:] == [translated(source) for source in found[:20]]


def test_a_varied_step_follows_from_its_number_alone(world: Path) -> None:
    settings = {"synonyms": "0.5", "renderings": "0.3", "word_dropout": "0.1"}
    plan = plan_of(world, "translate_train", **settings)
    _, found = texts_of(plan, 5)
    again = plan_of(world, "translate_train", **settings)
    assert [texts_of(again, number)[1] for number in (7, 1, 5)][2] == found
    # The next epoch shows the same captions in other words.
    assert sorted(texts_of(plan, 4)[1]) != sorted(texts_of(plan, 0)[1])


@pytest.mark.parametrize(("share", "count"), [(1.0, 20), (0.5, 10), (0.25, 5), (0.33, 7), (0.01, 0)])
def test_a_share_of_the_pairs_brings_its_way_back(world: Path, share: float, count: int) -> None:
    whole, all_texts = texts_of(plan_of(world, "nrccr"), 1)
    step, texts = texts_of(plan_of(world, "nrccr", back_share=share), 1)
    assert step.batch.role.tolist() == [HUMAN] * 20 + [MT] * 20 + [BACK] * count
    assert step.batch.pair[40:].tolist() == list(range(count))
    assert texts == all_texts[: 40 + count]
    assert step.batch.item.tolist() == whole.batch.item[: 40 + count].tolist()
    assert texts[40:] == [source.rsplit(" ", 1)[0] for source in texts[:count]]


def test_a_missing_lexicon_names_the_command_that_makes_it(corpus: Path) -> None:
    for name in ("synonyms", "renderings"):
        with pytest.raises(UserError) as caught:
            train(
                corpus,
                tiny("translate_train", **NOTHING | {name: "0.3"}),
                corpus.parent / "run",
                device="cpu",
            )
        assert str(caught.value) == (
            f"{corpus} has no pt lexicon, which this configuration asks for. "
            f"Make it: dragoman lexicon {corpus} --lang pt --words LIST --engine ENGINE"
        )
        assert [path.name for path in (corpus.parent / "run").iterdir() if path.name != ".lock"] == []


@pytest.mark.parametrize(
    "settings",
    [{}, {"synonyms": "0.3", "renderings": "0.3", "target_captions": "human"}],
    ids=["none wanted", "oracle"],
)
def test_runs_that_cannot_use_a_lexicon_do_not_need_one(corpus: Path, settings: dict[str, str]) -> None:
    config = tiny("translate_train", **NOTHING | settings)
    opened = Corpus.open(corpus)
    assert load_augmentation(opened, config).lexicons == ()
    write_lexicon(corpus)
    assert lexicon_hashes(opened, config) == {}
    assert load_augmentation(opened, config).words_for(["dog"]) == {}


def test_a_run_on_the_source_alone_needs_none(corpus: Path) -> None:
    config = tiny("translate_train", (), synonyms="0.3")
    assert load_augmentation(Corpus.open(corpus), config).lexicons == ()


def test_a_run_knows_its_lexicon(corpus: Path) -> None:
    write_lexicon(corpus)
    config = tiny("translate_train", steps="2", renderings="0.3", text__min_count="2")
    out = corpus.parent / "run"
    report = train(corpus, config, out, device="cpu")
    model = (out / "model" / "model.safetensors").read_bytes()
    assert '"<bichano>"' in (out / "model" / "ngrams.json").read_text(encoding="utf-8")
    # The same content is the same lexicon, whenever it was written.
    write_lexicon(corpus)
    os.utime(corpus / "lexicon" / "pt.tsv", (0, 0))
    assert train(corpus, config, out, device="cpu") == report
    write_lexicon(corpus, ("totó", "dog"))
    with pytest.raises(
        UserError, match=r"run holds another run; it differs in lexicons\. Give another folder"
    ):
        train(corpus, config, out, device="cpu")
    assert (out / "model" / "model.safetensors").read_bytes() == model
