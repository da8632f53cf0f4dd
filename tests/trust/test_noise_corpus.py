"""Damage planted in a corpus folder, and trust as its detector."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dragoman.corpus.corpus import CAPTIONS, ITEMS, Corpus
from dragoman.corpus.features import write_features
from dragoman.corpus.format import CORPUS
from dragoman.errors import UserError
from dragoman.trust.noise import NoiseSettings
from dragoman.trust.noise_corpus import plant_noise
from dragoman.trust.score import score_trust

# English: Portuguese, Spanish.
COLOURS = {"red": ("vermelho", "rojo"), "black": ("preto", "negro"), "white": ("branco", "blanco")}
ANIMALS = {
    "dog": ("cão", "perro"),
    "cat": ("gato", "gato"),
    "horse": ("cavalo", "caballo"),
    "pig": ("porco", "cerdo"),
}
DEEDS = {"runs": ("corre", "corre"), "sleeps": ("dorme", "duerme"), "drinks": ("bebe", "bebe")}
PLACES = {
    "beach": ("na praia", "en la playa"),
    "street": ("na rua", "en la calle"),
    "field": ("no campo", "en el campo"),
}


def write_corpus(folder: Path) -> Path:
    """108 items: an English caption, translated into Portuguese and Spanish, the former also back."""
    captions: list[dict[str, object]] = []
    items: list[dict[str, object]] = []
    for n, (colour, animal, deed, place) in enumerate(product(COLOURS, ANIMALS, DEEDS, PLACES)):
        c, a, d, p = COLOURS[colour], ANIMALS[animal], DEEDS[deed], PLACES[place]
        split = "test" if n % 6 == 5 else "val" if n % 6 == 4 else "train"
        items.append({"item_id": f"i{n}", "kind": "image", "split": split, "path": f"images/{n}.jpg"})
        rows = [
            ("en", "human", f"A {colour} {animal} {deed} at the {place} .", None),
            ("pt", "mt", f"Um {a[0]} {c[0]} {d[0]} {p[0]} .", f"en{n}"),
            ("es", "mt", f"Un {a[1]} {c[1]} {d[1]} {p[1]} .", f"en{n}"),
            ("bk", "back", f"One {colour} {animal} {deed} on the {place} .", f"pt{n}"),
        ]
        for lang, role, text, source in rows:
            known = {"caption_id": f"{lang}{n}", "item_id": f"i{n}", "lang": "en" if lang == "bk" else lang}
            engine = None if source is None else "toy"
            captions.append(known | {"role": role, "text": text, "source_id": source, "engine": engine})
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(items, ITEMS), folder / "items.parquet")
    pq.write_table(pa.Table.from_pylist(captions, CAPTIONS), folder / "captions.parquet")
    ids = [str(item["item_id"]) for item in items]
    write_features(folder / "features/tiny", ids, np.eye(len(ids), dtype=np.float16), inputs={})
    CORPUS.write(folder, inputs={}, note="kept")
    return folder


def texts_of(folder: Path) -> dict[str, str]:
    return {row["caption_id"]: row["text"] for row in Corpus.open(folder).captions.to_pylist()}


def test_the_wanted_share_of_machine_captions_is_damaged_and_nothing_else(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c")
    noise = plant_noise(corpus, tmp_path / "n", languages=["pt"], config=NoiseSettings(rate=0.4, seed=1))
    before, after = texts_of(corpus), texts_of(tmp_path / "n")
    changed = {i for i in after if after[i] != before[i] and not i.startswith("bk")}
    assert changed == set(noise["caption_id"].to_pylist())
    assert len(changed) == round(0.4 * 90)  # 18 of the 108 items are test
    assert all(i.startswith("pt") and int(i[2:]) % 6 != 5 for i in changed)
    assert {i: before[i] for i in changed} == dict(
        zip(noise["caption_id"].to_pylist(), noise["original"].to_pylist(), strict=True)
    )


def test_a_shuffled_caption_brings_its_back_translation_and_others_lose_theirs(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c")
    config = NoiseSettings(rate=0.4, kinds=("shuffle", "drop"))
    noise = plant_noise(corpus, tmp_path / "n", languages=["pt"], config=config).to_pylist()
    before, after = texts_of(corpus), texts_of(tmp_path / "n")
    assert {row["kind"] for row in noise} == {"shuffle", "drop"}
    for row in noise:
        back = row["caption_id"].replace("pt", "bk")
        if row["kind"] == "drop":
            assert back not in after
        else:
            assert after[row["caption_id"]] == before[row["donor_id"]]
            assert after[back] == before[row["donor_id"].replace("pt", "bk")]


def test_back_translations_can_be_kept(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c")
    config = NoiseSettings(rate=1, kinds=("drop",))
    plant_noise(corpus, tmp_path / "n", languages=["pt"], config=config, back="keep")
    before, after = texts_of(corpus), texts_of(tmp_path / "n")
    assert {i: after[i] for i in after if i.startswith("bk")} == {
        i: before[i] for i in before if i.startswith("bk")
    }


def test_an_engine_back_translates_the_damaged_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRAGOMAN_HOME", str(tmp_path / "home"))
    corpus = write_corpus(tmp_path / "c")
    config = NoiseSettings(rate=0.4, kinds=("shuffle", "copy"))
    plain = plant_noise(corpus, tmp_path / "plain", languages=["pt"], config=config).to_pylist()
    copies = [row["caption_id"] for row in plain if row["kind"] == "copy"]
    after = texts_of(tmp_path / "plain")
    recorded = tmp_path / "recorded.jsonl"
    lines = [{"text": after[i], "translation": f"back {after[i]}"} for i in copies[1:]]
    recorded.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    plant_noise(corpus, tmp_path / "n", languages=["pt"], config=config, back=f"recorded:{recorded}")
    texts = texts_of(tmp_path / "n")
    assert all(texts[i.replace("pt", "bk")] == f"back {after[i]}" for i in copies[1:])
    assert copies[0].replace("pt", "bk") not in texts, "what the engine rejects has no back-translation"


def test_wrong_language_takes_another_translation_of_the_same_source(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c")
    config = NoiseSettings(rate=0.5, kinds=("wrong_language",))
    noise = plant_noise(corpus, tmp_path / "n", languages=["por_Latn"], config=config)
    before, after = texts_of(corpus), texts_of(tmp_path / "n")
    for caption_id in noise["caption_id"].to_pylist():
        assert after[caption_id] == before[caption_id.replace("pt", "es")]


def test_the_noisy_corpus_is_whole_and_unscored(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c")
    score_trust(corpus)
    plant_noise(corpus, tmp_path / "n", languages=["pt"], config=NoiseSettings(seed=3))
    noisy = Corpus.open(tmp_path / "n")
    assert noisy.captions.schema.equals(CAPTIONS) and noisy.captions["trust"].null_count == len(
        noisy.captions
    )
    assert noisy.items["path"][0].as_py() == str((corpus / "images/0.jpg").resolve())
    np.testing.assert_array_equal(noisy.features("tiny").vectors, np.eye(108, dtype=np.float16))
    manifest = json.loads((tmp_path / "n/manifest.json").read_text())
    assert manifest["note"] == "kept" and manifest["noise"]["seed"] == 3
    assert manifest["inputs"] == Corpus.open(corpus).fingerprint()


def test_the_same_command_may_run_again_and_another_may_not(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c")
    first = plant_noise(corpus, tmp_path / "n", languages=["pt"], config=NoiseSettings())
    assert plant_noise(corpus, tmp_path / "n", languages=["pt"], config=NoiseSettings()).equals(first)
    with pytest.raises(UserError, match=r"n holds another corpus; it differs in seed=0 there, 5 now\. Give"):
        plant_noise(corpus, tmp_path / "n", languages=["pt"], config=NoiseSettings(seed=5))
    with pytest.raises(UserError, match="c holds another corpus; it differs in inputs; noise"):
        plant_noise(corpus, corpus, languages=["pt"], config=NoiseSettings())


def test_an_unknown_language_or_split_is_named(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "c")
    with pytest.raises(UserError, match=r"no machine translation in 'gl' .*languages: es, pt"):
        plant_noise(corpus, tmp_path / "n", languages=["gl"], config=NoiseSettings())
    with pytest.raises(UserError, match=r"No split dev\. Known: train, val, test"):
        plant_noise(corpus, tmp_path / "n", languages=["pt"], config=NoiseSettings(), splits=["dev"])
    assert not (tmp_path / "n").exists()


def auc_by_pairs(trust: list[float], damaged: list[bool]) -> float:
    """How often a damaged caption has less trust than a sound one; ties count half."""
    bad = [t for t, d in zip(trust, damaged, strict=True) if d]
    good = [t for t, d in zip(trust, damaged, strict=True) if not d]
    return sum((b < g) + 0.5 * (b == g) for b, g in product(bad, good)) / (len(bad) * len(good))


@pytest.mark.parametrize(
    ("kind", "least"),
    [
        ("drop", 0.9),
        ("swap", 0.8),
        ("scramble", 0.85),
        ("repeat", 0.9),
        ("shuffle", 0.9),
        ("wrong_language", 0.85),
        ("copy", 0.99),
    ],
)
def test_damaged_captions_get_less_trust(tmp_path: Path, kind: str, least: float) -> None:
    corpus = write_corpus(tmp_path / "c")
    noise = plant_noise(
        corpus, tmp_path / "n", languages=["pt"], config=NoiseSettings(kinds=(kind,), rate=0.2, strength=0.4)
    )
    # Among 18 captions of so small a world, Spanish words look as usual as Portuguese ones.
    table = score_trust(tmp_path / "n", langid=kind == "wrong_language")
    table = table.filter(pa.compute.equal(table["lang"], "pt"))
    damaged = set(noise["caption_id"].to_pylist())
    flags = [caption_id in damaged for caption_id in table["caption_id"].to_pylist()]
    assert sum(flags) == 18
    assert auc_by_pairs(table["trust"].to_pylist(), flags) > least
