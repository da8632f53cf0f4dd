"""`dragoman noise` from the outside."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from dragoman.cli import dragoman
from dragoman.corpus.corpus import CAPTIONS, ITEMS, Corpus
from dragoman.corpus.format import CORPUS
from dragoman.errors import UserError


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    captions: list[dict[str, object]] = []
    for n in range(10):
        item = {"item_id": f"i{n}"}
        captions.append(
            item | {"caption_id": f"en{n}", "lang": "en", "role": "human", "text": f"A dog number{n}"}
        )
        machine = {"caption_id": f"pt{n}", "lang": "pt", "role": "mt", "source_id": f"en{n}"}
        captions.append(item | machine | {"text": f"Um cão número{n}", "engine": "toy"})
    folder = tmp_path / "corpus"
    folder.mkdir()
    items = [{"item_id": f"i{n}", "kind": "image", "split": "train"} for n in range(10)]
    pq.write_table(pa.Table.from_pylist(items, ITEMS), folder / "items.parquet")
    pq.write_table(pa.Table.from_pylist(captions, CAPTIONS), folder / "captions.parquet")
    CORPUS.write(folder, inputs={})
    return folder


def test_noise_prints_what_it_planted_and_records_it(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "noisy"
    arguments = [
        "noise",
        str(corpus),
        "--lang",
        "pt",
        "--kind",
        "drop,shuffle",
        "--rate",
        "0.4",
        "--seed",
        "1",
    ]
    done = CliRunner().invoke(dragoman, [*arguments, "--out", str(out)])
    assert done.exit_code == 0, done.output
    counts = [line.split() for line in done.stdout.splitlines()]
    assert counts == [["drop", "2"], ["shuffle", "2"], ["damaged", "4"], [str(out)]]
    noise = pq.read_table(out / "noise.parquet").to_pylist()
    texts = {row["caption_id"]: row["text"] for row in Corpus.open(out).captions.to_pylist()}
    for row in noise:
        number = row["caption_id"][2:]
        assert row["original"] == f"Um cão número{number}" != texts[row["caption_id"]]


def test_defaults_come_from_the_configuration(corpus: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(dragoman, ["noise", str(corpus), "--lang", "pt", "--out", str(tmp_path / "n")])
    assert done.exit_code == 0, done.output
    noise = Corpus.open(tmp_path / "n").manifest["noise"]
    assert (noise["rate"], noise["seed"], noise["splits"]) == (0.2, 0, ["train", "val"])
    assert noise["kinds"] == ["drop", "swap", "shuffle", "wrong_language"]


def test_an_unknown_kind_is_named(corpus: Path, tmp_path: Path) -> None:
    arguments = ["noise", str(corpus), "--lang", "pt", "--kind", "typo", "--out", str(tmp_path / "n")]
    done = CliRunner().invoke(dragoman, arguments)
    assert isinstance(done.exception, UserError)
    assert "No kind of noise typo. Known: drop, swap" in str(done.exception)
    assert not (tmp_path / "n").exists()
