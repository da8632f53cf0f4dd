"""One model for seven languages, from machine translations only, tested on captions by people.

    python benchmarks/many_languages/run.py --data DIR --out WORK [--seeds 1,2,3] [--workers 2]

DIR is the folder `flickr8k_multilingual` (captions.jsonl.gz, features/). English plus pt, es, gl, zh, uk, ar
by whichever engines translated them. Every arm gets the same text encoder, features, steps, learning rate and
number of captions a step; the arms "at equal steps" get as many images a step as 1-to-K has, whatever that
costs. `--words` names a list of Portuguese words (Debian: apt-get install wbrazilian) for the lexicon. Runs
that are finished are not repeated; seeds that results.json holds from elsewhere stay in it. Writes
results.json and results.md beside this file.
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
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
FEATURES = "mobilenet_v2"
TARGETS = "pt,es,gl,zh,uk,ar"
TESTED = ("en", "pt", "zh", "ar")
GOAL = ("pt", "zh", "ar")
"""Human captions of languages that were learned from machine ones."""
UNSEEN = ("de", "cs")
MATCH = ("pt=*#pt#*", "de=*#de#*")
"""Portuguese and German written from the photo; Arabic and Czech have translations only."""
CAPTIONS_PER_STEP = 384
STEPS = 400
SMALL = (f"captions_per_step={CAPTIONS_PER_STEP // 2}", f"steps={2 * STEPS}")
"""The same number of captions over the run, in steps of half the size."""
IMAGES_PER_STEP = 58
"""Of 1-to-K: 384 captions over 6.6 languages an image."""
COMMON = {"steps": STEPS, "validation_captions": 500, "validate_every": 1000, "checkpoint_every": 10_000}


@dataclass(frozen=True)
class Arm:
    """One row of the table."""

    recipe: str
    what: str
    settings: tuple[str, ...] = ()
    targets: str = TARGETS
    images: int | None = None
    """Images a step, instead of captions."""


ARMS = {
    "source_only": Arm("source_only", "English captions alone"),
    "random": Arm("random_language", "1-to-1, a random language"),
    "pivot": Arm("pivot", "images-English, English-other"),
    "per_language": Arm("per_language", "all languages, uncoupled"),
    "one_to_k": Arm("one_to_k", "1-to-K"),
    "one_to_k_1/K": Arm("one_to_k", "1-to-K, text to image over K", ("loss.text_weight=inverse_k",)),
    **{
        f"nrccr_{lang}{share}": Arm("nrccr", f"NRCCR for {lang} alone", ("incomplete=keep", steps), lang)
        for lang in ("pt", "zh", "ar")
        for share, steps in (("", f"steps={STEPS}"), ("/3", f"steps={STEPS // 3}"))
    },
    "random, small steps": Arm("random_language", "half the captions, twice the steps", SMALL),
    "dragoman": Arm("dragoman", "the house recipe, small steps", SMALL),
    "dragoman-links": Arm("dragoman", "without links between words", (*SMALL, "text.links=0")),
    "random+links": Arm("random_language", "1-to-1, with links", ("text.links=2",)),
    "one_to_k+links": Arm("one_to_k", "1-to-K, with links", ("text.links=2",)),
    "dragoman-lexicon": Arm("dragoman", "without the lexicon", (*SMALL, "synonyms=0", "renderings=0")),
    "dragoman-images": Arm("dragoman", "without extra images", (*SMALL, "extra_images=0")),
    "dragoman-trust": Arm("dragoman", "without trust", (*SMALL, "trust.weight=false")),
    "dragoman, shuffled trust": Arm("dragoman", "trust dealt out at random", (*SMALL, "trust.shuffled=true")),
    "dragoman+ties": Arm(
        "dragoman",
        "with source captions, distillation and bridge",
        (*SMALL, "always_source=true", "loss.bridge_weight=0.5", "loss.distil_weight=0.5"),
    ),
    "random, equal steps": Arm("random_language", "1-to-1, a random language", images=IMAGES_PER_STEP),
    "pivot, equal steps": Arm("pivot", "images-English, English-other", images=IMAGES_PER_STEP),
    "dragoman, equal steps": Arm("dragoman", "the house recipe", images=IMAGES_PER_STEP),
}
NO_WAY_BACK = ("nrccr_zh", "nrccr_ar", "nrccr_zh/3", "nrccr_ar/3")
"""No engine translated these back, so NRCCR goes without its cycle."""


def main() -> None:
    """Train, evaluate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--words", type=Path, default=Path("/usr/share/dict/brazilian"))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--arms", default=";".join(ARMS), help="by semicolons")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads of a run")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--results", action="store_true", help="train nothing, write what is there")
    options = parser.parse_args()
    arms, seeds = options.arms.split(";"), options.seeds.split(",")
    if options.results:
        write_results(options.out, [*ARMS], seeds, vars(options))
        return
    corpus = prepare(options.data, options.out, options.words)
    jobs = [(arm, seed) for seed in seeds for arm in arms]
    os.environ["OMP_NUM_THREADS"] = str(options.threads)
    # The gradient of the embeddings is a large block; without these, every step asks the system for it anew.
    os.environ |= {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 33)}
    with ThreadPoolExecutor(options.workers) as pool:
        list(pool.map(lambda job: run(corpus, options.out, *job, options.device), jobs))
    write_results(options.out, [*ARMS], seeds, vars(options))


def prepare(data: Path, out: Path, words: Path) -> Path:
    """The corpus of this benchmark, with trust scores and a Portuguese lexicon."""
    corpus = out / "corpus"
    if not (corpus / "manifest.json").is_file():
        out.mkdir(parents=True, exist_ok=True)
        chosen = out / "captions.jsonl"
        with gzip.open(data / "captions.jsonl.gz", "rb") as lines, chosen.open("wb") as file:
            file.writelines(line for line in lines if wanted(json.loads(line)))
        features = ["--features", data / "features" / f"{FEATURES}.npy", "--feature-ids"]
        call("corpus", "jsonl", chosen, *features, data / "features" / "ids.txt", "--out", corpus)
    if not (corpus / "trust" / "manifest.json").is_file():
        call("trust", corpus, "--words", f"pt={words}", "--bridge", "es,pt=apertium:es-pt")
    if not (corpus / "lexicon" / "pt.tsv").is_file():
        call("lexicon", corpus, "--lang", "pt", "--words", words, "--engine", "apertium:pt-es|spa-eng")
    return corpus


def wanted(caption: dict[str, str]) -> bool:
    """Machine captions of all languages, English ones, and what people wrote for validation and test."""
    if caption["role"] != "human" or caption["lang"] == "en":
        return True
    return caption["split"] != "train" and caption["lang"] in (*TESTED, *UNSEEN)


def run(corpus: Path, out: Path, arm: str, seed: str, device: str) -> None:
    """Train and evaluate one arm with one seed, unless that is done."""
    folder, chosen = out / "runs" / f"{name_of(arm)}-{seed}", ARMS[arm]
    size = {"captions_per_step": CAPTIONS_PER_STEP}
    if chosen.images:
        size = {"captions_per_step": None, "batch_size": chosen.images}
    changes = [f"{name}={value}" for name, value in (COMMON | size).items()] + list(chosen.settings)
    changes += ["loss.cycle=false"] * (arm in NO_WAY_BACK)
    started = time.perf_counter()
    if not (folder / "manifest.json").is_file():
        call(
            *("train", corpus, "--recipe", chosen.recipe, "--source", "en", "--targets", chosen.targets),
            *("--features", FEATURES, "--engine", "*", "--out", folder, "--seed", seed, "--device", device),
            *(part for change in changes for part in ("--set", change)),
        )
        (folder / "seconds.json").write_text(json.dumps(time.perf_counter() - started))
    report = out / "reports" / f"{name_of(arm)}-{seed}"
    if not (report / "manifest.json").is_file():
        languages = ",".join((*TESTED, *UNSEEN))
        call(
            *("evaluate", folder, corpus, "--split", "test", "--languages", languages),
            *(part for match in MATCH for part in ("--match", match)),
            *("--consistency", ",".join(TESTED), "--slots", "drawn", "--out", report),
        )


def name_of(arm: str) -> str:
    """An arm as the name of a folder."""
    return "".join(letter if letter.isalnum() else "_" for letter in arm)


def call(*arguments: object) -> None:
    """Run the dragoman command line; its complaints go to our stderr."""
    command = [sys.executable, "-c", "from dragoman.cli import main; main()", *map(str, arguments)]
    print(" ".join(map(str, arguments)), file=sys.stderr)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


Measured = dict[str, dict[str, float]]
"""Seed to metric to value."""


def write_results(out: Path, arms: Sequence[str], seeds: Sequence[str], options: dict[str, object]) -> None:
    """Gather the reports into results.json and results.md, beside what was measured before."""
    results = {arm: gather(out, arm, seeds) for arm in arms if not arm.startswith("nrccr_")}
    for share, name in JOINED.items():
        results[name] = joined_nrccr(out, seeds, share)
    circumstances = {
        "command": f"python benchmarks/many_languages/run.py --seeds {','.join(seeds)}",
        "steps": STEPS,
        "captions_per_step": CAPTIONS_PER_STEP,
        "computer": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        **{name: options[name] for name in ("device", "workers", "threads")},
    }
    earlier = json.loads((HERE / "results.json").read_text(encoding="utf-8"))
    if earlier["circumstances"] == circumstances:
        for arm, measured in results.items():
            results[arm] = dict(sorted((earlier["results"].get(arm, {}) | measured).items()))
    everything = {
        "circumstances": circumstances,
        "results": {arm: measured for arm, measured in results.items() if measured},
        "differences": differences(out, seeds),
    }
    (HERE / "results.json").write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    (HERE / "results.md").write_text("\n".join(page(everything)) + "\n", encoding="utf-8")


def finished(out: Path, arm: str, seeds: Sequence[str]) -> list[Path]:
    """The report folders of an arm, one a seed."""
    folders = [out / "reports" / f"{name_of(arm)}-{seed}" for seed in seeds]
    return [folder for folder in folders if (folder / "manifest.json").is_file()]


def gather(out: Path, arm: str, seeds: Sequence[str]) -> Measured:
    """What the finished reports of an arm say."""
    found: Measured = {}
    for seed in seeds:
        for path in finished(out, arm, [seed]):
            report = json.loads((path / "report.json").read_text())
            sums = {lang: report["results"][lang]["direct"]["sum_r"] for lang in (*TESTED, *UNSEEN)}
            consistency = report["consistency"]["direct"]
            found[seed] = recalls(sums) | {
                f"{direction} {metric}": consistency[direction][metric]
                for direction in ("text_to_image", "image_to_text", "mean")
                for metric in (
                    "mrv_std",
                    "mrv_var",
                    "mrv_std_log",
                    "mrv_std_clipped",
                    "overlap@1",
                    "overlap@10",
                )
            }
            found[seed]["minutes"] = minutes_of(out, path.name)
    return found


def recalls(sums: dict[str, float]) -> dict[str, float]:
    """SumR of each language, and what follows from them."""
    goal = [sums[lang] for lang in GOAL]
    whole = {f"{lang} sum_r": value for lang, value in sums.items()}
    return whole | {"mean sum_r": statistics.mean(goal), "min sum_r": min(goal)}


def minutes_of(out: Path, name: str) -> float:
    seconds: float = json.loads((out / "runs" / name / "seconds.json").read_text())
    return seconds / 60


JOINED = {"/3": "nrccr, three models, a third each", "": "nrccr, three models, all each"}


def joined_nrccr(out: Path, seeds: Sequence[str], share: str) -> Measured:
    """A model for each language: what its users get, and how far the models' ranks agree."""
    from dragoman.evaluation import mean_rank_variance

    found: Measured = {}
    for seed in seeds:
        folders = {lang: finished(out, f"nrccr_{lang}{share}", [seed]) for lang in GOAL}
        if not all(folders.values()):
            continue
        minutes = sum(minutes_of(out, path.name) for (path,) in folders.values())
        folders["en"] = folders["pt"]
        reports = {lang: json.loads((path / "report.json").read_text()) for lang, (path,) in folders.items()}
        values = recalls({lang: reports[lang]["results"][lang]["direct"]["sum_r"] for lang in TESTED})
        for direction in ("text_to_image", "image_to_text"):
            ranks = np.stack([ranks_of(folders[lang][0], lang, direction) for lang in TESTED], axis=1)
            spreads = mean_rank_variance(ranks) | {"mrv_std_log": float(np.log(ranks).std(axis=1).mean())}
            values |= {f"{direction} {metric}": value for metric, value in spreads.items()}
        for metric in ("mrv_std", "mrv_var", "mrv_std_log"):
            both = [values[f"{direction} {metric}"] for direction in ("text_to_image", "image_to_text")]
            values[f"mean {metric}"] = statistics.mean(both)
        found[seed] = values | {"minutes": minutes}
    return found


def ranks_of(report: Path, lang: str, direction: str) -> np.ndarray:
    """Ranks of the common instances of one language, ordered by instance."""
    import pyarrow.parquet as pq

    lines = [
        line
        for line in pq.read_table(report / "consistency.parquet").to_pylist()
        if (line["language"], line["row"], line["direction"]) == (lang, "direct", direction)
    ]
    lines.sort(key=lambda line: (line["item_id"], line.get("slot") or 0))
    return np.array([line["rank"] for line in lines])


RIVALS = (
    *("random", "random, small steps", "pivot", "per_language", "one_to_k", "one_to_k_1/K"),
    *("random+links", "one_to_k+links"),
)


def differences(out: Path, seeds: Sequence[str]) -> list[dict[str, object]]:
    """Paired differences of `dragoman` and each rival: SumR of each language, and consistency."""
    from dragoman.reports.compare import compare

    found: list[dict[str, object]] = []
    for rival in RIVALS:
        both = [seed for seed in seeds if finished(out, rival, [seed]) and finished(out, "dragoman", [seed])]
        systems = [finished(out, arm, both) for arm in (rival, "dragoman")]
        if not both:
            continue
        for one in compare(*systems):
            whole = one.metric == "sum_r" or (one.metric == "mrv_std" and one.direction == "both")
            if whole and one.pair.row == "direct" and one.pair.language not in UNSEEN:
                found.append(
                    {
                        "against": rival,
                        "seeds": len(both),
                        "language": one.pair.language,
                        "metric": one.metric,
                        "difference": one.difference,
                        "interval": list(one.interval),
                        "p": one.p,
                    }
                )
    return found


def page(everything: dict[str, dict]) -> Iterable[str]:
    """The Markdown page."""
    circumstances, results = everything["circumstances"], everything["results"]
    yield "# Many languages in one model\n"
    yield (
        f"Flickr8k: English captions, {TARGETS} from machine translations only; questions by people. "
        f"MobileNetV2 features, {circumstances['steps']} steps, {circumstances['captions_per_step']} "
        "captions a step, the same text encoder and learning rate for all. SumR = R@1 + R@5 + R@10 in both "
        "directions, at most 600, 1,000 test images. Mean ± sample standard deviation over "
        "the seeds. de and cs are zero-shot: no caption of theirs was seen.\n"
    )
    yield f"Command: `{circumstances['command']}`. Computer: {circumstances['computer']}, "
    yield f"{circumstances['workers']} runs at a time, {circumstances['threads']} thread(s) each.\n"
    yield "## Recall: SumR\n"
    yield "AR is a sixth. Minimum and mean are over pt, zh, ar. The minutes are those of a busy computer.\n"
    yield "| arm | | seeds | en | pt | zh | ar | mean | min | de | cs | minutes |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|"
    columns = ["en", "pt", "zh", "ar", "mean", "min", "de", "cs"]
    for arm, measured in results.items():
        cells = [show(measured, f"{name} sum_r") for name in columns]
        what = ARMS[arm].what if arm in ARMS else "of the captions of the others"
        minutes = statistics.median(values["minutes"] for values in measured.values())
        yield f"| {arm} | {what} | {len(measured)} | {' | '.join(cells)} | {minutes:.1f} |"
    yield "\n## Consistency over en, pt, zh, ar\n"
    yield (
        "Ranks of the common test images, mean of both directions (docs/evaluation.md); mrv_std and mrv_var "
        "as in the literature, mrv_std_log over logarithms of ranks. Low is consistent. Where a language has "
        "more captions of an image than another, the common ones are drawn.\n"
    )
    names = ["mrv_std", "mrv_var", "mrv_std_log", "overlap@1", "overlap@10"]
    yield f"| arm | {' | '.join(names)} |"
    yield "|---|" + "---|" * len(names)
    for arm, measured in results.items():
        cells = [show(measured, f"mean {name}", 3 if name in names[2:] else 1) for name in names]
        yield f"| {arm} | {' | '.join(cells)} |"
    yield "\n## dragoman against its rivals\n"
    yield "Over the mean of the seeds; intervals by bootstrap over images, p by sign flips over images.\n"
    yield "| against | seeds | language | metric | difference | 95 % interval | p |"
    yield "|---|---|---|---|---|---|---|"
    for one in everything["differences"]:
        low, high = one["interval"]
        named = [one[name] for name in ("against", "seeds", "language", "metric")]
        found = [f"{one['difference']:+.1f}", f"{low:+.1f} to {high:+.1f}", f"{one['p']:.4f}"]
        yield f"| {' | '.join(map(str, named + found))} |"


def show(measured: Measured, metric: str, digits: int = 1) -> str:
    """Mean and spread over the seeds."""
    found = [values[metric] for values in measured.values() if metric in values]
    if not found:
        return "–"
    spread = f" ± {statistics.stdev(found):.{digits}f}" if len(found) > 1 else ""
    return f"{statistics.mean(found):.{digits}f}{spread}"


if __name__ == "__main__":
    main()
