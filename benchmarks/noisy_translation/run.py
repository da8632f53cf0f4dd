"""Noise-robust training against its rivals on real machine translations.

    python benchmarks/noisy_translation/run.py --data DIR --out WORK [--seeds 1,2,3] [--workers 2]

DIR is the folder `flickr8k_multilingual` (captions.jsonl.gz, features/). Every arm gets the same text
encoder, features, number of steps and captions per step, and a model chosen on machine-translated validation
captions. `--words` names a list of Portuguese words (Debian: apt-get install wbrazilian) for the arms with a
lexicon. Runs that are finished are not repeated. Writes results.json and results.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import Arm, Trial, by_seed, spread, table, told_over
from dragoman.reports.settings import EvaluationSettings
from dragoman.translation import build_lexicon

HERE = Path(__file__).parent
FEATURES = "mobilenet_v2"
SLOTS = {"written": "*#pt#*", "translated": "*#pt-trans#*"}
"""Captions written from the photo, and captions translated by people from English."""
CAPTIONS_PER_STEP = 384
STEPS = 600
LEXICON = {"synonyms": "0.3", "renderings": "0.3"}
BEFORE = (
    " They were measured before that preset was mended: BatchNorm and padding were of all three texts of "
    "a step at once, images had no hidden layer and were standardised, words were dropped."
)
TWO, THREE, PART = 2.0, 3.0, 2.25
"""Captions that one source caption brings into a step: itself, its translation, perhaps the way back."""


def arm(
    recipe: str, about: str, texts: float = TWO, targets: tuple[str, ...] = ("pt",), **settings: str
) -> Arm:
    """A row of the table; names of settings hold `__` for a dot."""
    batch = int(CAPTIONS_PER_STEP / texts)
    # Four validations in every arm, however many epochs its steps are.
    size = {"steps": STEPS, "batch_size": batch, "validate_every": STEPS / 4 / (30_000 // batch)}
    changes = {name: str(value) for name, value in size.items()}
    changes |= {name.replace("__", "."): value for name, value in settings.items()}
    return Arm(recipe=recipe, about=about, targets=targets, features=FEATURES, settings=changes)


nrccr = partial(arm, "nrccr", texts=PART)
# Not a run of the authors: their losses, pooling and norms in the encoder, steps and schedule of the others.
released = partial(
    arm,
    "nrccr_released",
    texts=THREE,
    schedule="cosine",
    learning_rate="1e-3",
    dual__joint="512",
    dual__hidden="256",
    dual__heads="4",
    dual__key_width="256",
)
ARMS = {
    "english": arm("translate_train", "English captions only", texts=1, targets=()),
    "translate_train": arm("translate_train", "InfoNCE on English and machine Portuguese"),
    "nrccr": nrccr("NRCCR, the house's clean form"),
    "nrccr_released": released("losses, pooling and norms of NRCCR's released code, rate 1e-3"),
    "nrccr_released_3e-3": released("the same with the others' learning rate", learning_rate="3e-3"),
    "oracle": arm("translate_train", "human Portuguese", target_captions="human"),
    "translate_train+lexicon": arm("translate_train", "with a lexicon", **LEXICON),
    "nrccr+lexicon": nrccr("with a lexicon", **LEXICON),
    "nrccr-sim": nrccr("without similarity distillation", loss__sim_loss="off"),
    "nrccr-feat": nrccr("without feature distillation", loss__feat_loss="off"),
    "nrccr-cycle": arm("nrccr", "without back-translations", loss__cycle="false"),
    "nrccr-adversary": nrccr("without the adversary", loss__adversary="off"),
    "nrccr_triplet": nrccr("NRCCR with hardest-negative triplets", loss__contrast="triplet"),
}


def main() -> None:
    """Train, evaluate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--page", action="store_true", help="write the page anew from results.json alone")
    parser.add_argument("--words", type=Path, default=Path("/usr/share/dict/brazilian"))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads of a run")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.page:
        everything = json.loads((HERE / "results.json").read_text(encoding="utf-8"))
        experiment.write_results(HERE, everything, page(everything))
        return
    if options.data is None or options.out is None:
        parser.error("--data and --out are needed, but for --page")
    corpus = experiment.captions_corpus(options.data, options.out / "corpus", wanted, features=FEATURES)
    if not (corpus / "lexicon" / "pt.tsv").is_file():
        build_lexicon(corpus, lang="pt", words=options.words, engine="apertium:pt-es|spa-eng")
    arms, seeds = options.arms.split(","), options.seeds.split(",")
    trials = [trial(corpus, options.out, name, seed, options.device) for seed in seeds for name in arms]
    experiment.perform(trials, workers=options.workers, threads=options.threads)
    everything = measured(options.out, arms, seeds, vars(options))
    experiment.write_results(HERE, everything, page(everything))


def wanted(caption: Mapping[str, str]) -> bool:
    """True for English and Portuguese captions by people, and for the translations between them."""
    if caption["role"] == "human":
        return caption["lang"] in ("en", "pt")
    return caption["engine"] in ("apertium:eng-spa|es-pt", "apertium:pt-es|spa-eng")


def trial(corpus: Path, out: Path, name: str, seed: str, device: str) -> Trial:
    """One arm with one seed, asked with both kinds of Portuguese captions."""
    return Trial(
        corpus=corpus,
        arm=ARMS[name],
        seed=int(seed),
        run=out / "runs" / f"{name}-{seed}",
        reports={
            report_of(out, name, seed, slot): EvaluationSettings(
                languages=("pt", "en"), match={"pt": (glob,)}
            )
            for slot, glob in SLOTS.items()
        },
        device=device,
    )


def report_of(out: Path, name: str, seed: str, slot: str) -> Path:
    """The report of one trial and kind of captions."""
    return out / "reports" / f"{name}-{seed}-{slot}"


def measured(
    out: Path, arms: Sequence[str], seeds: Sequence[str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Gather what is finished: figures, minutes and differences."""
    of = {
        (name, slot): experiment.finished([report_of(out, name, seed, slot) for seed in seeds])
        for name in arms
        for slot in SLOTS
    }
    return {
        "circumstances": experiment.circumstances(
            f"python benchmarks/noisy_translation/run.py --seeds {','.join(seeds)}",
            steps=STEPS,
            captions_per_step=CAPTIONS_PER_STEP,
            **{name: options[name] for name in ("device", "workers", "threads")},
        ),
        "results": {name: {slot: gather(of[name, slot]) for slot in SLOTS} for name in arms},
        "seconds": {name: [60 * experiment.minutes(one) for one in of[name, "written"]] for name in arms},
        "differences": {slot: differences(of, arms, slot) for slot in SLOTS},
    }


def gather(reports: Sequence[Path]) -> dict[str, dict[str, list[float]]]:
    """`{language row: {metric: one value a seed}}`."""
    found: dict[str, dict[str, list[float]]] = {}
    for folder in reports:
        for lang, rows in experiment.read_report(folder)["results"].items():
            for row, values in rows.items():
                cell = found.setdefault(f"{lang} {row}", {})
                cell.setdefault("sum_r", []).append(values["sum_r"])
                for direction in ("text_to_image", "image_to_text"):
                    for metric in ("recall@1", "recall@5", "recall@10"):
                        cell.setdefault(f"{direction} {metric}", []).append(values[direction][metric])
    return found


def differences(
    of: Mapping[tuple[str, str], Sequence[Path]], arms: Sequence[str], slot: str
) -> list[dict[str, Any]]:
    """Differences of SumR, Portuguese asked directly, of the pairs that the questions are about."""
    rivals = ["nrccr", "translate_train+lexicon", "nrccr+lexicon"]
    pairs: list[tuple[str, str | None, str]] = [("translate_train", None, name) for name in rivals]
    pairs += [("english", "translate_test", name) for name in ["translate_train", *rivals]]
    pairs += [("nrccr", None, name) for name in ARMS if name.startswith(("nrccr-", "nrccr_t"))]
    return [
        {"arm": name, "baseline": f"{baseline} {row or 'direct'}"}
        | experiment.difference(of[baseline, slot], of[name, slot], language="pt", baseline_row=row)
        for baseline, row, name in pairs
        if {baseline, name} <= set(arms)
    ]


def page(everything: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
    circumstances = everything["circumstances"]
    yield "# Noisy translation: English captions, machine Portuguese, human Portuguese queries\n"
    seeds = sorted({len(seconds) for seconds in everything["seconds"].values()})
    yield (
        "Flickr8k with Portuguese captions of 929 of its 1,000 test photos, MobileNetV2 features, Apertium "
        f"in two hops (eng-spa, es-pt). The text encoder, {circumstances['steps']} steps and "
        f"{circumstances['captions_per_step']} captions a step are the same for all. Mean ± sample standard "
        f"deviation over {' to '.join(map(str, seeds))} seeds. SumR = R@1 + R@5 + R@10 in both "
        "directions, at most 600. Minutes: median of the runs.\n"
    )
    yield (
        "The rows `nrccr_released` are no runs of the authors: [what is not theirs](../../docs/released.md). "
        "A small encoder learns from nothing, for 2.6 epochs of 50, with a cosine schedule and without a "
        "search for the rate." + ("" if "commit" in circumstances else BEFORE) + "\n"
    )
    made = circumstances.get("commit") or "not recorded"
    yield f"Command: `{circumstances['command']}`. Commit: {made}. Computer: {circumstances['computer']}, "
    yield f"{circumstances['workers']} runs at a time, {circumstances['threads']} thread(s) each.\n"
    for slot, title in (("written", "written from the photo"), ("translated", "translated by people")):
        yield f"## Portuguese {title}: SumR\n"
        results = everything["results"].items()
        yield from table(
            ("arm", "", "seeds", "direct", "translate-test", "fused", "English direct"),
            [
                (
                    name,
                    ARMS[name].about,
                    len(found[slot]["pt direct"]["sum_r"]),
                    *(
                        spread(found[slot].get(f"pt {row}", {}).get("sum_r"))
                        for row in ("direct", "translate_test", "fused")
                    ),
                    spread(found[slot]["en direct"]["sum_r"]),
                )
                for name, found in results
            ],
        )
        yield f"\n## Portuguese {title}: recall, direct\n"
        metrics = [f"{way} recall@{k}" for way in ("text_to_image", "image_to_text") for k in (1, 5, 10)]
        yield from table(
            ("arm", "t2i R@1", "R@5", "R@10", "i2t R@1", "R@5", "R@10", "minutes"),
            [
                (
                    name,
                    *(spread(found[slot]["pt direct"][metric]) for metric in metrics),
                    f"{statistics.median(everything['seconds'][name]) / 60:.1f}",
                )
                for name, found in results
            ],
        )
        yield f"\n## Portuguese {title}: differences of direct SumR\n"
        yield (
            f"Of the mean of the seeds. {told_over(everything['differences'][slot])}. The last columns are "
            "of the seeds alone, paired: each difference, and the t interval of their mean. None is "
            "corrected for the number of lines; no primary figure was named beforehand.\n"
        )
        yield from table(
            ("arm", "against", "difference", "95 % interval", "p", "each seed", "95 % over seeds"),
            [
                (
                    one["arm"],
                    one["baseline"],
                    f"{one['difference']:+.1f}",
                    "{:+.1f} to {:+.1f}".format(*one["interval"]),
                    f"{one['p']:.4f}",
                    *by_seed(*seeds_of(everything["results"], one, slot)),
                )
                for one in everything["differences"][slot]
            ],
        )
        yield ""


def seeds_of(
    results: Mapping[str, Any], one: Mapping[str, Any], slot: str
) -> tuple[Sequence[float], Sequence[float]]:
    """SumR of both sides of a difference, one a seed."""
    baseline, row = one["baseline"].split(" ")
    return results[baseline][slot][f"pt {row}"]["sum_r"], results[one["arm"]][slot]["pt direct"]["sum_r"]


if __name__ == "__main__":
    main()
