"""Damage files of every kind of folder at random, and see what the product answers.

    python benchmarks/reliability/mutations.py --count 1200 --seed 0
    python benchmarks/reliability/mutations.py --folders work --only index --count 50

Every round copies a folder, damages one file of it, and asks the copy what the whole folder was asked before.
`same`: the answer did not change. `told`: a UserError. `silent`: another answer without a word. `traceback`:
any other exception. `check told` counts the copies of which `dragoman check` said so, `check
missed` those of which only the question did. The damages: a bit
flips; some bytes are replaced; a block is zeroed; the file is cut, emptied, removed, lengthened, or holds the
content of another file of the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "MPLBACKEND": "agg"}

SMALL = ("text.width=16", "text.feed_forward=16", "dual.hidden=16", "dual.joint=16", "dual.key_width=16")
STEPS = ("steps=4", "batch_size=8", "validate_every=2")
WAYS = ("flip", "replace", "zero", "cut", "empty", "remove", "lengthen", "other")
OPTIONAL = ("calibration.json", "last.pt")
GOLDEN_TEXTS = ("a dog runs on the beach", "Um cão corre na praia")
TEXTS = ["a red ball on the grass", "uma bola vermelha", "night"]


def make_folders(work: Path) -> None:
    """One folder of every kind, as the command line writes them."""
    call(work, "scenes", "--out", "corpus", "--items", "40", "--languages", "pt")
    engine = ("--engine", "recorded:corpus/apertium.jsonl.gz", "--cache", "cache")
    call(work, "translate", "corpus", "--to", "pt", *engine)
    call(work, "trust", "corpus")
    settings = [word for setting in (*SMALL, *STEPS) for word in ("--set", setting)]
    train = ("train", "corpus", "--recipe", "translate_train", "--source", "en", "--targets", "pt")
    call(work, *train, "--features", "grid", "--out", "run", *settings)
    call(work, "calibrate", "run", "corpus", "--split", "train")
    call(work, "evaluate", "run", "corpus", "--split", "test", "--languages", "en", "--out", "report")
    call(work, "index", "run", "corpus", "--out", "index")
    call(work, "index", "run", "corpus", "--out", "approximate", "--store", "faiss")
    call(work, "export", "run", "--to", "onnx", "--out", "export")


def make_further_folders(work: Path) -> None:
    """What is asked by running a command again, what other packages load, and the newest kinds of models."""
    call(work, "export", "run", "--to", "sentence-transformers", "--out", "sentences")
    shutil.copytree(work / "corpus", work / "texts", symlinks=True)
    call(work, "features", "texts", "--texts", "--words", "--encoder", "use")
    few = [word for setting in STEPS for word in ("--set", setting)]
    train = ("train", "texts", "--source", "en", "--features", "grid", *few)
    call(work, *train, "--recipe", "linear", "--out", "linear")
    call(work, *train, "--recipe", "glossed", "--targets", "pt", "--out", "glossed")
    settings = [word for setting in (*SMALL, *STEPS) for word in ("--set", setting)]
    train = ("train", "corpus", "--source", "en", "--targets", "pt", "--features", "grid", *settings)
    call(work, *train, "--recipe", "nrccr_released", "--set", "loss.cycle=false", "--out", "released")
    call(work, "scenes", "--out", "clips", "--items", "24", "--languages", "pt", "--motion")
    call(work, "scenes", "--out", "untranslated", "--items", "12", "--languages", "pt")
    shutil.copytree(work / "corpus", work / "trusted", symlinks=True)
    # Of this corpus alone.
    shutil.rmtree(work / "cache")
    engine = ("--engine", "recorded:untranslated/apertium.jsonl.gz", "--cache", "cache")
    with untouched(work, "untranslated") as copies:
        call(copies, "translate", "untranslated", "--to", "pt", *engine)
        shutil.copytree(copies / "cache", work / "cache")


def call(work: Path, *arguments: str) -> None:
    """Run one command in this process. UserError or RuntimeError with its output where it fails."""
    from click.testing import CliRunner

    from dragoman.cli import dragoman
    from dragoman.errors import UserError

    before = Path.cwd()
    os.chdir(work)
    try:
        result = CliRunner().invoke(dragoman, list(arguments))
    finally:
        os.chdir(before)
    if isinstance(result.exception, UserError):
        raise result.exception
    if result.exit_code:
        raise RuntimeError(f"dragoman {' '.join(arguments)}: {result.output}") from result.exception


def ask_corpus(folder: Path) -> Any:
    from dragoman.corpus.corpus import Corpus

    corpus = Corpus.open(folder)
    sets = {name: corpus.features(name) for name in ("grid",)}
    vectors = {name: (one.ids, one.layout, one.vectors.tobytes()) for name, one in sets.items()}
    return corpus.items.to_pylist(), corpus.captions.to_pylist(), vectors


def ask_run(folder: Path) -> Any:
    from dragoman.training.run_folder import load_checkpoint, read_config, read_identity

    state = _States()
    progress, _ = load_checkpoint(folder / "checkpoints" / "last.pt", state)
    return ask_model(folder), read_config(folder), read_identity(folder), progress, state.content()


class _States(dict[str, Any]):
    """Stands for all parts of a checkpoint, whatever their names."""

    def items(self) -> Any:
        return ((name, self) for name in ("model",))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self["state"] = state

    def content(self) -> list[tuple[str, bytes]]:
        return [(name, one.numpy().tobytes()) for name, one in sorted(self["state"].items())]


def ask_model(folder: Path) -> Any:
    import numpy as np

    from dragoman.models.identity import CALIBRATION, model_in
    from dragoman.retrievers.loading import load_encoder
    from dragoman.search.calibration import Calibration

    model = load_encoder(folder)
    features = np.random.default_rng(0).normal(size=(2, model.feature_width)).astype(np.float32)
    calibration = model_in(folder) / CALIBRATION
    judged = Calibration.read(calibration).judgement("en") if calibration.is_file() else None
    return model.encode_text(TEXTS).tobytes(), model.encode_features(features).tobytes(), judged


def ask_report(folder: Path) -> Any:
    from dragoman.reports.compare import compare

    return compare([folder], [folder])


def ask_index(folder: Path) -> Any:
    import numpy as np

    from dragoman.index.folder import open_generation, read_info
    from dragoman.search.calibration import Calibration

    info = read_info(folder)
    store = open_generation(info)
    try:
        entries = store.scan(limit=1000)
        query = np.random.default_rng(0).normal(size=(3, info.width)).astype(np.float32)
        query /= np.linalg.norm(query, axis=1, keepdims=True)
        found = store.search(query, 5)
        calibration = Calibration.of_index(info)
        judged = calibration and calibration.judgement("en")
        return entries, found, store.count(), info.languages, info.model, judged
    finally:
        store.close()


def ask_texts(folder: Path) -> Any:
    from dragoman.corpus.corpus import Corpus
    from dragoman.features.kept_texts import KeptTexts

    corpus = Corpus.open(folder)
    kept = KeptTexts(corpus.features("use"))
    texts = corpus.captions["text"].to_pylist()
    vectors = kept.vectors([*texts, *GOLDEN_TEXTS])
    return kept.made_by, kept.holds(["ball", "bola", "xyzzy"]), texts, vectors.tobytes()


def ask_frames(folder: Path) -> Any:
    from dragoman.corpus.corpus import Corpus

    corpus = Corpus.open(folder)
    features = corpus.features("grid")
    times = None if features.times is None else features.times.tobytes()
    vectors = features.vectors.tobytes(), features.offsets.tobytes(), times
    return corpus.items.to_pylist(), corpus.captions.to_pylist(), features.ids, features.layout, vectors


def ask_sentences(folder: Path) -> Any:
    from dragoman.export.sentence_transformers import DragomanText

    model = DragomanText.load(str(folder))
    return model(model.tokenize(TEXTS))["sentence_embedding"].detach().numpy().tobytes()


def ask_cache(folder: Path) -> Any:
    """What a corpus becomes whose translations are in the cache, where the engine is at hand as well."""
    from dragoman.corpus.corpus import Corpus

    with untouched(folder.parent, "cache", "untranslated") as work:
        engine = ("--engine", "recorded:untranslated/apertium.jsonl.gz", "--cache", "cache")
        call(work, "translate", "untranslated", "--to", "pt", *engine)
        return Corpus.open(work / "untranslated").captions.to_pylist()


def ask_trust(folder: Path) -> Any:
    """What trust is when the command is given again."""
    from dragoman.corpus.corpus import Corpus

    with untouched(folder.parent, "trusted") as work:
        call(work, "trust", "trusted")
        return Corpus.open(work / "trusted").captions.to_pylist()


@contextmanager
def untouched(work: Path, *names: str) -> Iterator[Path]:
    """Copies of folders that a command may change."""
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            shutil.copytree(work / name, Path(place, name), symlinks=True)
        yield Path(place)


class Kind(NamedTuple):
    """A kind of folder."""

    question: Callable[[Path], Any]
    unread: tuple[str, ...] = ()
    """Patterns of files that the question does not read."""
    below: str = "."
    """Folder of the files that are damaged."""
    beside: tuple[str, ...] = ()
    """Folders that the question needs beside this one."""


QUICK = {
    "corpus": Kind(ask_corpus, ("media/*", "*.jsonl.gz", "trust/*", "*.html")),
    "run": Kind(ask_run),
    "report": Kind(ask_report),
    "index": Kind(ask_index, ("rejected.jsonl",)),
    "approximate": Kind(ask_index, ("rejected.jsonl",)),
    "export": Kind(ask_model),
}
KINDS = QUICK | {
    # Two of its files are read by the package sentence-transformers alone.
    "sentences": Kind(ask_sentences, ("modules.json", "config_sentence_transformers.json")),
    "cache": Kind(ask_cache, beside=("untranslated",)),
    "trusted": Kind(ask_trust, ("*.html",), below="trust"),
    "texts": Kind(ask_texts, below="features/use"),
    "clips": Kind(ask_frames, ("media/*", "*.jsonl.gz", "*.html")),
    "linear": Kind(ask_run),
    "glossed": Kind(ask_run),
    "released": Kind(ask_run),
}


def damage(path: Path, others: list[Path], draw: random.Random, ways: tuple[str, ...]) -> str:
    """Change a file in one way; returns the name of the way."""
    content = bytearray(path.read_bytes())
    way = draw.choice(ways if content else ("lengthen",))
    at = draw.randrange(len(content)) if content else 0
    if way == "flip":
        content[at] ^= 1 << draw.randrange(8)
    elif way == "replace":
        content[at : at + draw.randrange(1, 65)] = draw.randbytes(draw.randrange(1, 65))
    elif way == "zero":
        content[at : at + 512] = bytes(len(content[at : at + 512]))
    elif way == "cut":
        del content[at:]
    elif way == "empty":
        content.clear()
    elif way == "lengthen":
        content += draw.randbytes(draw.randrange(1, 600))
    elif way == "other":
        content = bytearray(draw.choice(others or [path]).read_bytes())
    path.unlink()
    if way != "remove":
        path.write_bytes(content)
    return way


def files_of(folder: Path, unread: tuple[str, ...], below: str) -> Iterator[Path]:
    for path in sorted((folder / below).rglob("*")):
        name = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in name.parts)
        if path.is_file() and not hidden and not any(name.match(pattern) for pattern in unread):
            yield path


def answer(question: Callable[[Path], Any], folder: Path, truth: Any) -> tuple[str, str]:
    """Ask a folder: the verdict, and what was said."""
    from dragoman.errors import UserError

    try:
        found = question(folder)
    except UserError as error:
        return "told", str(error)
    except Exception as error:
        return "traceback", f"{type(error).__name__}: {error}"
    return ("same", "") if repr(found) == truth else ("silent", "")


def is_reported(folder: Path) -> bool:
    """Tell if `dragoman check` finds damage."""
    from dragoman.errors import UserError
    from dragoman.pipelines.check import check

    try:
        return any(found.damages for found in check(folder))
    except UserError:
        return True


def mutate(
    work: Path, count: int, seed: int, kinds: Sequence[str], checks: bool = True
) -> Iterator[dict[str, Any]]:
    """Damage the folders below `work` in turn, `count` times in all."""
    draw = random.Random(seed)
    truths = {kind: repr(KINDS[kind].question(work / kind)) for kind in kinds}
    for number in range(count):
        kind = kinds[number % len(kinds)]
        question, unread, below, beside = KINDS[kind]
        # Under the same name, as the folder may name itself in what it says.
        with tempfile.TemporaryDirectory() as place:
            copy = shutil.copytree(work / kind, Path(place, kind), symlinks=True)
            for other in beside:
                shutil.copytree(work / other, Path(place, other), symlinks=True)
            files = list(files_of(copy, unread, below))
            path = draw.choice(files)
            # What is not there, where it may be absent, is no damage.
            ways = WAYS if path.name not in OPTIONAL else tuple(way for way in WAYS if way != "remove")
            whole = path.read_bytes()
            way = damage(path, [one for one in files if one != path], draw, ways)
            changed = not path.is_file() or path.read_bytes() != whole
            verdict, said = answer(question, copy, truths[kind]) if changed else ("same", "")
            reported = is_reported(copy) if checks and changed else None
            name = path.relative_to(copy).as_posix()
        yield {"kind": kind, "file": name, "way": way, "verdict": verdict, "said": said, "checked": reported}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(KINDS))
    parser.add_argument("--folders", type=Path, help="Keep the folders here, or take them from here.")
    parser.add_argument("--verbose", action="store_true", help="Print every round.")
    given = parser.parse_args()
    kinds = [given.only] if given.only else list(KINDS)
    with tempfile.TemporaryDirectory() as temporary:
        work = given.folders or Path(temporary)
        if not (work / "trusted").is_dir():
            work.mkdir(parents=True, exist_ok=True)
            make_folders(work)
            make_further_folders(work)
        verdicts, reported, bad = Counter[tuple[str, str]](), Counter[tuple[str, str]](), 0
        for row in mutate(work, given.count, given.seed, kinds):
            missed = row["verdict"] == "told" and not row["checked"]
            verdicts[row["kind"], row["verdict"]] += 1
            reported[row["kind"], "missed" if missed else "told" if row["checked"] else "no need"] += 1
            is_bad = missed or row["verdict"] in ("silent", "traceback")
            bad += is_bad
            if is_bad or given.verbose:
                print(json.dumps(row)[:400], file=sys.stderr, flush=True)
        print("| folder | same | told | silent | traceback | check told | check missed |")
        print("|---|---|---|---|---|---|---|")
        for kind in kinds:
            cells = [verdicts[kind, one] for one in ("same", "told", "silent", "traceback")]
            print(
                f"| {kind} | "
                + " | ".join(map(str, [*cells, reported[kind, "told"], reported[kind, "missed"]]))
                + " |"
            )
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
