"""A video of twenty-five minutes: the right moment is found, and few frames are held at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import toy_model
from tiny_videos import save_video
from toy_model import save_model

from dragoman.index import job
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher

MINUTES, RATE = 25, 2


def test_the_right_moment_of_a_long_video_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_model.stand_in(monkeypatch)
    # Red and blue by turns, 6 to 20 seconds each; once, after 17 minutes, seven seconds of green.
    draws, colours = np.random.default_rng(1), list[str]()
    while len(colours) < MINUTES * 60 * RATE:
        colours += [("red", "blue")[len(colours) % 2]] * (RATE * int(draws.integers(6, 21)) + 1)
    green = 17 * 60 + 3
    colours[green * RATE : (green + 7) * RATE] = ["green"] * 7 * RATE
    media = tmp_path / "media"
    media.mkdir()
    save_video(media / "long.mp4", colours, rate=RATE)
    save_model(tmp_path / "run")
    report = job.index_media(tmp_path / "run", media, tmp_path / "index", job.IndexOptions(device="cpu"))
    (model,) = toy_model.loaded
    # A frame a second, four at a time.
    assert (sum(model.seen), max(model.seen)) == (np.ceil(len(colours) / RATE), 4)
    with Searcher.open(tmp_path / "index") as searcher:
        (hit,) = searcher.search(Query(text="algo verde", k=3)).hits
        every = searcher.search(Query(text="algo verde", k=1000, moments=True)).hits
    assert hit.entry.item_id == f"long.mp4#t={green:.2f},{green + 7:.2f}"
    times = sorted((one.entry.metadata["start"], one.entry.metadata["end"]) for one in every)
    assert len(times) == report.info.count
    # The moments cover the video without gaps, and none is longer than ten seconds.
    assert times[0][0] == 0 and times[-1][1] >= MINUTES * 60
    assert [end for _, end in times[:-1]] == [start for start, _ in times[1:]]
    assert max(end - start for start, end in times) <= 10
