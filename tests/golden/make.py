"""Golden figures: run every stage on a small generated world and write down what it made.

    python tests/golden/make.py --check     compares with expected.json, bit for bit
    python tests/golden/make.py --write     replaces expected.json
    python tests/golden/make.py --check --source ../other/src --keep folder

Only the command line and the files that it writes are used, so the same script runs on every commit.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import csv
import hashlib
import json
import os
import re
import runpy
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before NumPy and PyTorch are imported: sums in another order are other floats.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# So are those of another processor's instructions, and forty steps of training make them large: on every x86
# the same, old ones are used.
os.environ |= {
    "ATEN_CPU_CAPABILITY": "default",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "MKL_CBWR": "COMPATIBLE",
    "OPENBLAS_CORETYPE": "Nehalem",
}
os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "MPLBACKEND": "agg"}

HERE = Path(__file__).resolve().parent
EXPECTED = HERE / "expected.json"
SMALL = ("text.width=32", "text.feed_forward=32", "dual.hidden=32", "dual.joint=32", "dual.key_width=32")
STEPS = ("steps=40", "batch_size=16", "validate_every=2", "patience=100")
VOLATILE = {
    "versions",
    "command",
    "captions_per_second",
    "seconds",
    "commit",
    "created",
    "updated",
    "generation",
    "files",
    "checksum",
}
# Its hash is that of a file with the path of the vision tower in it.
VOLATILE |= {"model/config.json"}
HASH = re.compile(r"[0-9a-f]{32,64}|calibration-[0-9a-f]{12}\.json")


class Stage:
    """A working folder in which `dragoman` is called, and what came of it."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder = folder
        self.source = source
        self.facts: dict[str, Any] = {}

    def call(self, *arguments: str, status: int = 0) -> str:
        """Run `dragoman ARGUMENTS` in the folder; give its standard output.

        Each call is a process of its own, forked from one that has imported PyTorch: the whole takes a third
        of the time. RuntimeError with its messages if it ends with another status.
        """
        out, err = self.folder / ".stdout", self.folder / ".stderr"
        sys.stdout.flush()
        if not (child := os.fork()):
            code = 70
            try:
                os.chdir(self.folder)
                for number, path in ((1, out), (2, err)):
                    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
                sys.argv = ["dragoman", *arguments]
                runpy.run_module("dragoman", run_name="__main__")
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                with contextlib.suppress(Exception):
                    sys.stdout.flush()
                    sys.stderr.flush()
                os._exit(code)
        found = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if found != status:
            raise RuntimeError(f"dragoman {' '.join(arguments)}: exit status {found}\n{err.read_text()}")
        return out.read_text()

    def keep(self, name: str, fact: Any) -> None:
        self.facts[name] = self.plain(fact)

    def plain(self, fact: Any) -> Any:
        """Leave out what differs from day to day and from place to place; spell out floats in base64."""
        if isinstance(fact, dict) and "float16" in fact:
            return {**fact, "float16": halves(fact["float16"])}
        if isinstance(fact, dict):
            return {str(key): self.plain(value) for key, value in fact.items() if key not in VOLATILE}
        if isinstance(fact, list | tuple):
            return [self.plain(value) for value in fact]
        return fact.replace(str(self.folder), "OUT") if isinstance(fact, str) else fact

    def manifest(self, path: str) -> None:
        self.keep(f"manifest {path}", json.loads((self.folder / path).read_text("utf-8")))

    def lines(self, path: str) -> list[Any]:
        return [json.loads(line) for line in (self.folder / path).read_text("utf-8").splitlines()]

    def corpus(self, name: str) -> None:
        """Items and captions, as hashes of their rows with the first of them to read; trust in full."""
        for table in ("items", "captions"):
            self.table(f"{name}/{table}.parquet")
        self.manifest(f"{name}/manifest.json")

    def table(self, path: str) -> None:
        import numpy as np
        import pyarrow.parquet as pq

        rows = self.plain(pq.read_table(self.folder / path).to_pylist())
        floats: dict[str, list[float]] = {}
        for row in rows:
            for key in [key for key, value in row.items() if is_float(value)]:
                floats.setdefault(key, []).extend(np.ravel(row.pop(key)).tolist())
        fact: dict[str, Any] = {"rows": len(rows), "content": content(rows), "first": rows[:2]}
        fact["floats"] = {
            key: {"count": len(values), "sha256": digest(np.array(values).tobytes()), "first": values[:100]}
            for key, values in floats.items()
        }
        self.keep(f"table {path}", fact)

    def vectors(self, folder: str, manifest: bool = True) -> None:
        """A feature set: its ids, how many vectors each item has, and the vectors themselves."""
        import numpy as np

        place = self.folder / folder
        stored = np.load(place / "vectors.npy")
        flat = stored.reshape(-1, stored.shape[-1])
        ids = (place / "ids.txt").read_text("utf-8").splitlines()
        lengths = [len(flat) // len(ids)] * len(ids)
        if (place / "offsets.npy").is_file():
            lengths = np.diff(np.load(place / "offsets.npy")).tolist()
        fact = {"ids": content(ids), "first ids": ids[:3], "lengths": lengths, "width": flat.shape[1]}
        fact |= {"sha256": digest(flat.tobytes()), "dtype": str(flat.dtype)}
        fact |= {"row norms": [float(norm) for norm in np.linalg.norm(flat.astype(np.float64), axis=1)[:40]]}
        if (place / "times.npy").is_file():
            fact["times"] = [float(time) for time in np.load(place / "times.npy")]
        self.keep(f"features {folder}", fact)
        if manifest:
            self.manifest(f"{folder}/manifest.json")

    def run(self, name: str) -> None:
        """Metrics, configuration and weights of a run folder."""
        from safetensors.numpy import load_file

        self.keep(f"metrics {name}", self.lines(f"{name}/metrics.jsonl"))
        for file in ("manifest.json", "config.json", "model/config.json"):
            self.manifest(f"{name}/{file}")
        weights = load_file(self.folder / name / "model/model.safetensors")
        norms = {key: float((weights[key].astype("f8") ** 2).sum() ** 0.5) for key in sorted(weights)}
        total = digest(b"".join(weights[key].tobytes() for key in sorted(weights)))
        self.keep(f"weights {name}", {"sha256": total, "norms": norms})

    def report(self, name: str) -> None:
        for path in sorted((self.folder / name).rglob("*")):
            short = str(path.relative_to(self.folder))
            if path.suffix == ".json":
                self.manifest(short)
            elif path.suffix == ".parquet":
                self.table(short)
            elif path.suffix in {".trec", ".run", ".qrels", ".txt"}:
                fields = [line.split() for line in path.read_text("utf-8").splitlines()]
                scores = [float(row[4]) for row in fields if len(row) == 6]
                rest = [row[:4] + row[5:] for row in fields]
                fact = {"rows": len(rest), "content": content(rest), "scores": scores[:300]}
                self.keep(f"trec {short}", fact)

    def search(self, index: str, *arguments: str, status: int = 0) -> None:
        printed = self.call("search", index, *arguments, "--json", status=status)
        answers = [json.loads(line) for line in printed.splitlines()]
        self.keep(f"search {' '.join((index, *arguments))}", answers)


def is_float(value: Any) -> bool:
    """Say whether a cell of a table is a float, or a list of them."""
    return isinstance(value[0] if isinstance(value, list) and value else value, float)


def halves(coded: str) -> list[float]:
    import numpy as np

    return np.frombuffer(base64.b64decode(coded), np.float16).astype(np.float64).tolist()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def content(rows: list[Any]) -> str:
    """Hash of values that hold no floats: written `exact:`, because it must agree on every machine."""
    return "exact:" + digest(json.dumps(rows, ensure_ascii=False, sort_keys=True).encode())[:24]


def sets(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def make_tower(folder: Path) -> None:
    """A CLIP vision tower of 32 x 32 pixels with random weights."""
    import torch
    import transformers

    torch.manual_seed(5)
    size = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.CLIPVisionConfig(**size, image_size=32, patch_size=8, projection_dim=16)
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(folder)
    settings = {"image_processor_type": "CLIPImageProcessor", "size": {"height": 32, "width": 32}}
    settings |= dict.fromkeys(("do_resize", "do_rescale", "do_normalize"), True) | {"do_center_crop": False}
    settings |= {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.25, 0.3, 0.35]}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def make_photos(world: Path, folder: Path) -> None:
    """Ten pictures, some in a folder of their own, with captions and metadata beside them."""
    (folder / "trip").mkdir(parents=True)
    for number in range(10):
        name = f"s{number:05d}.png"
        shutil.copyfile(world / name, folder / ("trip" if number % 3 == 0 else "") / name)
    (folder / "s00001.txt").write_text("a thing on the ground\n", "utf-8")
    (folder / "s00001.pt.txt").write_text("uma coisa no chão\n", "utf-8")
    (folder / "trip" / "s00003.txt").write_text("a trip\n", "utf-8")
    (folder / "trip" / "s00003.json").write_text('{"year": 2012, "geo": {"place": "Porto"}}', "utf-8")
    (folder / "broken.png").write_bytes(b"")
    with (folder / "metadata.csv").open("w", encoding="utf-8", newline="") as file:
        rows = [["path", "year", "who"], ["s00001.png", "2009", "Ana"], ["s00002.png", "2015", "Rui"]]
        csv.writer(file).writerows(rows)


def make_videos(world: Path, folder: Path) -> None:
    """Two clips as they are, and one of 38 s with three scenes."""
    import av

    (folder / "trip").mkdir(parents=True)
    shutil.copyfile(world / "m00000.mp4", folder / "m00000.mp4")
    shutil.copyfile(world / "m00001.mp4", folder / "trip" / "m00001.mp4")
    (folder / "m00000.txt").write_text("things go up\n", "utf-8")
    (folder / "m00000.json").write_text('{"year": 2012}', "utf-8")
    with av.open(folder / "long.mp4", "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=2, options={"qp": "20"})
        stream.width = stream.height = 128
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = stream.codec_context.gop_size = 1
        stream.codec_context.max_b_frames = 0
        for name in ("m00002", "m00004", "m00005"):
            with av.open(world / f"{name}.mp4") as part:
                for frame in part.decode(video=0):
                    file.mux(stream.encode(av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"))))
        file.mux(stream.encode())


def corpora(stage: Stage) -> None:
    """Generated worlds, corpora from folders and tables, translations, trust, noise, lexicon."""
    stage.call("scenes", "--out", "pictures", "--items", "96", "--languages", "pt,gl")
    stage.call("scenes", "--out", "clips", "--items", "32", "--languages", "pt", "--motion")
    for world, targets in (("pictures", ("pt", "gl")), ("clips", ("pt",))):
        engine = ("--engine", f"recorded:{world}/apertium.jsonl.gz", "--cache", "cache")
        for lang in targets:
            stage.call("translate", world, "--to", lang, *engine, "--back", engine[1])
            stage.call("translate", world, "--to", "en", "--from", lang, "--split", "val,test", *engine)
        stage.vectors(f"{world}/features/grid")
    words = ["bola", "balão", "carro", "automóvel", "casa", "vermelho", "encarnado", "azul"]
    meanings = ["ball", "ball", "car", "car", "house", "red", "red", "blue"]
    rows = [{"text": f"{a} .", "translation": f"{b} ."} for a, b in zip(words, meanings, strict=True)]
    (stage.folder / "words.txt").write_text("".join(f"{word}\n" for word in words), "utf-8")
    (stage.folder / "words.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    engine = ("--engine", "recorded:words.jsonl", "--cache", "cache")
    stage.call("lexicon", "pictures", "--lang", "pt", "--words", "words.txt", *engine)
    stage.keep("lexicon", (stage.folder / "pictures/lexicon/pt.tsv").read_text("utf-8").splitlines())
    for world in ("pictures", "clips"):
        stage.call("trust", world)
    stage.table("pictures/trust/signals.parquet")
    stage.manifest("pictures/trust/manifest.json")
    kinds = "drop,swap,scramble,repeat,shuffle,wrong_language,copy"
    stage.call("noise", "pictures", "--lang", "pt", "--kind", kinds, "--rate", "0.5", "--out", "noisy")
    for world in ("pictures", "clips", "noisy"):
        stage.corpus(world)
    stage.table("noisy/noise.parquet")
    make_photos(stage.folder / "pictures/media", stage.folder / "photos")
    make_videos(stage.folder / "clips/media", stage.folder / "videos")
    stage.call("corpus", "folder", "photos", "--lang", "en", "--out", "from_folder")
    stage.corpus("from_folder")
    build_from_tables(stage)
    stage.keep("corpus show", stage.call("corpus", "show", "pictures").splitlines())


def build_from_tables(stage: Stage) -> None:
    import numpy as np

    draw = np.random.default_rng(1)
    captions = [
        {
            "item_id": f"v{number}",
            "kind": "video",
            "text": f"a dog {number}",
            "lang": "en",
            "year": 2000 + number,
        }
        for number in range(6)
    ]
    (stage.folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in captions), "utf-8")
    (stage.folder / "ids.txt").write_text("".join(f"v{number}\n" for number in range(6)), "utf-8")
    np.save(stage.folder / "given.npy", draw.normal(size=(6, 4)).astype(np.float32))
    (stage.folder / "given_frames").mkdir()
    for number in range(6):
        np.save(stage.folder / f"given_frames/v{number}.npy", draw.normal(size=(number + 1, 3)))
    vectors = ("--features", "given.npy", "--feature-ids", "ids.txt", "--frames", "given_frames")
    fractions = ("--split-fractions", "0.5,0.25,0.25")
    stage.call(
        "corpus", "jsonl", "t.jsonl", "--metadata", "year", *vectors, *fractions, "--out", "from_jsonl"
    )
    stage.corpus("from_jsonl")
    stage.vectors("from_jsonl/features/given")
    stage.vectors("from_jsonl/features/given_frames")
    (stage.folder / "t.csv").write_text("photo,caption,who\na.jpg,a dog,Ana\nb.jpg, ,Rui\n", "utf-8")
    columns = ("--column", "item_id=photo", "--column", "text=caption", "--metadata", "who")
    options = ("--lang", "en", "--split", "train", "--reject-file", "rejects.jsonl", "--out", "from_csv")
    stage.call("corpus", "csv", "t.csv", *columns, *options, status=3)
    stage.corpus("from_csv")
    stage.keep("rejects from_csv", stage.lines("rejects.jsonl"))


def features(stage: Stage) -> None:
    make_tower(stage.folder / "tower")
    stage.call("features", "pictures", "--encoder", "tower", "--name", "cells", "--grid", "2")
    stage.call("features", "pictures", "--encoder", "tower", "--name", "plain", "--batch-size", "3")
    stage.call("features", "clips", "--encoder", "tower", "--name", "eyes", "--every", "0.5")
    stage.call("features", "from_folder", "--encoder", "tower", "--name", "eyes", status=3)
    for name in ("pictures/features/cells", "pictures/features/plain", "clips/features/eyes"):
        stage.vectors(name)
    # Its manifest holds the hash of a table with absolute paths.
    stage.vectors("from_folder/features/eyes", manifest=False)
    stage.keep("rejects from_folder", stage.lines("from_folder/features/eyes/rejected.jsonl"))


def runs(stage: Stage) -> None:
    """Three short trainings (pictures, videos, fused), and one that adds a language."""
    where = ("--targets", "pt", "--out")
    noisy = sets("trust.weight=true", "synonyms=0.3", "renderings=0.2", *STEPS, *SMALL)
    stage.call("train", "pictures", "--recipe", "nrccr", "--features", "grid", *where, "small", *noisy)
    wide = ("video.hidden=32", "video.feed_forward=32", "video.layers=1", "hard_negatives=true")
    video = sets("video.pooling=temporal", *wide, *STEPS, *SMALL)
    stage.call("train", "clips", "--recipe", "dragoman", "--features", "eyes", *where, "video", *video)
    both = sets("loss.mitm_weight=1", "loss.cmlm_weight=1", "fusion.feed_forward=32", *STEPS, *SMALL)
    stage.call("train", "pictures", "--recipe", "one_to_k", "--features", "cells", *where, "fused", *both)
    more = sets("steps=20", "batch_size=16", "synonyms=0", "renderings=0")
    stage.call("train", "pictures", "--init", "small", "--add", "gl", "--out", "added", *more)
    for name in ("small", "video", "fused", "added"):
        stage.run(name)


def configs(stage: Stage) -> None:
    """The complete configuration of every recipe."""
    where = ("--targets", "pt", "--out")
    recipes = stage.source / "dragoman/recipes"
    for recipe in sorted(path.stem for path in recipes.glob("*.py") if not path.stem.startswith("_")):
        start = ("train", "pictures", "--recipe", recipe, "--features", "grid", *where, "nowhere")
        stage.keep(f"config {recipe}", json.loads(stage.call(*start, "--show-config", *sets("epochs=3"))))


def reports(stage: Stage) -> None:
    stage.call("calibrate", "small", "pictures", "--split", "test")
    stage.manifest("small/model/calibration.json")
    asked = ("--languages", "pt,en", "--run-depth", "10", "--out")
    stage.call("evaluate", "small", "pictures", *asked, "report_small")
    stage.call("evaluate", "fused", "pictures", "--rerank", "8", *asked, "report_fused")
    stage.call("evaluate", "video", "clips", *asked, "report_video")
    for name in ("report_small", "report_fused", "report_video"):
        stage.report(name)
    stage.keep("compare", json.loads(stage.call("compare", "report_small", "report_fused", "--json")))


def searches(stage: Stage) -> None:
    stage.call("index", "fused", "photos", "--out", "of_photos", "--lang", "en", status=3)
    stage.call("index", "video", "videos", "--out", "of_videos")
    stage.call("index", "video", "videos", "--out", "of_whole_videos", "--whole-videos")
    stage.call("index", "small", "pictures", "--out", "of_pictures")
    stage.call("index", "video", "clips", "--out", "of_clips", "--backend", "faiss")
    for name in ("of_photos", "of_videos", "of_whole_videos", "of_pictures", "of_clips"):
        stage.manifest(f"{name}/manifest.json")
    stage.keep("rejects of_photos", stage.lines("of_photos/rejected.jsonl"))
    stage.search("of_photos", "uma bola vermelha", "-k", "20")
    stage.search("of_photos", "a car +beach -snow", "--filter", "year>=2010 or who=Ana")
    stage.search("of_photos", "--image", "photos/s00001.png", "-k", "3")
    stage.search("of_photos", "the house", "--filter", "folder=trip", "--lang", "en")
    stage.search("of_photos", "nothing", "--filter", "year=1900", status=1)
    stage.search("of_videos", "dois carros", "--moments", "-k", "30")
    stage.search("of_videos", "dois carros", "--filter", "start<10")
    stage.search("of_videos", "--video", "videos/long.mp4#t=3,18", "--moments")
    stage.search("of_whole_videos", "a ball appears", "-k", "5")
    stage.search("of_whole_videos", "--like", "long.mp4")
    stage.search("of_pictures", "uma bola vermelha", "-k", "20")
    stage.search("of_pictures", "two cars", "--filter", "split=test and count in (2, 3)")
    stage.search("of_pictures", "--like", "s00001", "-k", "4")
    stage.search("of_clips", "as bolas aparecem", "-k", "8")
    (stage.folder / "photos/s00004.png").unlink()
    shutil.move(stage.folder / "photos/s00005.png", stage.folder / "photos/trip/renamed.png")
    stage.call("index", "fused", "photos", "--out", "of_photos", "--lang", "en", status=3)
    stage.manifest("of_photos/manifest.json")
    stage.search("of_photos", "uma bola vermelha", "-k", "20", "--lang", "pt")


def exports(stage: Stage) -> None:
    stage.call("export", "fused", "--to", "onnx", "--out", "onnx", "--corpus", "pictures")
    for name in ("config.json", "preprocess.json", "parity.json"):
        stage.manifest(f"onnx/{name}")
    stage.search("of_photos", "uma casa azul", "-k", "5", "--model", "onnx")
    stage.search("of_photos", "--image", "photos/s00001.png", "-k", "5", "--model", "onnx")


WORK = {work.__name__: work for work in (corpora, features, runs, reports, searches, configs, exports)}


def make(folder: Path, source: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """Run the work of these names in `folder` with the package in `source`; give the facts of each."""
    sys.path.insert(0, str(source))
    os.environ |= {"DRAGOMAN_HOME": str(folder / "home"), "PYTHONPATH": str(source)}
    # Also what every call would import by itself: torch._dynamo comes with the first step of an optimizer.
    import pyarrow.parquet  # noqa: F401
    import torch
    import torch._dynamo
    import transformers
    from PIL import Image

    Image.init()

    torch.set_num_threads(1)
    stage = Stage(folder, source)
    transformers.utils.logging.disable_progress_bar()
    made = {}
    for name in names:
        stage.facts = made[name] = {}
        WORK[name](stage)
    return made


def differences(expected: Any, found: Any, exact: bool, path: str = "") -> Iterator[str]:
    """Say where two facts differ.

    Not exactly: floats may differ by 2e-3 of themselves or 5e-5 (other processors round otherwise, and forty
    steps of training carry that on: up to 7e-4 and 3.8e-5 were seen). Hashes of floats, and of files that
    hold some, may differ.
    """
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in [*expected, *(key for key in found if key not in expected)]:
            if key not in found or key not in expected:
                yield f"{path}/{key}: {'missing' if key in expected else 'new'}"
            else:
                yield from differences(expected[key], found[key], exact, f"{path}/{key}")
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            yield f"{path}: {len(found)} values, expected {len(expected)}"
        for number, pair in enumerate(zip(expected, found, strict=False)):
            yield from differences(*pair, exact, f"{path}/{number}")
    elif not same(expected, found, exact):
        yield f"{path}: {found!r}, expected {expected!r}"


def same(expected: Any, found: Any, exact: bool) -> bool:
    if exact or type(expected) is not type(found):
        return bool(type(expected) is type(found) and expected == found)
    if isinstance(expected, float):
        return bool(abs(expected - found) <= max(2e-3 * abs(expected), 5e-5))
    if isinstance(expected, str) and HASH.fullmatch(expected):
        return bool(HASH.fullmatch(found))
    return bool(expected == found)


def written(made: dict[str, dict[str, Any]]) -> str:
    """JSON with a line for each fact; floats in full precision."""
    parts = []
    for name, facts in made.items():
        lines = [f"  {json.dumps(key)}: {json.dumps(facts[key], ensure_ascii=False)}" for key in facts]
        parts.append(f" {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n }")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with expected.json, bit for bit")
    parser.add_argument("--write", action="store_true", help="replace expected.json")
    parser.add_argument("--loose", action="store_true", help="floats and hashes as in the test")
    parser.add_argument("--without", nargs="*", default=[], choices=list(WORK), help="leave these out")
    parser.add_argument("--keep", type=Path, help="work in this new folder and keep it")
    parser.add_argument("--json", type=Path, help="write what was made here")
    parser.add_argument("--source", type=Path, default=HERE.parent.parent / "src", help="src of a commit")
    parser.add_argument("--most", type=int, default=40, help="differences printed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary, "golden")).resolve()
        folder.mkdir(parents=True)
        names = [name for name in WORK if name not in options.without]
        made = make(folder, options.source.resolve(), names)
    text = written(made)
    if options.json:
        options.json.write_text(text, "utf-8")
    if options.write:
        EXPECTED.write_text(text, "utf-8")
    if not options.check:
        return 0
    expected = {name: json.loads(EXPECTED.read_text("utf-8"))[name] for name in names}
    found = list(differences(expected, json.loads(text), exact=not options.loose))
    print("\n".join(found[: options.most]))
    print(f"{len(found)} differences" if found else f"all {sum(map(len, expected.values()))} facts are equal")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
