"""Data sets of other shapes: several engines, one model a language, folds, English alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from miniatures import put, put_lines
from training_world import DE, EN, PT, TINY

from dragoman.corpus import Corpus
from dragoman.corpus.given import GivenFeatures
from dragoman.corpus.readers import coco
from dragoman.errors import UserError
from dragoman.pipelines.benchmark import BenchmarkSettings, run_benchmark
from dragoman.pipelines.benchmark_row import BenchmarkResult, of_public

ITEMS = {"train": 16, "val": 6, "test": 6}
SLOTS = 2


def seen_in(sizes: dict[str, int]) -> dict[str, tuple[str, np.ndarray]]:
    """Item to split and to the places of the four words that it shows."""
    draws = np.random.default_rng(3)
    names = [(f"{split}{number}", split) for split, count in sizes.items() for number in range(count)]
    return {name: (split, draws.choice(len(EN), 4, replace=False)) for name, split in names}


def save_vectors(root: Path, seen: dict[str, tuple[str, np.ndarray]]) -> None:
    meaning = np.random.default_rng(4).standard_normal((len(EN), 12))
    np.save(root / "toy.npy", np.array([meaning[words].sum(0) for _, words in seen.values()], np.float32))
    put_lines(root, {"ids.txt": list(seen)})


def said(words: tuple[str, ...], places: np.ndarray, slot: int) -> str:
    return " ".join(words[place] for place in np.roll(places, slot))


def config(root: Path, name: str, **more: Any) -> BenchmarkSettings:
    given: dict[str, Any] = {
        "name": name,
        "recipe": "translate_train",
        "features": GivenFeatures(vectors=root / "toy.npy", ids=root / "ids.txt"),
        "settings": TINY | {"epochs": "1"},
        "seeds": (1,),
        "device": "cpu",
    }
    return BenchmarkSettings(**(given | more))


@pytest.fixture(scope="module")
def flickr8k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Flickr8k-CN with a Chinese that is spelt like Portuguese, and machines that write German."""
    root, seen = tmp_path_factory.mktemp("flickr8k"), seen_in(ITEMS)
    save_vectors(root, seen)
    for split in ITEMS:
        put_lines(root, {f"flickr8k{split}.txt": [name for name, (own, _) in seen.items() if own == split]})
    for file, words in (("enc", EN), ("zhc", PT), ("zhb", DE), ("zhg", DE[::-1])):
        lines = [
            f"{name}.jpg#{file}#{slot} {said(words, places, slot)}"
            for name, (_, places) in seen.items()
            for slot in range(SLOTS)
        ]
        put_lines(root, {f"flickr8k{file}.caption.txt": lines})
    return root


@pytest.fixture(scope="module")
def in_chinese(flickr8k: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BenchmarkResult]:
    out = tmp_path_factory.mktemp("out")
    return out, run_benchmark(config(flickr8k, "flickr8k-cn", languages=("zh",)), flickr8k, out)


def test_all_published_engines_are_learned_from_and_named(in_chinese: tuple[Path, BenchmarkResult]) -> None:
    out, result = in_chinese
    assert json.loads((out / "run-1" / "config.json").read_text())["config"]["engines"] == ["*"]
    assert result.circumstances["training text"] == "machine (baidu-2015, google-2015)"
    assert result.circumstances["selection"] == "val (machine captions)"
    pieces = json.loads((out / "run-1" / "model" / "ngrams.json").read_text())["pieces"]
    assert "<Pferd>" in pieces and "<cavalo>" not in pieces, "human Chinese of the training split was read"


def test_human_captions_are_the_queries(in_chinese: tuple[Path, BenchmarkResult]) -> None:
    out, _ = in_chinese
    report = json.loads((out / "report-1" / "report.json").read_text())
    assert report["languages"]["zh"]["queries"] == {
        "text_to_image": SLOTS * ITEMS["test"],
        "image_to_text": ITEMS["test"],
    }
    asked = Corpus.open(out / "corpus").captions.to_pylist()
    roles = {row["role"] for row in asked if row["item_id"].startswith("test") and row["lang"] == "zh"}
    assert roles == {"human", "mt"}


def test_ranks_of_captions_written_apart_are_not_compared(in_chinese: tuple[Path, BenchmarkResult]) -> None:
    out, result = in_chinese
    assert "mrv_std" in json.dumps(json.loads((out / "report-1" / "report.json").read_text())["consistency"])
    assert result.consistency == {}
    assert not any("mrv_std" in line for line in result.lines)


def test_the_page_tells_the_settings_and_one_engine_can_be_chosen(flickr8k: Path, tmp_path: Path) -> None:
    settings = TINY | {"epochs": "1", "engines": "google-2015"}
    result = run_benchmark(config(flickr8k, "flickr8k-cn", settings=settings), flickr8k, tmp_path / "out")
    assert result.circumstances["training text"] == "machine (google-2015)"
    (line,) = [line for line in result.lines if line.startswith("Settings that are not the recipe's: ")]
    assert "engines=google-2015" in line and "epochs=1" in line


def test_published_translations_stay_aside_where_an_engine_is_named(flickr8k: Path, tmp_path: Path) -> None:
    lines = [
        json.dumps({"text": said(EN, places, slot), "translation": said(PT, places, slot)})
        for _, places in seen_in(ITEMS).values()
        for slot in range(SLOTS)
    ]
    put_lines(tmp_path, {"said.jsonl": lines})
    engine = f"recorded:{tmp_path / 'said.jsonl'}"
    given = config(flickr8k, "flickr8k-cn", engine=engine)
    result = run_benchmark(given, flickr8k, tmp_path / "out")
    assert result.circumstances["training text"] == "machine (recorded:said.jsonl)"


def test_the_training_may_be_changed_until_it_has_begun(flickr8k: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"no back-translation.*--set loss\.cycle=false"):
        run_benchmark(config(flickr8k, "flickr8k-cn", recipe="nrccr"), flickr8k, out)
    with pytest.raises(UserError, match=r"another benchmark; .*languages=\[\] there, \['en'\] now"):
        run_benchmark(config(flickr8k, "flickr8k-cn", recipe="nrccr", languages=("en",)), flickr8k, out)
    settings = TINY | {"epochs": "1", "loss.cycle": "false"}
    chosen = config(flickr8k, "flickr8k-cn", recipe="nrccr", settings=settings)
    assert set(run_benchmark(chosen, flickr8k, out).figures["SumR"]) == {"en", "zh"}
    with pytest.raises(UserError, match=r"another benchmark; .*loss\.cycle='false' there, None now"):
        run_benchmark(config(flickr8k, "flickr8k-cn", recipe="nrccr"), flickr8k, out)


def test_a_mistake_in_the_first_command_costs_nothing(flickr8k: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"No recipe 'nosuch'\. Known: .*nrccr"):
        run_benchmark(config(flickr8k, "flickr8k-cn", recipe="nosuch"), flickr8k, out)
    wrong = config(flickr8k, "flickr8k-cn", languages=("zh",), settings={"ephocs": "1"})
    with pytest.raises(UserError, match=r"No setting 'ephocs'"):
        run_benchmark(wrong, flickr8k, out)
    assert not out.exists()
    with pytest.raises(UserError, match=r"has no de\. It has: en, zh"):
        run_benchmark(config(flickr8k, "flickr8k-cn", languages=("de",)), flickr8k, out)
    with pytest.raises(UserError, match=r"nowhere is no folder"):
        run_benchmark(config(flickr8k, "flickr8k-cn"), flickr8k / "nowhere", out)
    right = config(flickr8k, "flickr8k-cn", languages=("zh",))
    assert "zh" in run_benchmark(right, flickr8k, out).figures["SumR"]


def test_nrccr_gets_a_model_for_each_language(tmp_path: Path) -> None:
    parts = {"train": 16, "val": 6, "test_2016_flickr": 6}
    seen = seen_in(parts)
    save_vectors(tmp_path, seen)
    for part in parts:
        places = {name: words for name, (own, words) in seen.items() if own == part}
        put_lines(tmp_path, {f"data/task1/image_splits/{part}.txt": [f"{name}.jpg" for name in places]})
        for lang, words in (("en", EN), ("de", DE), ("fr", PT)):
            lines = [said(words, one, 0) for one in places.values()]
            put_lines(tmp_path, {f"data/task1/raw/{part}.{lang}": lines})
    settings = TINY | {"epochs": "1", "loss.cycle": "false"}
    chosen = config(tmp_path, "multi30k-task1", recipe="nrccr", seeds=(1, 2), settings=settings)
    out = tmp_path / "out"
    result = run_benchmark(chosen, tmp_path, out)
    assert {path.name for path in out.glob("run-*")} == {"run-de-1", "run-de-2", "run-fr-1", "run-fr-2"}
    for lang in ("de", "fr"):
        found = [json.loads((out / f"report-{lang}-{k}" / "report.json").read_text()) for k in (1, 2)]
        assert result.figures["SumR"][lang] == [one["results"][lang]["direct"]["sum_r"] for one in found]
        assert list(found[0]["results"]) == [lang]
    assert set(result.figures["SumR"]) == {"de", "fr"}
    assert result.consistency == {} and result.circumstances["models"] == "one a language"
    (nrccr,) = [line for line in result.lines if line.startswith("| NRCCR |") and "450.7" in line]
    assert "queries: fused with their machine translation" in nrccr


def karpathy(root: Path, sizes: dict[str, int]) -> None:
    seen = seen_in(sizes)
    save_vectors(root, seen)
    images = [
        {
            "filename": f"{name}.jpg",
            "filepath": "val2014",
            "split": split,
            "cocoid": number,
            "sentences": [{"raw": said(EN, places, slot)} for slot in range(1 + number % 2)],
        }
        for number, (name, (split, places)) in enumerate(seen.items())
    ]
    put(root, {"dataset_coco.json": json.dumps({"dataset": "coco", "images": images})})


def test_coco_1k_is_the_mean_over_the_folds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coco, "FOLD", 4)
    karpathy(tmp_path, {"train": 16, "val": 6, "test": 12})
    result = run_benchmark(config(tmp_path, "coco-en", test="1k"), tmp_path, tmp_path / "out")
    report = tmp_path / "out" / "report-1"
    folds = [json.loads((report / f"fold-{fold}" / "report.json").read_text()) for fold in range(3)]
    assert [one["languages"]["en"]["gallery"]["text_to_image"] for one in folds] == [4, 4, 4]
    sums = [one["results"]["en"]["direct"]["sum_r"] for one in folds]
    assert result.figures["SumR"]["en"] == [pytest.approx(sum(sums) / 3)]
    assert result.figures["AR"]["en"] == [pytest.approx(sum(sums) / 18)]
    assert result.circumstances["gallery"] == "1,000 images, mean over five folds"
    assert result.circumstances["training text"] == "human English"
    assert result.circumstances["selection"] == "val (human captions)"
    assert all("gallery: not told" in line for line in result.lines if line.startswith("| CCR^"))
    whole = run_benchmark(config(tmp_path, "coco-en"), tmp_path, tmp_path / "whole")
    found = json.loads((tmp_path / "whole" / "report-1" / "report.json").read_text())
    assert found["languages"]["en"]["gallery"]["text_to_image"] == 12
    assert whole.circumstances["gallery"] == "5,000 images"


@pytest.mark.parametrize(
    ("preprocessing", "side"),
    [
        ({"size": {"height": 384, "width": 384}}, "384"),
        ({"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": {"height": 224}}, "224"),
        ({"size": {"shortest_edge": 256}, "do_center_crop": False, "crop_size": {"height": 224}}, "256"),
        ({"size": 336}, "336"),
        ({"do_resize": False}, None),
        (None, None),
    ],
)
def test_the_resolution_is_what_the_tower_sees(preprocessing: object, side: str | None) -> None:
    manifest = {"encoder": {"path": "models/clip"}, "preprocessing": preprocessing}
    found = of_public(manifest)
    assert (found["tower"], found.get("resolution")) == ("clip", side)
