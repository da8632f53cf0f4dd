"""Noise-robust training on a frozen sentence encoder: what its terms bring, and whether a teacher can teach.

    python benchmarks/pretrained/noise.py --data DIR --out WORK [--tables gate,arms] [--seeds 1,2,3]
    python benchmarks/pretrained/noise.py --data DIR --out WORK --tables planted
    python benchmarks/pretrained/noise.py --data DIR --out WORK --tables gate --e5 FOLDER [--seeds 1]

DIR is the folder `flickr8k_multilingual` (captions.jsonl.gz, features/), WORK may be that of run.py, whose
corpus is used again. Every arm has the same encoder (the vector `use` of a text, and beside it its words,
with the shared attention of NRCCR over them), steps, captions a step, rate and looks at validation. Models
are chosen on machine-translated captions of val, or English ones where they learn English alone, and asked by
captions of test that people wrote. Machine captions are scored by `dragoman trust`; planted damage (`dragoman
noise`) is translated back by Apertium (apt-get install apertium apertium-eng-spa apertium-es-pt). With --e5,
a Hugging Face folder of multilingual-e5-small, the teacher is asked of that encoder, its last two layers
trained over kept states, in the place of the other models. Runs that are finished are not repeated, and the
page is of all that WORK holds. Writes noise.json and noise.md beside this file.

The primary figure, named before the test was looked at, is the mean SumR of Portuguese as it was written from
the photo and as people translated it from English.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from run import ASKED, E5_LAST, FEATURES, PREFIX, arm, wanted

from dragoman.corpus import Corpus
from dragoman.features.texts import TextOptions, extract_texts
from dragoman.folders import MANIFEST
from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import Arm, Trial, by_seed, spread, table
from dragoman.reports.settings import EvaluationSettings
from dragoman.trust import NoiseSettings, plant_noise, score_trust

HERE = Path(__file__).parent
ENGINES = {
    "pt": ("apertium:eng-spa|es-pt",),
    "zh": ("google-2015", "baidu-2015"),
    "ar": ("nllb-200-3.3B",),
}
"""Engines whose captions are learned from, all of a language together."""
BACK = {"pt": "apertium:pt-es|spa-eng"}
"""Engines of the ways back; without one there is no cycle."""
KINDS = {"pt": ("written", "translated"), "zh": ("written",), "ar": ("written",)}
"""Kinds of captions whose mean SumR is the figure of a language; that of Portuguese is the primary one."""
RATES = (0.2, 0.4)
STEPS, LOOKS, CAPTIONS_PER_STEP, TRAIN_CAPTIONS = 500, 5, 1024, 30_000
ONE, TWO, THREE, PART = 1.0, 2.0, 3.0, 2.25
"""Captions that one source caption brings into a step: itself, its translation, all of its way back or a
quarter."""
BASELINE, ENGLISH, E5 = "translate_train", "english", "e5"
TRANSLATED = "English captions alone, the question translated"
EQUAL = {
    "text": "glossed:use",
    "dual__text_head": "attention",
    "dual__joint": "256",
    "dual__hidden": "128",
    "dual__key_width": "128",
    "dual__image_dropout": "0.3",
    "dual__hubness": "0.5",
    "learning_rate": "1e-3",
    "weight_decay": "0.2",
    "word_dropout": "0",
    "patience": "1000",
}
"""Settings of all arms but those of other recipes: those of `glossed`, with attention over the words."""
BOTH = {"sentence": "frozen:use"}
FIXED = {"loss__learn_temperature": "false"}
TRIPLET = {
    "loss__contrast": "triplet",
    "loss__cycle_contrast": "triplet",
    "loss__target_weight": "0.6",
    "loss__adversary": "off",
}
NO_TEACHER = {"loss__sim_loss": "off", "loss__feat_loss": "off"}
NO_CYCLE = {"loss__cycle": "false"}
TRUST = {"trust__weight": "true"}
# The authors set no floor; among 512 captions a share of a softmax is far below that of scores.
GSC, NCR = ({**TRUST, "trust__learn": learn, "trust__floor": "0.001"} for learn in ("gsc", "ncr"))
# Not a run of the authors: their losses, pooling and norms, with the rate, schedule and sizes of the others.
RELEASED = {"dual__heads": "4", "schedule": "cosine", "weight_decay": "0"}


def size(batch: int, steps: int = STEPS) -> dict[str, str]:
    """Settings of the length of a run, with so many validations at equal distances."""
    every = steps / LOOKS / (TRAIN_CAPTIONS // batch)
    return {"steps": str(steps), "batch_size": str(batch), "validate_every": str(every), "incomplete": "keep"}


def equal(recipe: str, about: str, texts: float = TWO, **settings: str) -> Arm:
    """An arm with the encoder, and with captions a step, that are the same for all."""
    length = size(int(CAPTIONS_PER_STEP / texts))
    return arm(recipe, about, **(EQUAL | BOTH | length | settings))


def nrccr(about: str, **settings: str) -> Arm:
    """A form of NRCCR; without a cycle, a step holds more pairs."""
    return equal("nrccr", about, TWO if settings.get("loss__cycle") == "false" else PART, **settings)


ARMS = {
    ENGLISH: equal("translate_train", "English captions alone", ONE, **FIXED),
    BASELINE: equal("translate_train", "InfoNCE on English and machine captions", **FIXED),
    "translate_train+trust": equal("translate_train", "and trust as weight", **FIXED, **TRUST),
    "translate_train+gsc": equal("translate_train", "and GSC, its labels as weight", **FIXED, **GSC),
    "translate_train+ncr": equal("translate_train", "and NCR's labels as weight", **FIXED, **NCR),
    "triplet": nrccr("hardest-negative triplets in its place", **TRIPLET, **NO_TEACHER, **NO_CYCLE),
    "triplet+cycle": nrccr("triplets and the cycle", **TRIPLET, **NO_TEACHER),
    "triplet+teacher": nrccr("triplets and the teacher", **TRIPLET, **NO_CYCLE),
    "nrccr_released": equal("nrccr_released", "losses, pooling and norms as released", THREE, **RELEASED),
    "nrccr": nrccr("NRCCR, the house's clean form", **FIXED),
    "nrccr+trust": nrccr("and trust as weight", **FIXED, **TRUST),
    "shuffled_teacher": nrccr(
        "control: the teacher reads another caption's source", loss__teacher="shuffled", **FIXED
    ),
    "r_drop": nrccr("control: the student is its own teacher (R-Drop)", loss__teacher="itself", **FIXED),
    "no_teacher": nrccr("without a teacher", **FIXED, **NO_TEACHER),
    "glossed": arm("glossed", "the house recipe", **size(CAPTIONS_PER_STEP // 2)),
    "linear": arm("linear", "a linear map on the frozen vector", **size(CAPTIONS_PER_STEP // 2)),
    "mlp": arm("mlp", "two layers on the frozen vector", **size(CAPTIONS_PER_STEP // 2)),
    "oracle": equal("translate_train", "human captions", target_captions="human", **FIXED),
}
PLANTED = (
    *(BASELINE, "translate_train+trust", "translate_train+gsc", "translate_train+ncr"),
    *("nrccr", "nrccr+trust"),
)
"""Arms that learn from planted damage too."""
GATE_ARMS = {
    "words": nrccr("`use`, the words alone", sentence="none", **FIXED),
    # The steps of benchmarks/noisy_translation.
    "small": arm("nrccr", "the spelling encoder, from nothing", **size(170, 600)),
    # A step of its layers takes as long as fifty of the others.
    E5: nrccr(
        "multilingual-e5-small, its last two layers trained",
        sentence="none",
        **size(228, 150),
        **{name: E5_LAST[name] for name in ("text__prefix", "text__layers", "text__states")},
        **FIXED,
    ),
}
GATES = {
    "nrccr": "E2, `use`: its vector of the text, and the words beside it; `nrccr`",
    BASELINE: "the same, `translate_train`: never taught",
    "words": "E2, `use`: the words alone; `nrccr`",
    "small": "E3, the spelling encoder; `nrccr`",
    E5: "E1, multilingual-e5-small, its last two layers trained for 150 steps of 513 captions; `nrccr`",
}
"""Models whose teacher is asked."""
ROWS_OF_ARMS = (ENGLISH, "translate_test", *(name for name in ARMS if name != ENGLISH))
"""Rows of a table, in their order."""
ROWS = ("source", "student", "teacher", "teacher, wrong source")


class Job(NamedTuple):
    """One training."""

    arm: str
    lang: str = "pt"
    rate: float = 0.0
    """Share of the machine captions that were damaged on purpose."""
    seed: int = 1

    @property
    def name(self) -> str:
        """Names the folders."""
        return f"{self.arm}-{self.lang}-{self.rate:g}-{self.seed}"

    def trial(self, out: Path, device: str = "cpu", e5: Path | None = None) -> Trial:
        """The training, asked with each kind of captions of its language. e5: folder of the arm `e5`."""
        chosen, languages = (ARMS | GATE_ARMS)[self.arm], ("en", self.lang)
        changes = dict(chosen.settings)
        if e5 is not None:
            changes["text"] = f"hf:{e5.resolve()}"
        if self.arm == ENGLISH:
            chosen = replace(chosen, targets=())
        else:
            chosen = replace(chosen, targets=(self.lang,))
            if "target_captions" not in changes:
                changes["engines"] = ",".join(f"{self.lang}={engine}" for engine in ENGINES[self.lang])
            if self.lang not in BACK and chosen.recipe.startswith("nrccr"):
                changes["loss.cycle"] = "false"
        gate = {out / "gates" / f"{self.name}.json": gated} if self.arm in GATES and not self.rate else {}
        return Trial(
            corpus=corpus_of(out, self.rate) if e5 is None else out / "corpus-e5",
            arm=replace(chosen, settings=changes),
            seed=self.seed,
            run=out / "noise-runs" / self.name,
            reports={}
            if self.arm in GATE_ARMS
            else {
                self.report(out, kind): EvaluationSettings(
                    languages=languages, match=matched(kind, self.lang)
                )
                for kind in KINDS[self.lang]
            },
            measures=gate,
            device=device,
        )

    def report(self, out: Path, kind: str) -> Path:
        """The report on one kind of captions."""
        return out / "noise-reports" / f"{self.name}-{kind}"

    def done(self, out: Path) -> bool:
        """True where all reports are there."""
        reports = [self.report(out, kind) for kind in KINDS[self.lang]]
        return len(experiment.finished(reports)) == len(reports)


def main() -> None:
    """Train, evaluate, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--tables", default="gate,arms", help="of gate, arms and planted; none writes the page alone"
    )
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--languages", default="pt", help="of pt, zh and ar, for the table of arms")
    parser.add_argument("--e5", type=Path, help="folder of multilingual-e5-small, whose teacher is asked")
    parser.add_argument("--workers", type=int, default=1, help="runs at a time")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    out, tables, arms = options.out, options.tables.split(","), options.arms.split(",")
    seeds = [int(seed) for seed in options.seeds.split(",")]
    gates = [name for name in GATES if (name == E5) == (options.e5 is not None)]
    if options.e5 is not None and tables != ["gate"]:
        parser.error("--e5 needs --tables gate")
    jobs = [
        *(Job(name, seed=seed) for seed in seeds for name in gates if "gate" in tables),
        *(
            Job(name, lang, seed=seed)
            for lang in options.languages.split(",")
            for seed in seeds
            for name in arms
            if "arms" in tables
        ),
        *(
            Job(name, rate=rate, seed=seed)
            for rate in RATES
            for seed in seeds
            for name in PLANTED
            if "planted" in tables and name in arms
        ),
    ]
    if options.e5 is not None:
        prepare_e5(options.data, out, options.e5)
    elif jobs:
        prepare(options.data, out, sorted({job.rate for job in jobs}))
    trials = [job.trial(out, options.device, options.e5) for job in dict.fromkeys(jobs)]
    experiment.perform(trials, workers=options.workers)
    everything = with_those_before(measured(out, options.workers), HERE / "noise.json")
    experiment.write_results(HERE, everything, page(everything), "noise")


def prepare(data: Path, out: Path, rates: Sequence[float]) -> None:
    """Make a copy of the corpus for each rate of damage, with vectors of all texts and scores of trust."""
    plain = experiment.captions_corpus(data, out / "corpus", wanted, features=FEATURES)
    vectors = TextOptions(words=True)
    extract_texts(plain, encoder="use", options=vectors)
    for rate in rates:
        corpus, config = corpus_of(out, rate), NoiseSettings(rate=rate, seed=1)
        # Without damage as well: scores of trust change a corpus, and run.py has finished runs on its own.
        if not (corpus / MANIFEST).is_file():
            plant_noise(plain, corpus, languages=("pt",), config=config, splits=("train",), back=BACK["pt"])
        extract_texts(corpus, encoder="use", options=vectors)
        if not (corpus / "trust" / MANIFEST).is_file():
            score_trust(corpus)


def prepare_e5(data: Path, out: Path, e5: Path) -> None:
    """Make a corpus of what the arm `e5` learns from and is asked on, with the states below its layers."""
    corpus = experiment.captions_corpus(data, out / "corpus-e5", wanted_of_e5, features=FEATURES)
    extract_texts(corpus, encoder=e5, name="e5_states", options=TextOptions(prefix=PREFIX, below_last=2))


def wanted_of_e5(caption: Mapping[str, str]) -> bool:
    """True for English captions by people, their Portuguese by the machine, and its ways back."""
    read = ("en", "human"), ("pt", "mt"), ("en", "back")
    return (caption["lang"], caption["role"]) in read and caption["split"] != "test" and wanted(caption)


def corpus_of(out: Path, rate: float) -> Path:
    """The folder of a corpus with so much planted damage."""
    return out / f"noise-{rate:g}"


def matched(kind: str, lang: str) -> Mapping[str, Sequence[str]]:
    """Globs of the captions of a kind in a language."""
    return {asked: globs for asked, globs in ASKED[kind].items() if asked == lang}


def gated(trial: Trial) -> dict[str, float]:
    """Compare teacher and student on machine-translated captions of val: SumR, and their mean cosine."""
    import numpy as np
    import torch

    from dragoman.models.dual import DualEncoder, TextViews
    from dragoman.retrievers.trained import Retriever
    from dragoman.training.samples import load_samples
    from dragoman.training.validation import caption_sum_r

    corpus, block = Corpus.open(trial.corpus), 500
    samples = load_samples(corpus, trial.arm.config(trial.seed), back=False, split="val")
    kept = [row for row, choices in enumerate(samples.targets[0].choices) if choices]
    item_ids = [samples.item_id[row] for row in kept]
    source = [samples.source_text[row] for row in kept]
    target = [samples.targets[0].choices[row][0].text for row in kept]
    items = sorted(set(item_ids))
    # Captions of an image stand together, so the caption at half the distance is of another.
    wrong = source[len(source) // 2 :] + source[: len(source) // 2]
    retriever = Retriever.load(trial.run)
    retriever.look_up(corpus)
    model: DualEncoder = retriever.model
    if model.hubness is not None:
        # The teacher's vectors have no hubness to take out.
        model.hubness.used = False

    @torch.inference_mode()
    def read(texts: Sequence[str]) -> TextViews:
        return model.encode_text(model.prepare(texts), tokens=True)

    found: dict[str, list[np.ndarray]] = {row: [] for row in ROWS}
    with torch.inference_mode():
        for start in range(0, len(target), block):
            part = slice(start, start + block)
            student, right, other = read(target[part]), read(source[part]), read(wrong[part])
            found["source"].append(right.vector.numpy())
            found["student"].append(student.vector.numpy())
            found["teacher"].append(model.teach(right, student).numpy())
            found["teacher, wrong source"].append(model.teach(other, student).numpy())
    features = corpus.features(FEATURES)
    images = retriever.encode_features(np.asarray(features.whole(features.rows(items))))
    vectors = {row: np.concatenate(parts) for row, parts in found.items()}
    sums = {row: caption_sum_r(one, images, item_ids, items) for row, one in vectors.items()}
    cosines = {
        f"cosine, {row}": float((vectors["teacher"] * vectors[row]).sum(1).mean())
        for row in ("student", "teacher, wrong source")
    }
    return sums | cosines


def measured(out: Path, workers: int) -> dict[str, Any]:
    """Gather what is finished."""
    asked = [(lang, 0.0) for lang in KINDS] + [("pt", rate) for rate in RATES]
    found = {f"{lang} {rate:g}": results(out, lang, rate) for lang, rate in asked}
    planted = any(found[f"pt {rate:g}"] for rate in RATES)
    tables = "gate,arms,planted" if planted else "gate,arms"
    command = f"python benchmarks/pretrained/noise.py --data DIR --out WORK --tables {tables}"
    here = experiment.circumstances(
        command, workers=workers, steps=STEPS, captions_per_step=CAPTIONS_PER_STEP, settings=EQUAL | BOTH
    )
    for one in (one for some in found.values() for one in some.values()):
        one["commit"] = here["commit"]
    return {
        "circumstances": here,
        "gates": {name: [*read_gates(out, name)] for name in GATES},
        "results": found,
    }


def with_those_before(new: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Add the seeds of an earlier page that are not finished here. Of these there are figures and no reports,
    so that the interval of a gain is of the seeds that lie here, if any do."""
    if not file.is_file():
        return dict(new)
    old = json.loads(file.read_text(encoding="utf-8"))
    results = {}
    for asked, some in new["results"].items():
        before = {
            name: {"commit": old["circumstances"]["commit"]} | one
            for name, one in old["results"].get(asked, {}).items()
        }
        merged = {name: joined(before.get(name), some.get(name)) for name in (*some, *before)}
        results[asked] = {name: merged[name] for name in ROWS_OF_ARMS if name in merged}
    gates = {
        # A gate holds no seed; equal ones are of one run.
        name: some + [one for one in old["gates"].get(name, []) if one not in some]
        for name, some in new["gates"].items()
    }
    return {**new, "results": results, "gates": gates}


def joined(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> dict[str, Any]:
    """One row of two pages; seeds that both have are those of now."""
    if before is None or now is None:
        return dict(now or before or {})
    rows = [row for row, seed in enumerate(before["seeds"]) if seed not in now["seeds"]]
    if not rows:
        return dict(now)
    sums = {
        column: [values[row] for row in rows] + now["sum_r"][column]
        for column, values in before["sum_r"].items()
    }
    commits = dict.fromkeys([*before["commit"].split(", "), now["commit"]])
    return {
        **before,
        **now,
        "seeds": [before["seeds"][row] for row in rows] + now["seeds"],
        "sum_r": sums,
        "minutes": [before["minutes"][row] for row in rows] + now["minutes"],
        "commit": ", ".join(commits),
    }


def read_gates(out: Path, name: str) -> Iterator[dict[str, float]]:
    """What was measured of a teacher, one a seed."""
    for path in sorted((out / "gates").glob(f"{name}-pt-0-*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def results(out: Path, lang: str, rate: float) -> dict[str, Any]:
    """Figures of the arms by column, one a seed, and their differences to the baseline."""
    seeds = {name: seeds_of(out, name, lang, rate) for name in ARMS}
    found: dict[str, Any] = {}
    for name in (name for name in ARMS if seeds[name]):
        jobs = [Job(name, lang, rate, seed) for seed in seeds[name]]
        rows = {name: "direct"} | (
            {"translate_test": "translate_test"} if name == ENGLISH and lang in BACK else {}
        )
        for label, row in rows.items():
            found[label] = figures(out, jobs, row)
            both = sorted(set(seeds[name]) & set(seeds[BASELINE]))
            if both and label != BASELINE:
                found[label] |= compared(out, name, both, lang, rate, row)
    return found


def seeds_of(out: Path, name: str, lang: str, rate: float) -> list[int]:
    """Seeds with which an arm is finished."""
    runs = (out / "noise-reports").glob(f"{name}-{lang}-{rate:g}-*-written")
    jobs = [Job(name, lang, rate, int(run.name.split("-")[-2])) for run in runs]
    return sorted(job.seed for job in jobs if job.done(out))


def figures(out: Path, jobs: Sequence[Job], row: str) -> dict[str, Any]:
    """SumR of the runs of an arm, asked so."""
    lang, kinds = jobs[0].lang, KINDS[jobs[0].lang]
    read = {
        kind: [experiment.read_report(job.report(out, kind))["results"] for job in jobs] for kind in kinds
    }
    sums = {kind: [one[lang][row]["sum_r"] for one in some] for kind, some in read.items()}
    sums["mean"] = [statistics.mean(values) for values in zip(*(sums[kind] for kind in kinds), strict=True)]
    if row == "direct":
        sums["en"] = [one["en"]["direct"]["sum_r"] for one in read[kinds[0]]]
    minutes = [experiment.minutes(job.report(out, kinds[0])) for job in jobs]
    return {"seeds": [job.seed for job in jobs], "sum_r": sums, "minutes": minutes}


def compared(out: Path, name: str, seeds: Sequence[int], lang: str, rate: float, row: str) -> dict[str, Any]:
    """Difference of an arm to the baseline, in the mean of the kinds of captions."""

    def reports(arm: str, kind: str) -> list[Path]:
        return [Job(arm, lang, rate, seed).report(out, kind) for seed in seeds]

    kinds = [(reports(BASELINE, kind), reports(name, kind)) for kind in KINDS[lang]]
    if row == "direct":
        return {"gain": experiment.mean_difference(kinds, language=lang)}
    # Only the first of two systems may be asked otherwise.
    turned = [(other, baseline) for baseline, other in kinds]
    lost = experiment.mean_difference(turned, language=lang, baseline_row=row)
    low, high = lost["interval"]
    return {"gain": lost | {"difference": -lost["difference"], "interval": [-high, -low]}}


def page(everything: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
    circumstances, found = everything["circumstances"], everything["results"]
    yield "# Noise-robust training on a frozen sentence encoder\n"
    yield (
        "Flickr8k, MobileNetV2 vectors, Universal Sentence Encoder multilingual v3, frozen. SumR = R@1 + R@5 "
        f"+ R@10 in both directions, at most 600. Every arm: {circumstances['steps']} steps of "
        f"{circumstances['captions_per_step']} captions, back-translations included, {LOOKS} validations, "
        "one rate. Mean ± sample standard deviation over seeds.\n"
    )
    yield f"Command: `{circumstances['command']}`. Commit {circumstances['commit']}; rows may have another. "
    yield f"Computer: {circumstances['computer']}, {circumstances['workers']} run(s) at a time.\n"
    yield from gate_page(everything["gates"])
    yield "\n## What the terms bring\n"
    yield (
        "Captions of test by people; none in the target language in training, but for the oracle. *Mean*, "
        "the primary figure of Portuguese, named beforehand: of captions written from the photo and captions "
        f"translated by people. Gain: in that mean over `{BASELINE}`, with its 95 % interval by bootstrap "
        "over images and seeds (of the last seeds alone, where reports of earlier ones are gone), and by "
        "seed.\n"
    )
    for lang in KINDS:
        if found[f"{lang} 0"]:
            yield f"### {lang}, by {', '.join(ENGINES[lang])}\n"
            yield from arms_table(found[f"{lang} 0"], lang)
            yield ""
    rates = [0.0, *(rate for rate in RATES if found[f"pt {rate:g}"])]
    if len(rates) == 1:
        return
    yield "## Planted damage\n"
    yield (
        "A share of the Portuguese training captions damaged by `dragoman noise` (words dropped, words "
        "swapped, the caption of another image, another language), translated back by Apertium. Primary "
        f"figure; in brackets the gain over `{BASELINE}` at the same rate.\n"
    )
    yield from table(
        ("arm", *(f"{rate:.0%}" for rate in rates)),
        [(name, *(planted_cell(found[f"pt {rate:g}"].get(name)) for rate in rates)) for name in PLANTED],
    )


def gate_page(gates: Mapping[str, Sequence[Mapping[str, float]]]) -> Iterator[str]:
    """The table of teachers, and what it says."""
    yield "## Is the teacher worth its weight?\n"
    yield (
        "SumR of 5,000 captions of val and their 1,000 images, hubness left in. Source: the English captions "
        "by people. Student: their machine translations into Portuguese. Teacher: the translation beside the "
        "translation as attended from its source caption; where a sentence side stands beside the words, "
        "with that of the student. Wrong source: from the caption of another image. A teacher that is no "
        "better than its student can teach it nothing but what any second pass could.\n"
    )
    rows = []
    for name, some in gates.items():
        if some:
            gains = by_seed(*([one[row] for one in some] for row in ("student", "teacher")))
            rows.append(
                (
                    GATES[name],
                    len(some),
                    *(spread([one[row] for one in some]) for row in ROWS),
                    spread([one["cosine, student"] for one in some], 3),
                    *gains,
                )
            )
    head = ("model", "seeds", *ROWS, "cosine", "teacher − student", "95 % over seeds")
    yield from table(head, rows)
    pairs = [(one["teacher"], one["student"]) for some in gates.values() for one in some]
    above = sum(teacher > student for teacher, student in pairs)
    yield f"\nThe teacher is above its student in {above} of {len(pairs)} runs. Cosine: teacher and student."


def arms_table(found: Mapping[str, Any], lang: str) -> Iterator[str]:
    """The arms of a language."""
    rows = []
    for name, one in found.items():
        gain, sums = one.get("gain"), one["sum_r"]
        both = [seed for seed in one["seeds"] if seed in found[BASELINE]["seeds"]]
        apart = by_seed(
            *(
                [some["sum_r"]["mean"][some["seeds"].index(seed)] for seed in both]
                for some in (found[BASELINE], one)
            )
        )
        about = TRANSLATED if name == "translate_test" else ARMS[name].about
        rows.append(
            (
                name,
                about,
                len(one["seeds"]),
                *(spread(sums.get(column)) for column in ("mean", *KINDS[lang], "en")),
                told(gain),
                "–" if gain is None else f"{gain['p']:.3f}",
                *(apart if name != BASELINE else ("–", "–")),
                f"{statistics.median(one['minutes']):.1f}",
                one["commit"],
            )
        )
    head = ("arm", "", "seeds", "mean", *KINDS[lang], "en", "gain", "p")
    head = (*head, "by seed", "95 % over seeds", "minutes", "commit")
    yield from table(head, rows)


def told(gain: Mapping[str, Any] | None) -> str:
    """Print a difference and its interval."""
    if gain is None:
        return "–"
    alone = "" if "seeds" in gain["over"] else ", images alone"
    return "{:+.1f} ({:+.1f} to {:+.1f}{})".format(gain["difference"], *gain["interval"], alone)


def planted_cell(one: Mapping[str, Any] | None) -> str:
    """Print the figure of an arm, and its gain."""
    if one is None:
        return "–"
    return spread(one["sum_r"]["mean"]) + (f" [{told(one['gain'])}]" if "gain" in one else "")


if __name__ == "__main__":
    main()
