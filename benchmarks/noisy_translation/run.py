"""Noise-robust training against its rivals on real machine translations.

    python benchmarks/noisy_translation/run.py --data DIR --out WORK [--seeds 1,2,3] [--workers 2]

DIR is the folder `flickr8k_multilingual` (captions.jsonl.gz, features/). Every arm gets the same text
encoder, features, number of steps and captions per step, and a model chosen on machine-translated validation
captions. `--words` names a list of Portuguese words (Debian: apt-get install wbrazilian) for the arms with a
lexicon. Runs that are finished are not repeated. Writes results.json and results.md beside this file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
FEATURES = "mobilenet_v2"
SLOTS = {"written": "*#pt#*", "translated": "*#pt-trans#*"}
"""Captions written from the photo, and captions translated by people from English."""
CAPTIONS_PER_STEP = 384
STEPS = 600
COMMON = {"steps": STEPS}


@dataclass(frozen=True)
class Arm:
    """One row of the table."""

    recipe: str
    what: str
    texts: float = 2
    """Captions that one source caption brings into a step: itself, its translation, the way back."""
    targets: str = "pt"
    settings: tuple[str, ...] = ()


LEXICON = ("synonyms=0.3", "renderings=0.3")
ARMS = {
    "english": Arm("translate_train", "English captions only", texts=1, targets=""),
    "translate_train": Arm("translate_train", "InfoNCE on English and machine Portuguese"),
    "nrccr": Arm("nrccr", "NRCCR, the house's clean form", texts=2.25),
    "nrccr_released": Arm(
        "nrccr_released", "NRCCR as its released code computes it", texts=3, settings=("schedule=cosine",)
    ),
    "nrccr_released_3e-3": Arm(
        "nrccr_released",
        "the same with the others' learning rate",
        texts=3,
        settings=("schedule=cosine", "learning_rate=3e-3"),
    ),
    "oracle": Arm("translate_train", "human Portuguese", settings=("target_captions=human",)),
    "translate_train+lexicon": Arm("translate_train", "with a lexicon", settings=LEXICON),
    "nrccr+lexicon": Arm("nrccr", "with a lexicon", texts=2.25, settings=LEXICON),
    "nrccr-sim": Arm("nrccr", "without similarity distillation", texts=2.25, settings=("loss.sim_loss=off",)),
    "nrccr-feat": Arm("nrccr", "without feature distillation", texts=2.25, settings=("loss.feat_loss=off",)),
    "nrccr-cycle": Arm("nrccr", "without back-translations", settings=("loss.cycle=false",)),
    "nrccr-adversary": Arm("nrccr", "without the adversary", texts=2.25, settings=("loss.adversary=off",)),
    "nrccr_triplet": Arm(
        "nrccr", "NRCCR with hardest-negative triplets", texts=2.25, settings=("loss.contrast=triplet",)
    ),
}


def main() -> None:
    """Train, evaluate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--words", type=Path, default=Path("/usr/share/dict/brazilian"))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads of a run")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    corpus = prepare(options.data, options.out, options.words)
    arms = options.arms.split(",")
    jobs = [(arm, seed) for seed in options.seeds.split(",") for arm in arms]
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(lambda job: run(corpus, options.out, *job, options.device), jobs))
    write_results(options.out, arms, options.seeds.split(","), vars(options))


def prepare(data: Path, out: Path, words: Path) -> Path:
    """The corpus of this benchmark: English, Portuguese, and the translations between them."""
    corpus = out / "corpus"
    if (corpus / "manifest.json").is_file():
        return corpus
    out.mkdir(parents=True, exist_ok=True)
    chosen = out / "captions.jsonl"
    with gzip.open(data / "captions.jsonl.gz", "rb") as lines, chosen.open("wb") as file:
        file.writelines(line for line in lines if wanted(json.loads(line)))
    features = ["--features", data / "features" / f"{FEATURES}.npy", "--feature-ids"]
    call("corpus", "jsonl", chosen, *features, data / "features" / "ids.txt", "--out", corpus)
    call("lexicon", corpus, "--lang", "pt", "--words", words, "--engine", "apertium:pt-es|spa-eng")
    return corpus


def wanted(caption: dict[str, str]) -> bool:
    """Whether a caption takes part."""
    if caption["role"] == "human":
        return caption["lang"] in ("en", "pt")
    return caption["engine"] in ("apertium:eng-spa|es-pt", "apertium:pt-es|spa-eng")


def run(corpus: Path, out: Path, arm: str, seed: str, device: str) -> None:
    """Train and evaluate one arm with one seed, unless that is done."""
    folder, chosen = out / "runs" / f"{arm}-{seed}", ARMS[arm]
    batch = int(CAPTIONS_PER_STEP / chosen.texts)
    # Four validations in every arm, however many epochs its steps are.
    settings = COMMON | {"batch_size": batch, "validate_every": STEPS / 4 / (30_000 // batch)}
    changes = [f"{name}={value}" for name, value in settings.items()] + list(chosen.settings)
    started = time.perf_counter()
    if not (folder / "manifest.json").is_file():
        call(
            *("train", corpus, "--recipe", chosen.recipe, "--source", "en", "--targets", chosen.targets),
            *("--features", FEATURES, "--out", folder, "--seed", seed, "--device", device),
            *(part for change in changes for part in ("--set", change)),
        )
        (folder / "seconds.json").write_text(json.dumps(time.perf_counter() - started))
    for slot, glob in SLOTS.items():
        report = out / "reports" / f"{arm}-{seed}-{slot}"
        if not (report / "manifest.json").is_file():
            call(
                *("evaluate", folder, corpus, "--split", "test", "--languages", "pt,en"),
                *("--match", f"pt={glob}", "--out", report),
            )


def call(*arguments: object) -> None:
    """Run the dragoman command line; its complaints go to our stderr."""
    command = [sys.executable, "-c", "from dragoman.cli import main; main()", *map(str, arguments)]
    print(" ".join(map(str, arguments)), file=sys.stderr)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def write_results(out: Path, arms: list[str], seeds: list[str], options: dict[str, object]) -> None:
    """Gather the reports into results.json and results.md."""
    results = {arm: {slot: gather(out, arm, seeds, slot) for slot in SLOTS} for arm in arms}
    seconds = {
        arm: [
            json.loads(path.read_text())
            for seed in seeds
            if (path := out / "runs" / f"{arm}-{seed}" / "seconds.json").is_file()
        ]
        for arm in arms
    }
    circumstances = {
        "command": f"python benchmarks/noisy_translation/run.py --seeds {','.join(seeds)}",
        "steps": STEPS,
        "captions_per_step": CAPTIONS_PER_STEP,
        "computer": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "device": options["device"],
        "workers": options["workers"],
        "threads": options["threads"],
    }
    tests = {slot: significance(out, arms, seeds, slot) for slot in SLOTS}
    everything = {
        "circumstances": circumstances,
        "results": results,
        "seconds": seconds,
        "differences": tests,
    }
    (HERE / "results.json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    (HERE / "results.md").write_text("\n".join(page(everything)) + "\n", encoding="utf-8")


def finished(out: Path, arm: str, seeds: list[str], slot: str) -> list[Path]:
    """The report folders of an arm, one a seed."""
    folders = [out / "reports" / f"{arm}-{seed}-{slot}" for seed in seeds]
    return [folder for folder in folders if (folder / "manifest.json").is_file()]


def gather(out: Path, arm: str, seeds: list[str], slot: str) -> dict[str, dict[str, list[float]]]:
    """`{language row: {metric: one value a seed}}`."""
    found: dict[str, dict[str, list[float]]] = {}
    for path in finished(out, arm, seeds, slot):
        report = json.loads((path / "report.json").read_text())
        for lang, rows in report["results"].items():
            for row, values in rows.items():
                cell = found.setdefault(f"{lang} {row}", {})
                cell.setdefault("sum_r", []).append(values["sum_r"])
                for direction in ("text_to_image", "image_to_text"):
                    for metric in ("recall@1", "recall@5", "recall@10"):
                        cell.setdefault(f"{direction} {metric}", []).append(values[direction][metric])
    return found


def significance(out: Path, arms: list[str], seeds: list[str], slot: str) -> list[dict[str, object]]:
    """Differences of SumR, Portuguese asked directly, of the pairs that the questions are about."""
    from dragoman.reports.compare import compare

    rivals = ["nrccr", "translate_train+lexicon", "nrccr+lexicon"]
    pairs = [("translate_train", None, arm) for arm in rivals]
    pairs += [("english", "translate_test", arm) for arm in ["translate_train", *rivals]]
    pairs += [("nrccr", None, arm) for arm in ARMS if arm.startswith(("nrccr-", "nrccr_t"))]
    found: list[dict[str, object]] = []
    for baseline, row, arm in pairs:
        if {baseline, arm} <= set(arms):
            systems = [finished(out, name, seeds, slot) for name in (baseline, arm)]
            for one in compare(*systems, baseline_row=row):
                if one.metric == "sum_r" and one.pair.language == "pt" and one.pair.row == "direct":
                    found.append(
                        {
                            "arm": arm,
                            "baseline": f"{baseline} {row or 'direct'}",
                            "difference": one.difference,
                            "interval": list(one.interval),
                            "p": one.p,
                        }
                    )
    return found


def page(everything: dict[str, dict]) -> Iterable[str]:
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
    yield f"Command: `{circumstances['command']}`. Computer: {circumstances['computer']}, "
    yield f"{circumstances['workers']} runs at a time, {circumstances['threads']} thread(s) each.\n"
    for slot, title in (("written", "written from the photo"), ("translated", "translated by people")):
        yield f"## Portuguese {title}: SumR\n"
        yield "| arm | | seeds | direct | translate-test | fused | English direct |"
        yield "|---|---|---|---|---|---|---|"
        for arm, results in everything["results"].items():
            cells = [
                show(results[slot].get(f"pt {row}", {}).get("sum_r"))
                for row in ("direct", "translate_test", "fused")
            ]
            english = show(results[slot]["en direct"]["sum_r"])
            count = len(results[slot]["pt direct"]["sum_r"])
            yield f"| {arm} | {ARMS[arm].what} | {count} | {' | '.join(cells)} | {english} |"
        yield ""
        yield f"## Portuguese {title}: recall, direct\n"
        names = [f"{way} recall@{k}" for way in ("text_to_image", "image_to_text") for k in (1, 5, 10)]
        yield "| arm | t2i R@1 | R@5 | R@10 | i2t R@1 | R@5 | R@10 | minutes |"
        yield "|---|---|---|---|---|---|---|---|"
        for arm, results in everything["results"].items():
            cells = [show(results[slot]["pt direct"][name]) for name in names]
            minutes = statistics.median(everything["seconds"][arm]) / 60
            yield f"| {arm} | {' | '.join(cells)} | {minutes:.1f} |"
        yield ""
        yield f"## Portuguese {title}: differences of direct SumR\n"
        yield "Over the mean of the seeds; intervals by bootstrap over images, p by sign flips over images.\n"
        yield "| arm | against | difference | 95 % interval | p |"
        yield "|---|---|---|---|---|"
        for one in everything["differences"][slot]:
            low, high = one["interval"]
            yield (
                f"| {one['arm']} | {one['baseline']} | {one['difference']:+.1f} | "
                f"{low:+.1f} to {high:+.1f} | {one['p']:.4f} |"
            )
        yield ""


def show(values: list[float] | None) -> str:
    """Mean and spread."""
    if not values:
        return "–"
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


if __name__ == "__main__":
    main()
