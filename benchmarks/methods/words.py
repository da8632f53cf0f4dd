"""Words that CL2CM's transport aligns, beside IBM model 1, where the grammars know which word means what.

    python benchmarks/methods/words.py [--items 400] [--steps 200] [--seeds 1,2,3]

Scenes of the generated world, each with two captions that say the same facts in English and in Portuguese,
as a translation would; pictures are vectors of the facts. The recipe `cl2cm` learns from the training scenes,
and the own network of its objective aligns captions of other scenes. A pair of words is right where the
grammars know both by one meaning (a thing, a colour, a size, two, three), which no other word of the two
captions has; counted are pairs with such a word. Writes words.md beside this file.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from dragoman.corpus import Corpus
from dragoman.corpus.corpus import CAPTIONS, CORPUS, ITEMS
from dragoman.corpus.features import write_features
from dragoman.models.text.spelling import SmallTextConfig, read
from dragoman.objectives.cl2cm import CL2CM
from dragoman.objectives.losses.transport import cosine_cost, mutual_pairs, sinkhorn
from dragoman.pipelines.computer import commit_and_computer
from dragoman.recipes import load_recipe
from dragoman.scenes.captioner import draw_plan
from dragoman.scenes.draws import Draws
from dragoman.scenes.grammars import caption, en, pt
from dragoman.scenes.scene import COLOURS, GROUNDS, KINDS, PLACES, RELATIONS, SIZES, Scene, distinct_scenes
from dragoman.training.augment import load_augmentation
from dragoman.training.batches import StepPlan
from dragoman.training.model import model_one
from dragoman.training.samples import load_samples
from dragoman.training.step import TrainState, rate_factor

HERE = Path(__file__).parent
TARGET, HELD_OUT, SLOTS, WIDTH = "pt", 100, 2, 64
Alignment = set[tuple[int, int]]
"""Places of words in the English and in the Portuguese caption."""


def facts(scene: Scene) -> list[float]:
    """The facts of a scene as zeros and ones."""
    found: list[float] = []
    for group in (scene.first, scene.second):
        for known, fact in (
            (KINDS, group and group.kind),
            (COLOURS, group and group.colour),
            (SIZES, group and group.size),
            ((1, 2, 3), group and group.count),
        ):
            found += [float(one == fact) for one in known]
    for known, fact in ((GROUNDS, scene.ground), (PLACES, scene.place), (RELATIONS, scene.relation)):
        found += [float(one == fact) for one in known]
    return found


def write_corpus(folder: Path, items: int) -> Corpus:
    """`items` scenes of train and `HELD_OUT` of val, each with `SLOTS` captions in both languages."""
    scenes = distinct_scenes(items + HELD_OUT, 1)
    rows: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    for number, scene in enumerate(scenes):
        item = f"s{number:05d}"
        split = "train" if number < items else "val"
        rows.append({"item_id": item, "kind": "image", "path": None, "split": split})
        for slot in range(SLOTS):
            plan = draw_plan(scene, Draws(1, "plan", number, slot))
            for lang, role, engine in (("en", "human", None), (TARGET, "mt", "grammar")):
                text = caption(lang, plan, Draws(1, lang, number, slot))
                source = f"{item}-en{slot}" if engine else None
                named = {"caption_id": f"{item}-{lang}{slot}", "item_id": item, "source_id": source}
                captions.append({**named, "lang": lang, "role": role, "text": text, "engine": engine})
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=ITEMS), folder / "items.parquet")
    pq.write_table(pa.Table.from_pylist(captions, schema=CAPTIONS), folder / "captions.parquet")
    vectors = np.array([facts(scene) for scene in scenes])
    write_features(folder / "features" / "facts", [row["item_id"] for row in rows], vectors, inputs={})
    CORPUS.write(folder, inputs={})
    return Corpus.open(folder)


def meanings() -> tuple[dict[str, str], dict[str, str]]:
    """The words of things, colours, sizes, two and three in both languages, with what they mean."""
    theirs = pt.PORTUGUESE
    numerals = {number: tuple(said.split()) for number, said in theirs.numerals.items() if number > 1}
    english: list[tuple[str, Iterable[str]]] = [
        *((kind, " ".join(said).split()) for kind, said in en.NOUNS.items()),
        *((colour, en.COLOURS.get(colour, (colour,))) for colour in COLOURS),
        *en.SIZES.items(),
        *((str(number), [said]) for number, said in en.NUMERALS.items()),
    ]
    portuguese: list[tuple[str, Iterable[str]]] = [
        # Gender and size stand behind singular and plural.
        *(
            (kind, [form for noun in said for form in noun.split()[:2]])
            for kind, said in theirs.nouns.items()
        ),
        *((colour, " ".join(said).split()) for colour, said in theirs.colours.items()),
        *((size, " ".join(said).replace("<", "").split()) for size, said in theirs.sizes.items()),
        *((str(number), said) for number, said in numerals.items()),
    ]
    first, second = ({form: what for what, said in side for form in said} for side in (english, portuguese))
    return first, second


def right(first: Sequence[str], second: Sequence[str]) -> Alignment:
    """Pairs of words with one meaning, which no other word of the two captions has."""
    english, portuguese = meanings()
    known = [[table.get(word) for word in side] for table, side in ((english, first), (portuguese, second))]
    return {
        (known[0].index(what), known[1].index(what))
        for what in set(known[0]) & set(known[1])
        if what is not None and known[0].count(what) == known[1].count(what) == 1
    }


def f1(found: Sequence[Alignment], words: Sequence[tuple[list[str], list[str]]]) -> float:
    """F1 of alignments of pairs of captions, over pairs with a word whose partner is known."""
    hits = said = wanted = 0
    for alignment, (first, second) in zip(found, words, strict=True):
        truth = right(first, second)
        rows, columns = ({pair[side] for pair in truth} for side in (0, 1))
        judged = {pair for pair in alignment if pair[0] in rows or pair[1] in columns}
        hits, said, wanted = hits + len(judged & truth), said + len(judged), wanted + len(truth)
    return 2 * hits / (said + wanted)


class ModelOne:
    """IBM model 1, learned in both directions."""

    def __init__(self, words: Sequence[tuple[list[str], list[str]]]) -> None:
        self.numbers = [
            {word: at for at, word in enumerate(sorted({word for pair in words for word in pair[side]}))}
            for side in (0, 1)
        ]
        first, second = (
            [np.array([self.numbers[side][word] for word in pair[side]], np.int64) for pair in words]
            for side in (0, 1)
        )
        self.over = model_one(first, second, len(self.numbers[0]))
        self.back = model_one(second, first, len(self.numbers[1]))

    def align(self, first: list[str], second: list[str]) -> tuple[Alignment, Alignment]:
        """Each Portuguese word with its likeliest English one; and pairs that choose each other by the
        geometric mean of both directions."""
        rows = [self.numbers[0].get(word, -1) for word in first]
        columns = [self.numbers[1].get(word, -1) for word in second]
        over = np.array([[self.over.get((row, column), 0.0) for column in columns] for row in rows])
        back = np.array([[self.back.get((column, row), 0.0) for column in columns] for row in rows])
        one = {(int(row), at) for at, row in enumerate(over.argmax(0)) if over[row, at] > 0}
        joint = torch.from_numpy(np.sqrt(over * back))[None]
        return one, pairs(mutual_pairs(joint)[0])


def pairs(found: torch.Tensor) -> Alignment:
    """The places that are true in [L, M]."""
    return {(row, column) for row, column in found.nonzero().tolist()}


class Learner:
    """A run of `cl2cm`, step by step, and what its network aligns."""

    def __init__(self, corpus: Corpus, steps: int, **settings: str) -> None:
        shape = ("text.width", "dual.joint", "dual.hidden", "dual.key_width", "loss.width")
        usual = dict.fromkeys(shape, str(WIDTH)) | {"text.min_count": "1", "batch_size": "64"}
        usual |= {"learning_rate": "0.01", "word_dropout": "0", "steps": str(steps)}
        config = load_recipe("cl2cm")("en", (TARGET,), "facts").with_settings(usual | settings)
        samples = load_samples(corpus, config, back=False)
        self.config, self.steps, self.state = config, steps, TrainState(config, corpus, samples)
        augmentation = load_augmentation(corpus, config)
        self.plan = StepPlan(samples=samples, config=config, back=False, augmentation=augmentation)

    def go_to(self, step: int) -> None:
        """Take all steps before this one."""
        for number in range(self.state.progress.step, step):
            factor = rate_factor(self.config, self.state.progress, self.steps, self.plan.steps_per_epoch)
            self.state.take_step(self.plan.step(number), factor, number / self.steps)

    @torch.no_grad()
    def align(self, texts: Sequence[tuple[str, str]]) -> list[Alignment]:
        """Words that the network pairs, of pairs of captions."""
        model, objective = self.state.model.eval(), self.state.objective
        assert isinstance(objective, CL2CM) and objective.network is not None
        sides = []
        for side in (0, 1):
            found = model.encode_text(model.prepare([pair[side] for pair in texts]), tokens=True)
            assert found.trunk is not None and found.mask is not None
            sides.append((objective.network(found.trunk, found.mask)[0], found.mask))
        (first, of_first), (second, of_second) = sides
        plan = sinkhorn(cosine_cost(first, second), of_first, of_second)
        return [pairs(one) for one in mutual_pairs(plan)]


def texts_of(corpus: Corpus, split: str) -> list[tuple[str, str]]:
    """English captions of a split, each with its translation."""
    translated = corpus.select(role="mt", split=split)
    english = corpus.select(role="human", lang="en", split=split)
    text_of = dict(zip(english.ids, english.texts, strict=True))
    return [
        (text_of[name.replace(f"-{TARGET}", "-en")], text)
        for name, text in zip(translated.ids, translated.texts, strict=True)
    ]


def cut(texts: Sequence[tuple[str, str]]) -> list[tuple[list[str], list[str]]]:
    """The words of captions, as the text encoder reads them, in lower case."""
    plain = SmallTextConfig()
    return [(read(first.lower(), plain), read(second.lower(), plain)) for first, second in texts]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", type=int, default=400)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", default="1,2,3")
    options = parser.parse_args()
    seeds = options.seeds.split(",")
    looks = [options.steps * part // 4 for part in (1, 2, 3, 4)]
    with tempfile.TemporaryDirectory() as temporary:
        corpus = write_corpus(Path(temporary) / "corpus", options.items)
        asked = texts_of(corpus, "val")
        words, rival = cut(asked), ModelOne(cut(texts_of(corpus, "train")))
        aligned = [rival.align(first, second) for first, second in words]
        one, both = (f1([pair[way] for pair in aligned], words) for way in (0, 1))
        lines = [
            "# Words that CL2CM aligns",
            "",
            f"{options.items} scenes with {SLOTS} captions each in English and in Portuguese by the grammars",
            f"of the generated world; F1 on {len(asked)} pairs of captions of other scenes, of the seeds "
            f"{options.seeds} in brackets.",
            "",
            "| aligned by | F1 |",
            "|---|---|",
            f"| IBM model 1, each word by its likeliest source word | {one:.3f} |",
            f"| IBM model 1, both directions, pairs that choose each other | {both:.3f} |",
        ]
        found: dict[int, list[float]] = {look: [] for look in looks}
        for seed in seeds:
            learner = Learner(corpus, options.steps, seed=seed)
            for look in looks:
                learner.go_to(look)
                found[look].append(f1(learner.align(asked), words))
        for look, values in found.items():
            each = ", ".join(f"{value:.3f}" for value in values)
            lines.append(
                f"| pairs of CL2CM's transport, step {look} of {options.steps} | "
                f"{statistics.mean(values):.3f} ({each}) |"
            )
    lines += ["", "    python benchmarks/methods/words.py", "", f"Made {commit_and_computer()}."]
    (HERE / "words.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
