"""The multilingual Flickr8k, where it lies beside the checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.corpus import BuildOptions, GivenFeatures, build_jsonl
from dragoman.corpus.summary import summarize

DATA = Path(__file__).parents[3] / "shared" / "data" / "flickr8k_multilingual"

# Language, role, engine: captions in train, val, test, as the page of the data set counts them.
EXPECTED = {
    ("ar", "human", None): (18000, 3000, 3000),
    ("ar", "mt", "nllb-200-3.3B"): (5399, 900, 0),
    ("cs", "human", None): (5528, 934, 929),
    ("de", "human", None): (33168, 5604, 5574),
    ("en", "human", None): (30000, 5000, 5000),
    ("en", "mt", "apertium:pt-es|spa-eng"): (0, 5604, 5574),
    ("en", "back", "apertium:gl-en"): (30000, 5000, 0),
    ("en", "back", "apertium:pt-es|spa-eng"): (30000, 5000, 0),
    ("en", "back", "apertium:spa-eng"): (30000, 5000, 0),
    ("es", "mt", "apertium:eng-spa"): (30000, 5000, 0),
    ("es", "mt", "nllb-200-3.3B"): (5399, 900, 0),
    ("gl", "mt", "apertium:en-gl"): (30000, 5000, 0),
    ("pt", "human", None): (33168, 5604, 5574),
    ("pt", "mt", "apertium:eng-spa|es-pt"): (30000, 5000, 0),
    ("uk", "mt", "nllb-200-3.3B"): (5399, 900, 0),
    ("zh", "human", None): (30000, 5000, 5000),
    ("zh", "mt", "baidu-2015"): (30000, 5000, 0),
    ("zh", "mt", "google-2015"): (30000, 5000, 0),
    ("zh", "mt", "nllb-200-3.3B"): (5399, 900, 0),
}


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the data set is not at {DATA}")
def test_half_a_million_real_captions_build_as_counted(tmp_path: Path) -> None:
    ids = DATA / "features" / "ids.txt"
    features = GivenFeatures(vectors=DATA / "features" / "mobilenet_v2.npy", ids=ids)
    options = BuildOptions(features=(features,), media_root=DATA / "images")
    report = build_jsonl(DATA / "captions.jsonl.gz", tmp_path / "out", options)
    found = summarize(report.corpus, samples=1, seed=0)
    assert {(c.lang, c.role, c.engine): tuple(c.splits.values()) for c in found.captions} == EXPECTED
    assert (report.captions, report.rejected) == (516457, 0)
    assert found.items == {"train": 6000, "val": 1000, "test": 1000}
    assert found.files == {"present": 2000, "missing": 0, "remote": 0, "none": 6000, "text": 0}
    assert found.features == {"mobilenet_v2": {"width": 1280, "items": 8000}}
    joined = report.corpus.translations(source="en", target="pt", split="train")
    assert (len(joined), joined.dropped, None in joined.back_text) == (30000, 0, False)
    assert joined.slot.tolist() == [0, 1, 2, 3, 4] * 6000
