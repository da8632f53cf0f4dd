"""LECCR: what descriptions of photos bring, in the wrong hands too, and what each released fault costs.

    python benchmarks/methods/leccr.py --out WORK [--data DIR] [--seeds 1,2,3] [--arms leccr,none]

Two collections. The generated world, 1,200 pictures, each described by the generator's full English account
of its scene, a sentence a fact; captions in English and recorded Apertium's Portuguese. And with DIR, the
folder `flickr8k_multilingual`, Flickr8k: two captions of each training photo and their translations by
Apertium, MobileNetV2 vectors; a photo is described by a caption of each of the five training photos that look
most like it, so that no model that sees is needed and no caption of a test photo is ever read.

All arms stand on the vectors `use` of texts (`pip install 'dragoman[use]'`), take as many steps, and are
asked by captions of test that people (or the generator) wrote. Runs that are finished are not repeated.
Writes leccr.json and leccr.md beside this file.

Named beforehand: the primary figure is SumR in Portuguese; in the world of pictures with at least four
things, on Flickr8k of all photos. Descriptions that were dealt out anew must be within chance of none.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dragoman.corpus import Corpus, FeatureSet
from dragoman.descriptions import describe_from, describe_nearest
from dragoman.evaluation import Positives, rank_queries, sum_r, summarise
from dragoman.features.texts import extract_texts
from dragoman.folders import write_text
from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import Arm, Trial, spread, table
from dragoman.reports.evaluator import feature_set
from dragoman.reports.settings import EvaluationSettings
from dragoman.retrievers.trained import Retriever
from dragoman.scenes.grammars import en
from dragoman.scenes.items import picture_items
from dragoman.scenes.scene import Group, Scene
from dragoman.scenes.world import RECORDED, WorldSettings, write_world
from dragoman.translation import TranslateSettings, translate

HERE = Path(__file__).parent
TARGET = "pt"
ENGINE = "apertium:eng-spa|es-pt"
SLOTS = 2
"""Captions of each photo of train and val that take part."""
MANY = 4
"""Things from which on a scene holds many."""
ITEMS = 1200
"""Pictures whose captions Apertium's recording holds."""
SMALL = {
    "batch_size": "128",
    "steps": "250",
    "dual.joint": "256",
    "incomplete": "keep",
    # One validation, at the end: all arms are of one length.
    "validate_every": "1000",
    "checkpoint_every": "100",
}
SMALL_SLOTS = {"slots.width": "128", "slots.sentences": "5"}


def arm(recipe: str, corpus: str, about: str, **settings: str) -> tuple[str, str, str, dict[str, str]]:
    """Recipe, corpus, words and settings of a row; `__` stands for a dot."""
    changes = {name.replace("__", "."): value for name, value in settings.items()}
    slots = SMALL_SLOTS if recipe == "leccr" or "descriptions" in settings else {}
    return recipe, corpus, about, SMALL | slots | changes


RELEASED = {
    "orientation": {"loss__orientation": "released"},
    "softness": {"loss__softness": "1"},
    "diversity": {"loss__diversity": "signed"},
    "agreement": {"loss__agreement": "released"},
    "queries": {"slots__query_scale": "0"},
}
FAULTS = {
    "orientation": "rows of the slots' part of soft labels are images",
    "softness": "soft labels and what learns them without a temperature",
    "diversity": "diversity is signed",
    "agreement": "agreement of unit length along the slots",
    "queries": "queries begin at zero",
}
ARMS = {
    "linear": arm("linear", "none", "no slots: the plain contrast"),
    "none": arm("leccr", "none", "`leccr`, nothing is described"),
    "leccr": arm("leccr", "described", "`leccr`"),
    "shuffled": arm("leccr", "shuffled", "descriptions dealt out anew within each split"),
    "half": arm("leccr", "half", "half of all items described, in training and test"),
    "slots": arm("linear", "described", "slots, and the plain contrast alone", descriptions="use"),
    "hard": arm("leccr", "described", "without soft labels", loss__softening="0"),
    **{
        f"released {name}": arm("leccr", "described", f"released: {FAULTS[name]}", **RELEASED[name])
        for name in RELEASED
    },
    "released": arm(
        "leccr",
        "described",
        "released: all of these",
        **{setting: value for one in RELEASED.values() for setting, value in one.items()},
    ),
}
ON_PHOTOS = ("linear", "none", "leccr", "shuffled", "half", "released")
"""Arms on Flickr8k, which is larger; all others are of the world alone."""
GAINS = {
    "leccr": ("none", "linear", "shuffled"),
    "shuffled": ("none",),
    "half": ("none",),
    "slots": ("none",),
    "hard": ("leccr",),
    **{name: ("leccr",) for name in ARMS if name.startswith("released")},
}
"""Arms, and those that they are compared with."""
COLUMNS = {
    "world": ("pt many", "pt few", "pt", "en", "pt bare"),
    "flickr8k": ("pt", "en", "pt told", "pt untold", "pt bare"),
}
PRIMARY = {"world": "pt many", "flickr8k": "pt"}


def main() -> None:
    """Make both collections, train, evaluate, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of Flickr8k; without it the world alone")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--arms", help="by default all")
    options = parser.parse_args()
    arms, seeds = (options.arms or ",".join(ARMS)).split(","), options.seeds.split(",")
    collections = ["world"] + ["flickr8k"] * (options.data is not None)
    for collection in collections:
        prepare(collection, options.out / collection, options.data)
    for seed in seeds:
        for collection in collections:
            for name in chosen(collection, arms):
                # One after another in this process: a short run should not wait for PyTorch.
                trial(options.out / collection, collection, name, seed).perform()
            everything = {
                "circumstances": experiment.circumstances(
                    f"python benchmarks/methods/leccr.py --out WORK{' --data DIR' * (len(collections) - 1)} "
                    f"--seeds {options.seeds}"
                ),
                "collections": {
                    one: measured(options.out / one, one, chosen(one, arms), seeds) for one in collections
                },
            }
            # After each round, so that what is finished can be read.
            experiment.write_results(HERE, everything, page(everything), "leccr")


def chosen(collection: str, arms: Sequence[str]) -> list[str]:
    """Of some arms, those on a collection."""
    return [name for name in arms if collection == "world" or name in ON_PHOTOS]


def prepare(collection: str, out: Path, data: Path | None) -> None:
    """Build the corpora of a collection: nothing, all, the wrong and half of the items described."""
    if (out / "groups.json").is_file():
        return
    base, describe = (
        (world(out / "none"), describe_scenes)
        if data is None or collection == "world"
        else (flickr8k(data, out / "none"), describe_photos)
    )
    described = copied(base, out / "described")
    describe(described)
    told: dict[str, list[str]] = {}
    texts = Corpus.open(described).select(role="description")
    for item_id, text in zip(texts.item_ids, texts.texts, strict=True):
        told.setdefault(item_id, []).append(text)
    chance = np.random.default_rng(0)
    items = Corpus.open(base).items.select(["item_id", "split"]).to_pylist()
    dealt: dict[str, list[str]] = {}
    for split in ("train", "val", "test"):
        ids = [item["item_id"] for item in items if item["split"] == split and item["item_id"] in told]
        dealt |= {ids[at]: told[ids[to]] for at, to in enumerate(chance.permutation(len(ids)))}
    half = {item_id: told[item_id] for item_id in told if chance.random() < 0.5}
    for name, chosen in (("shuffled", dealt), ("half", half)):
        rows = ({"item_id": item_id, "text": text} for item_id, some in chosen.items() for text in some)
        file = out / f"{name}.jsonl"
        write_text(file, "".join(json.dumps(row) + "\n" for row in rows))
        # By chance a caption of its own item may be dealt to it.
        describe_from(copied(base, out / name), file, reject_file=out / f"{name}-rejected.jsonl")
    for name in ("none", "described", "shuffled", "half"):
        extract_texts(out / name, encoder="use")
    groups = {"told": sorted(half), "untold": sorted(told.keys() - half.keys())}
    if collection == "world":
        scenes = {item.item_id: item.shows for item in picture_items(ITEMS, 1)}
        many = {item_id for item_id, scene in scenes.items() if things(scene) >= MANY}
        groups |= {"many": sorted(many), "few": sorted(scenes.keys() - many)}
    write_text(out / "groups.json", json.dumps(groups))


def copied(corpus: Path, out: Path) -> Path:
    """Copy a corpus; files are replaced and never edited, so that links will do."""
    shutil.copytree(corpus, out, copy_function=os.link, dirs_exist_ok=True)
    return out


def world(out: Path) -> Path:
    """The generated world, with captions of training in English and recorded Portuguese."""
    write_world(out, WorldSettings(items=ITEMS, languages=(TARGET,)))
    settings = TranslateSettings(splits=("train", "val"), cache=out.parent / "cache")
    translate(out, to=TARGET, engine=f"recorded:{out / RECORDED.name}", settings=settings)
    return out


def flickr8k(data: Path, out: Path) -> Path:
    """Two captions of each photo of train and val with their translations, and all captions of test."""

    def wanted(caption: Mapping[str, str]) -> bool:
        number = int(caption["caption_id"].rpartition("#")[2]) if caption["lang"] == "en" else -1
        if caption["split"] == "test":
            return caption["role"] == "human" and (caption["lang"] == "en" or "#pt#" in caption["caption_id"])
        if caption["role"] == "human":
            return caption["lang"] == "en" and number < SLOTS
        source = caption["source_id"].rpartition("#")[2]
        return caption["lang"] == TARGET and caption["engine"] == ENGINE and int(source) < SLOTS

    return experiment.captions_corpus(data, out, wanted, features="mobilenet_v2")


def describe_scenes(corpus: Path) -> None:
    """Describe each picture by the facts of its scene."""
    rows = (
        {"item_id": item.item_id, "text": " ".join(account(item.shows))} for item in picture_items(ITEMS, 1)
    )
    file = corpus.parent / "accounts.jsonl"
    write_text(file, "".join(json.dumps(row) + "\n" for row in rows))
    describe_from(corpus, file)


def describe_photos(corpus: Path) -> None:
    """Describe each photo by captions of the training photos most like it."""
    describe_nearest(corpus, "mobilenet_v2")


def account(scene: Any) -> Iterator[str]:
    """Say each fact of a scene in a sentence."""
    assert isinstance(scene, Scene)
    yield f"There {verb(scene.first)} {phrase(scene.first)}."
    if scene.second is not None and scene.relation is not None:
        yield f"There {verb(scene.second)} {phrase(scene.second)}."
        where = en.RELATIONS[scene.relation][0]
        yield f"The {noun(scene.first)} {verb(scene.first)} {where} the {noun(scene.second)}."
    if scene.place is not None:
        yield f"The {noun(scene.first)} {verb(scene.first)} {en.PLACES[scene.place][0]}."
    yield f"It is {en.GROUNDS[scene.ground][0]}."


def noun(group: Group) -> str:
    """The thing, or the things."""
    singular, plural = en.NOUNS[group.kind][0].split()
    return singular if group.count == 1 else plural


def verb(group: Group) -> str:
    """Number of the verb."""
    return "is" if group.count == 1 else "are"


def phrase(group: Group) -> str:
    """How many of what size and colour."""
    count = "one" if group.count == 1 else en.NUMERALS[group.count]
    return f"{count} {group.size} {group.colour} {noun(group)}"


def things(scene: Any) -> int:
    """Number of things in a scene."""
    return int(scene.first.count + (0 if scene.second is None else scene.second.count))


def trial(out: Path, collection: str, name: str, seed: str) -> Trial:
    """One arm with one seed."""
    recipe, corpus, about, settings = ARMS[name]
    features = "grid" if collection == "world" else "mobilenet_v2"
    folder = f"{name.replace(' ', '-')}-{seed}"
    return Trial(
        corpus=out / corpus,
        arm=Arm(recipe=recipe, about=about, targets=(TARGET,), features=features, settings=settings),
        seed=int(seed),
        run=out / "runs" / folder,
        reports={out / "reports" / folder: EvaluationSettings(languages=(TARGET,), split="test")},
        measures={out / "measures" / f"{folder}.json": by_group},
        keep_run=False,
    )


def by_group(trial: Trial) -> dict[str, float]:
    """SumR of Portuguese captions of the items of each group, of all photos seen without their descriptions,
    and of English captions."""
    groups = json.loads((trial.corpus.parent / "groups.json").read_text(encoding="utf-8"))
    retriever, corpus = Retriever.load(trial.run), Corpus.open(trial.corpus)
    retriever.look_up(corpus)
    asked = corpus.select(role="human", lang=TARGET, split="test")
    texts = retriever.encode_text(asked.texts)
    gallery = corpus.split("test")["item_id"].to_pylist()
    seen = feature_set(retriever, corpus, None)

    def images(features: FeatureSet) -> NDArray[np.float32]:
        return retriever.encode_features(np.asarray(features.whole(features.rows(gallery))))

    told = images(seen)
    found = {
        name: group_sum_r(texts, told, asked.item_ids, gallery, set(members))
        for name, members in groups.items()
    }
    bare = images(corpus.features(trial.arm.features))
    found["bare"] = group_sum_r(texts, bare, asked.item_ids, gallery, set(gallery))
    said = corpus.select(role="human", lang="en", split="test")
    english = retriever.encode_text(said.texts)
    return found | {"en": group_sum_r(english, told, said.item_ids, gallery, set(gallery))}


def group_sum_r(
    texts: NDArray[np.float32],
    images: NDArray[np.float32],
    items: Sequence[str],
    gallery: Sequence[str],
    members: set[str],
) -> float:
    """SumR of the captions and images of some items, among all images and captions."""
    asking = [row for row, item_id in enumerate(items) if item_id in members]
    captioned = set(items)
    shown = [row for row, item_id in enumerate(gallery) if item_id in members & captioned]
    to_image = Positives.from_items([items[row] for row in asking], gallery)
    to_text = Positives.from_items([gallery[row] for row in shown], items)
    return sum_r(
        summarise(rank_queries(texts[asking], images, to_image)),
        summarise(rank_queries(images[shown], texts, to_text)),
    )


def measured(out: Path, collection: str, arms: Sequence[str], seeds: Sequence[str]) -> dict[str, Any]:
    """Gather what is finished: figures by column, one a seed, minutes, and differences."""
    results: dict[str, Any] = {}
    for name in arms:
        folders = [folder for seed in seeds if not (folder := trial(out, collection, name, seed)).missing]
        figures: dict[str, list[float]] = {column: [] for column in COLUMNS[collection]}
        for one in folders:
            (report,), (file,) = one.reports, one.measures
            asked = experiment.read_report(report)["results"]
            groups = json.loads(file.read_text(encoding="utf-8"))
            known = {TARGET: asked[TARGET]["direct"]["sum_r"], "en": groups["en"]}
            known |= {f"{TARGET} {group}": value for group, value in groups.items()}
            for column in figures:
                figures[column].append(known[column])
        minutes = [experiment.minutes(report) for one in folders for report in one.reports]
        results[name] = {"seeds": [one.seed for one in folders], "sum_r": figures, "minutes": minutes}
    return {"results": results, "gains": list(gains(out, collection, arms, seeds))}


def gains(out: Path, collection: str, arms: Sequence[str], seeds: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Differences of SumR in Portuguese, over photos and seeds."""
    for name, rivals in GAINS.items():
        for rival in rivals:
            if not {name, rival} <= set(arms):
                continue
            pairs = [[trial(out, collection, one, seed) for one in (rival, name)] for seed in seeds]
            done = [pair for pair in pairs if not any(one.missing for one in pair)]
            if done:
                before, after = (
                    [next(iter(one.reports)) for one in side] for side in zip(*done, strict=True)
                )
                found = experiment.difference(before, after, language=TARGET)
                yield {"arm": name, "rival": rival, "seeds": len(done), **found}


def page(everything: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
    circumstances = everything["circumstances"]
    yield "# LECCR: descriptions beside the picture\n"
    yield (
        "SumR = R@1 + R@5 + R@10 in both directions, at most 600, of test captions that people (in the world "
        "the generator) wrote; mean ± sample standard deviation over seeds; 250 steps of 128 captions. "
        f"*pt many*: pictures with at least {MANY} things; *told*, *untold*: the photos that the arm `half` "
        "has descriptions of, and the others; *bare*: the same model, its photos seen without descriptions. "
        "Primary, named beforehand: *pt many* in the world, *pt* on Flickr8k.\n"
    )
    yield f"Command: `{circumstances['command']}`. Commit {circumstances['commit']}. "
    yield f"Computer: {circumstances['computer']}, busy with other work.\n"
    titles = {
        "world": "The generated world, described by the full account of each scene",
        "flickr8k": "Flickr8k, described by captions of the five training photos most alike",
    }
    for collection, found in everything["collections"].items():
        yield f"## {titles[collection]}\n"
        columns = COLUMNS[collection]
        yield from table(
            ("arm", "what it is", "seeds", *columns, "minutes"),
            [
                (
                    f"`{name}`",
                    ARMS[name][2],
                    len(one["seeds"]),
                    *(spread(one["sum_r"][column]) for column in columns),
                    f"{statistics.median(one['minutes']):.1f}",
                )
                for name, one in found["results"].items()
                if one["seeds"]
            ],
        )
        yield (
            "\nDifferences in Portuguese with 95 % intervals. " + experiment.told_over(found["gains"]) + ".\n"
        )
        yield from table(
            ("arm", "over", "seeds", "difference", "interval", "p"),
            [
                (
                    f"`{one['arm']}`",
                    f"`{one['rival']}`",
                    one["seeds"],
                    f"{one['difference']:+.1f}",
                    "{:+.1f} to {:+.1f}".format(*one["interval"]),
                    f"{one['p']:.3f}",
                )
                for one in found["gains"]
            ],
        )
        yield ""


if __name__ == "__main__":
    main()
