"""Speech without text: units of sound, asked in a language that training never heard.

    python benchmarks/speech/units.py --out WORK [--encoder FOLDER] [--recogniser FOLDER] [--seeds 2]

In the generated world, captions of training in English and Spanish are spoken by espeak-ng in several voices
and speeds; questions of test in English, Spanish and Portuguese in others. Their units, of log-mel frames and
of the middle layer of a Whisper of transformers (FOLDER), are read as spelling by the small text encoder. So
are the same captions typed, and what a recogniser writes of the first questions. SumR is here R@1 + R@5 +
R@10 of photos for questions, at most 300. Controls: units shuffled in time, in training and test, and in test
alone. White noise is added at some decibels below the voice, to the first questions.

Units and words that were found are kept in WORK, so that a run goes on where it was. Writes units.json and
units.md beside this file.
"""

from __future__ import annotations

import argparse
import json
import random
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from run import CUTOFFS, NOISES, loud, with_noise

from dragoman.corpus import BuildOptions, Corpus, build_jsonl
from dragoman.corpus.given import GivenFeatures
from dragoman.evaluation.ranks import Positives, rank_scores
from dragoman.evaluation.scores import MatrixScores
from dragoman.folders import MANIFEST
from dragoman.media.sound import Samples, read_sound
from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import Arm, Trial, table
from dragoman.retrievers.trained import Retriever
from dragoman.scenes.world import WorldSettings, write_world
from dragoman.speech.hearing import NothingUnderstoodError, hear
from dragoman.speech.recogniser import open_recogniser
from dragoman.speech.speaking import SpeakSettings, drawn_voice, speak
from dragoman.speech.units import Units, UnitSettings, fit_units, worded_units

HERE = Path(__file__).parent
VOICES = {"en": "en-us", "es": "es", "pt": "pt-br"}
TRAINED = ("en", "es")
WORLD = WorldSettings(items=800, captions=1, languages=("es", "pt"), target_captions=True)
HEARD = SpeakSettings(voices=tuple(f"{lang}={voice}" for lang, voice in VOICES.items()))
ASKED = SpeakSettings(voices=HEARD.voices, variants=("m3", "m7", "f2", "f4"), speeds=(135, 165))
"""Voices and speeds of test, of which training has none."""
SETTINGS = {
    "target_captions": "human",
    "validation": "human",
    "text.shortest": "1",
    "text.longest": "3",
    "epochs": "20",
    "validate_every": "2",
}
NOTHING = "?"
PARTS = 3
"""Files in which units are kept: so many processes may find some at a time."""


class Caption(NamedTuple):
    """A caption of the world."""

    caption_id: str
    item_id: str
    lang: str
    split: str
    text: str


Found = dict[tuple[str, int | None], Any]
"""Units, or words, by caption and decibels."""


def main() -> None:
    """Speak, find units, train, ask, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--encoder", help="Whisper of transformers; without one, log-mel alone")
    parser.add_argument("--recogniser", help="for the row of recognition, then text")
    parser.add_argument("--seeds", type=int, default=2, help="of models that read units")
    parser.add_argument("--questions", type=int, default=100, help="of each language")
    parser.add_argument("--noisy", type=int, default=30, help="of these, with noise, and recognised")
    parser.add_argument("--part", type=int, help="find the units of one caption in three, 0 to 2, and end")
    options = parser.parse_args()
    world = write_world(options.out / "world", WORLD)
    captions = captions_of(world, options.questions)
    codebooks = {"log-mel": UnitSettings()}
    if options.encoder:
        codebooks["middle layer"] = UnitSettings(encoder=options.encoder)
    units = {name: fitted(captions, one, options.out / name) for name, one in codebooks.items()}
    parts = range(PARTS) if options.part is None else [options.part]
    found: dict[str, Found] = {name: {} for name in units}
    for part in parts:
        wanted = asked(captions, options.noisy)[part::PARTS]
        for key, one in known_or_found(
            wanted,
            options.out / f"units-{part}.jsonl",
            lambda *what: {name: book.units(heard_as(*what)) for name, book in units.items()},
        ).items():
            for name in units:
                found[name][key] = one[name]
    if options.part is not None:
        return
    everything = measured(world, captions, found, options)
    folders = "--out WORK" + " --encoder FOLDER" * bool(options.encoder)
    folders += " --recogniser FOLDER" * bool(options.recogniser)
    command = f"python benchmarks/speech/units.py {folders} --seeds {options.seeds}"
    everything["circumstances"] = experiment.circumstances(command)
    experiment.write_results(HERE, everything, page(everything), name="units")


def captions_of(world: Corpus, count: int) -> list[Caption]:
    """Captions of training in the languages that are heard, and so many of test in each, in an order of
    chance."""
    split = {one["item_id"]: one["split"] for one in world.items.to_pylist()}
    rows = [
        Caption(one["caption_id"], one["item_id"], one["lang"], split[one["item_id"]], one["text"])
        for one in world.captions.to_pylist()
    ]
    kept = sorted(one for one in rows if one.split == "test" or one.lang in TRAINED)
    random.Random(0).shuffle(kept)
    chosen = {one for lang in VOICES for one in questions(kept, lang)[:count]}
    return [one for one in kept if one.split != "test" or one in chosen]


def said(caption: Caption) -> Samples:
    """[T] a caption in its voice."""
    settings = ASKED if caption.split == "test" else HEARD
    return speak(caption.text, drawn_voice(settings, caption.lang, caption.caption_id, 0))


def questions(captions: Sequence[Caption], lang: str) -> list[Caption]:
    """Questions of test in a language."""
    return [one for one in captions if one.split == "test" and one.lang == lang]


def asked(captions: Sequence[Caption], noisy: int) -> list[tuple[Caption, int | None]]:
    """All captions without noise, and the first questions with it."""
    some = [one for lang in VOICES for one in questions(captions, lang)[:noisy]]
    return [(one, None) for one in captions] + [(one, noise) for noise in NOISES[1:] for one in some]


def fitted(captions: Sequence[Caption], settings: UnitSettings, folder: Path) -> Units:
    """Units of the captions of train."""
    train = (said(one) for one in captions if one.split == "train")
    return fit_units(train, folder, settings, {"world": "1"})


def heard_as(caption: Caption, noise: int | None) -> Samples:
    """[T] a caption with noise, as a file has it."""
    seed = zlib.crc32(caption.caption_id.encode())
    return read_sound(loud(with_noise(said(caption), noise, seed)))


def known_or_found(
    wanted: Sequence[tuple[Caption, int | None]], kept: Path, find: Callable[[Caption, int | None], Any]
) -> Found:
    """What was found of captions, kept in a file of JSON Lines."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.touch()
    lines = map(json.loads, kept.read_text(encoding="utf-8").splitlines())
    found: Found = {(line["caption_id"], line["noise"]): line["found"] for line in lines}
    with kept.open("a", encoding="utf-8") as file:
        for caption, noise in wanted:
            key = caption.caption_id, noise
            if key not in found:
                found[key] = find(caption, noise)
                line = {"caption_id": caption.caption_id, "noise": noise, "found": found[key]}
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                file.flush()
    return found


def measured(
    world: Corpus, captions: Sequence[Caption], units: Mapping[str, Found], options: argparse.Namespace
) -> dict[str, Any]:
    """SumR of each way, language and noise, a number for each seed."""
    rows: dict[str, dict[str, list[float]]] = {}
    photos = [one["item_id"] for one in world.items.to_pylist() if one["split"] == "test"]
    typed: Found = {(one.caption_id, None): one.text for one in captions}
    ways: dict[str, tuple[Found, Sequence[int | None]]] = {"typed": (typed, NOISES[:1])}
    for name, found in units.items():
        words = {key: worded_units(one) or NOTHING for key, one in found.items()}
        ways[name] = words, NOISES
        if name == list(units)[-1]:
            ways[f"{name}, shuffled"] = shuffled(found), NOISES[:1]
    for way, (texts, noises) in ways.items():
        for seed in range(1, (options.seeds if way in units else 1) + 1):
            folder = options.out / "runs" / f"{way.replace(', ', '_').replace(' ', '_')}-{seed}"
            model = trained(world, captions, texts, folder, seed)
            others: dict[str, Found] = {way: texts}
            if way in units:
                others[f"{way}, asked shuffled"] = shuffled(units[way])
            if way == "typed" and options.recogniser:
                others["recognised"] = recognised(captions, options)
            for name, found in others.items():
                for lang in VOICES:
                    for noise in noises if name == way else NOISES[:1]:
                        some = [one for one in questions(captions, lang) if (one.caption_id, noise) in found]
                        value = reached(
                            model, world, photos, some, [found[one.caption_id, noise] for one in some]
                        )
                        cell = f"{lang} {'clean' if noise is None else f'{noise} dB'}"
                        rows.setdefault(name, {}).setdefault(cell, []).append(value)
    return {"photos": len(photos), "chance": 100 * sum(CUTOFFS) / len(photos), "rows": rows}


def shuffled(found: Found) -> Found:
    """The same units in an order of chance: what is said, without when."""
    return {
        key: worded_units(random.Random(key[0]).sample(units, len(units))) or NOTHING
        for key, units in found.items()
        if key[1] is None
    }


def recognised(captions: Sequence[Caption], options: argparse.Namespace) -> Found:
    """Words that a recogniser writes of the first questions."""
    recogniser = open_recogniser(options.recogniser)

    def find(caption: Caption, noise: int | None) -> str:
        try:
            return hear(loud(with_noise(said(caption), noise, 0)), recogniser, caption.lang).text
        except NothingUnderstoodError:
            return NOTHING

    some = [one for lang in VOICES for one in questions(captions, lang)[: options.noisy]]
    name = sha256(options.recogniser.encode()).hexdigest()[:8]
    return known_or_found([(one, None) for one in some], options.out / f"heard-{name}.jsonl", find)


def trained(world: Corpus, captions: Sequence[Caption], texts: Found, folder: Path, seed: int) -> Retriever:
    """The small text encoder that learned from these texts of captions of train."""
    corpus = folder.parent / f"{folder.name.rpartition('-')[0]}-corpus"
    if not (corpus / MANIFEST).is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        vectors, ids = folder.parent / "grid.npy", folder.parent / "ids.txt"
        grid = world.features("grid")
        np.save(vectors, np.asarray(grid.vectors))
        ids.write_text("".join(f"{one}\n" for one in grid.ids), encoding="utf-8")
        lines = [one._replace(text=texts[one.caption_id, None])._asdict() for one in captions]
        file = corpus.with_suffix(".jsonl")
        file.write_text(
            "".join(f"{json.dumps({**line, 'role': 'human'})}\n" for line in sorted(lines, key=str)),
            encoding="utf-8",
        )
        build_jsonl(file, corpus, BuildOptions(features=(GivenFeatures(vectors=vectors, ids=ids),)))
    arm = Arm(recipe="translate_train", targets=("es",), features="grid", settings=SETTINGS)
    Trial(corpus=corpus, arm=arm, seed=seed, run=folder, reports={}).fit()
    return Retriever.load(folder)


def reached(
    model: Retriever, world: Corpus, photos: Sequence[str], asked: Sequence[Caption], texts: Sequence[str]
) -> float:
    """SumR of photos for questions, 0 to 300."""
    grid = world.features("grid")
    rows = {item_id: row for row, item_id in enumerate(grid.ids)}
    images = model.encode_features(grid.vectors[[rows[one] for one in photos]])
    positives = Positives.from_items([one.item_id for one in asked], photos)
    best_Q = rank_scores(MatrixScores(model.encode_text(list(texts)) @ images.T), positives).best
    return float(100 * sum((best_Q <= cutoff).mean() for cutoff in CUTOFFS))


def page(everything: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
    yield "# Speech without text\n"
    yield (
        "The generated world, English and Spanish captions of 533 pictures, one each, spoken by espeak-ng; "
        f"questions of test among {everything['photos']} pictures, in voices and speeds that training has "
        "none of; Portuguese was never heard. Units: 200, of log-mel frames, or of a middle layer of Whisper "
        "base. All are read by the small text encoder as spelling. SumR = R@1 + R@5 + R@10 of photos for "
        f"questions, at most 300; chance {everything['chance']:.1f}. Mean of the seeds (each); typed and "
        "shuffled: one seed.\n"
    )
    circumstances = everything["circumstances"]
    yield f"Command: `{circumstances['command']}`. Commit {circumstances['commit']}. "
    yield f"Computer: {circumstances['computer']}.\n"
    rows = everything["rows"]
    names = {name: f"{name} (first questions alone)" if name == "recognised" else name for name in rows}
    cells = [f"{lang} clean" for lang in VOICES]
    yield from table(
        ("asked", *VOICES, "pt, times chance"),
        [
            (
                names[name],
                *(_told(row[cell]) for cell in cells),
                f"{np.mean(row['pt clean']) / everything['chance']:.1f}",
            )
            for name, row in rows.items()
        ],
    )
    yield "\nWith white noise so much softer than the voice, the first questions:\n"
    told = ["clean (all)", *(f"{noise} dB" for noise in NOISES[1:])]
    yield from table(
        ("units", "language", *told),
        [
            (name, lang, *(_told(row[f"{lang} {cell.removesuffix(' (all)')}"]) for cell in told))
            for name, row in rows.items()
            if "pt 20 dB" in row
            for lang in VOICES
        ],
    )


def _told(values: Sequence[float]) -> str:
    return f"{np.mean(values):.1f} ({', '.join(f'{one:.0f}' for one in values)})"


if __name__ == "__main__":
    main()
