from __future__ import annotations

import errno
import io
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from mean_colour import MeanColour
from tiny_towers import picture, save_corpus, save_photo_corpus, save_tower

from checksums import without_checksums
from dragoman.corpus.corpus import Corpus
from dragoman.corpus.features import FeatureSet
from dragoman.errors import UserError
from dragoman.features import encoding, extract, work
from dragoman.features.encoding import ItemFile
from dragoman.features.extract import ExtractionReport, ExtractOptions, clean_name, extract_features
from dragoman.features.work import FeatureWork, Shard
from dragoman.folders import sole_writer
from dragoman.media.file_state import FileState
from dragoman.media.frames import Sampling
from dragoman.media.images import DECODING, Decoding, open_image
from dragoman.models.vision import VisionTower
from dragoman.training.extension import made_from

RESULT = ("vectors.npy", "ids.txt", "rejected.jsonl")


@pytest.fixture(scope="module")
def tower(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tower(tmp_path_factory.mktemp("towers") / "tiny clip", "clip")


def content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in RESULT}


def listed(folder: Path) -> list[dict[str, str | None]]:
    return [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]


def test_every_item_gets_the_vector_of_its_own_image(tmp_path: Path, tower: Path) -> None:
    corpus = save_photo_corpus(tmp_path, 7)
    report = extract_features(
        corpus, encoder=tower, options=ExtractOptions(batch_size=3, decoding=Decoding(workers=2))
    )
    assert (report.extracted, report.total, report.rejected) == (7, 7, ())
    features = Corpus.open(corpus).features("tiny_clip")
    assert features.ids == [f"item{number}" for number in range(7)]
    assert features.vectors.dtype == np.float16
    loaded = VisionTower.load(tower)
    images = [open_image(corpus / f"{number}.png") for number in range(7)]
    np.testing.assert_array_equal(features.vectors, loaded.encode(images, batch_size=3).astype(np.float16))
    assert features.manifest["encoder"] == {"path": str(tower), "fingerprint": loaded.fingerprint}
    assert features.manifest["preprocessing"]["image_mean"] == [0.5, 0.4, 0.3]


def test_broken_items_are_listed_with_their_reasons(tmp_path: Path, tower: Path) -> None:
    picture(1).save(tmp_path / "good.png")
    picture(2, (2000, 2000)).save(tmp_path / "large.png")
    (tmp_path / "half.jpg").write_bytes((tmp_path / "good.png").read_bytes()[:500])
    paths = {"large": "large.png", "half": "half.jpg", "good": "good.png", "gone": "gone.png", "bare": None}
    corpus = save_corpus(tmp_path, paths | {"far": "https://example.org/1.jpg"})
    report = extract_features(
        corpus, encoder=tower, options=ExtractOptions(batch_size=2, decoding=Decoding(max_megapixels=1))
    )
    assert Corpus.open(corpus).features("tiny_clip").ids == ["good"]
    reasons = {one["item_id"]: one["reason"] for one in listed(report.folder)}
    assert list(reasons) == ["large", "half", "gone", "bare", "far"]
    assert "2000x2000 is 4.0 megapixels, more than the limit of 1" in reasons["large"]
    assert "damaged or truncated" in reasons["half"]
    assert reasons["gone"] == "no such file"
    assert reasons["bare"] == "the item has no path"
    assert "a URI, not a file" in reasons["far"]
    assert [one.item_id for one in report.rejected] == list(reasons)


def test_a_second_run_does_nothing_and_loads_no_tower(
    tmp_path: Path, tower: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = save_photo_corpus(tmp_path, 2)
    save_corpus(corpus, {"item0": "0.png", "item1": "1.png", "gone": "gone.png"})
    first = extract_features(corpus, encoder=tower)
    times = {file: file.stat().st_mtime_ns for file in first.folder.iterdir()}
    monkeypatch.setattr(VisionTower, "load", lambda *_: pytest.fail("the tower was loaded"))
    second = extract_features(corpus, encoder=tower)
    assert (second.extracted, second.total, second.rejected) == (0, 2, first.rejected)
    assert {file: file.stat().st_mtime_ns for file in first.folder.iterdir()} == times


def test_only_new_items_are_extracted(tmp_path: Path, tower: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = save_photo_corpus(tmp_path, 3)
    extract_features(corpus, encoder=tower, options=ExtractOptions(batch_size=1))
    before = np.array(Corpus.open(corpus).features("tiny_clip").vectors)
    picture(9).save(tmp_path / "new.png")
    save_corpus(corpus, {"new": "new.png", "item2": "2.png", "item0": "0.png"})  # item1 has gone
    opened: list[str] = []
    monkeypatch.setattr(
        encoding, "open_image", lambda path, limit: opened.append(path) or open_image(path, limit)
    )
    report = extract_features(corpus, encoder=tower, options=ExtractOptions(batch_size=1))
    assert opened == [str(tmp_path / "new.png")]
    assert (report.extracted, report.total) == (1, 3)
    features = Corpus.open(corpus).features("tiny_clip")
    assert features.ids == ["new", "item2", "item0"]
    np.testing.assert_array_equal(features.vectors[1:], before[[2, 0]])
    new = VisionTower.load(tower).encode([picture(9)]).astype(np.float16)
    np.testing.assert_array_equal(features.vectors[:1], new)


def test_a_repaired_image_is_taken_up(tmp_path: Path, tower: Path) -> None:
    corpus = save_corpus(tmp_path, {"a": "a.png"})
    report = extract_features(corpus, encoder=tower)
    assert (report.total, len(report.rejected)) == (0, 1)
    assert Corpus.open(corpus).feature_names == []
    picture(1).save(tmp_path / "a.png")
    report = extract_features(corpus, encoder=tower)
    assert (report.total, report.rejected) == (1, ())
    assert listed(report.folder) == []


def test_another_encoder_under_the_same_name_is_refused(tmp_path: Path, tower: Path) -> None:
    corpus = save_photo_corpus(tmp_path / "corpus", 2)
    report = extract_features(corpus, encoder=tower, name="eyes")
    before = content(report.folder)
    other = save_tower(tmp_path / "other", "vit")
    with pytest.raises(
        UserError, match=r"cannot be mixed\. Give this one its own name \(--name eyes_2\), or remove"
    ):
        extract_features(corpus, encoder=other, name="eyes")
    assert content(report.folder) == before


def test_given_vectors_are_not_mixed_with_extracted_ones(tmp_path: Path, tower: Path) -> None:
    from dragoman.corpus.features import write_features

    corpus = save_photo_corpus(tmp_path, 2)
    write_features(tmp_path / "features" / "given", ["item0"], np.ones((1, 8)), inputs={})
    with pytest.raises(UserError, match="holds another feature set; it differs in encoder"):
        extract_features(corpus, encoder=tower, name="given")


def test_two_runs_of_one_feature_set_do_not_meet(tmp_path: Path, tower: Path) -> None:
    corpus = save_photo_corpus(tmp_path, 1)
    with sole_writer(tmp_path / "features" / ".eyes"):
        with pytest.raises(UserError, match="is being written by another dragoman process"):
            extract_features(corpus, encoder=tower, name="eyes")
        assert extract_features(corpus, encoder=tower, name="ears").total == 1


def test_limits_of_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="batch_size must be at least 1, got 0"):
        ExtractOptions(batch_size=0)
    with pytest.raises(UserError, match=r"grid must be 0 .* or more, got -1"):
        ExtractOptions(grid=-1)
    with pytest.raises(UserError, match="max_megapixels must be above 0, got 0"):
        Decoding(max_megapixels=0)
    with pytest.raises(UserError, match="workers must be at least 1, got 0"):
        Decoding(workers=0)


@pytest.mark.parametrize("value", [1e6, -1e6, np.nan, np.inf])
def test_a_vector_beyond_float16_is_rejected(
    tmp_path: Path, tower: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    embed = VisionTower.embed

    def overflow(self: VisionTower, prepared: list[object]) -> np.ndarray:
        vectors = embed(self, prepared)
        vectors[-1, 0] = value
        return vectors

    corpus = save_photo_corpus(tmp_path, 3)
    monkeypatch.setattr(VisionTower, "embed", overflow)
    report = extract_features(corpus, encoder=tower, options=ExtractOptions(batch_size=3))
    assert Corpus.open(corpus).features("tiny_clip").ids == ["item0", "item1"]
    assert [(one.item_id, one.reason) for one in report.rejected] == [
        ("item2", "its vector does not fit into float16 (-65504 to 65504)")
    ]


@pytest.mark.parametrize(
    ("given", "name"),
    [("clip-vit_b.32", "clip-vit_b.32"), (" my model!", "my_model"), ("../up", "up"), ("модель", "модель")],
)
def test_a_name_is_one_plain_folder(given: str, name: str) -> None:
    assert clean_name(given) == name


def test_a_name_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="gives no name for a feature set"):
        clean_name("..")


def test_an_interrupted_run_goes_on_with_the_same_bits(
    tmp_path: Path, tower: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = save_photo_corpus(tmp_path / "corpus", 9)
    (corpus / "4.png").write_bytes(b"no image")
    other = shutil.copytree(corpus, tmp_path / "other")
    expected = content(extract_features(other, encoder=tower, options=ExtractOptions(batch_size=2)).folder)
    add = FeatureWork.add

    def interrupted(job: FeatureWork, shard: Shard) -> None:
        add(job, shard)
        if len(job.shards) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(extract, "SHARD_SECONDS", 0)
    with monkeypatch.context() as patch:
        patch.setattr(FeatureWork, "add", interrupted)
        with pytest.raises(KeyboardInterrupt):
            extract_features(corpus, encoder=tower, options=ExtractOptions(batch_size=2))
    assert Corpus.open(corpus).feature_names == []
    opened: list[str] = []
    monkeypatch.setattr(
        encoding, "open_image", lambda path, limit: opened.append(Path(path).name) or open_image(path, limit)
    )
    report = extract_features(
        corpus, encoder=tower, options=ExtractOptions(batch_size=2, decoding=Decoding(workers=1))
    )
    assert opened == ["6.png", "7.png", "8.png"]
    assert content(report.folder) == expected


def test_a_full_disk_leaves_the_earlier_set_and_the_finished_shards(
    tmp_path: Path, tower: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = save_photo_corpus(tmp_path / "corpus", 4)
    save_corpus(corpus, {"item1": "1.png"})
    folder = extract_features(corpus, encoder=tower, options=ExtractOptions(batch_size=1)).folder
    before = content(folder)
    save_corpus(corpus, {f"item{number}": f"{number}.png" for number in range(4)})

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "vectors.npy")

    with monkeypatch.context() as patch:
        patch.setattr(work, "write_features", full)
        with pytest.raises(OSError, match="No space left on device"):
            extract_features(corpus, encoder=tower, options=ExtractOptions(batch_size=1))
    assert content(folder) == before
    monkeypatch.setattr(VisionTower, "load", lambda *_: pytest.fail("the work was done twice"))
    assert extract_features(corpus, encoder=tower, options=ExtractOptions(batch_size=1)).total == 4


def test_unfinished_work_of_another_encoder_is_not_mixed_in(
    tmp_path: Path, tower: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = save_photo_corpus(tmp_path / "corpus", 2)
    with monkeypatch.context() as patch:
        patch.setattr(FeatureWork, "assemble", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            extract_features(corpus, encoder=tower, name="eyes")
    other = save_tower(tmp_path / "other", "vit")
    with pytest.raises(UserError, match=r"or remove the other: rm -r .*/features/\.eyes$"):
        extract_features(corpus, encoder=other, name="eyes")
    assert extract_features(corpus, encoder=tower, name="eyes").total == 2


def test_a_run_killed_before_any_change_on_the_disk_ends_with_the_same_bits(
    tmp_path: Path, tower: Path
) -> None:
    # The corpus has an older, finished feature set, so that replacing it is interrupted as well.
    corpus = save_photo_corpus(tmp_path / "corpus", 5)
    paths: dict[str, str | None] = {f"item{number}": f"{number}.png" for number in range(5)}
    seeds = [0, 98, 2, 3, 4]
    vectors = np.stack([np.asarray(picture(seed), np.float32).mean((0, 1)) for seed in seeds])
    save_corpus(corpus, {"item3": "3.png", "item1": "1.png", "left": "2.png"})
    here = Path(__file__).parent
    seed = "import sys; sys.path.insert(0, sys.argv[1]); from pathlib import Path; import mean_colour as m; "
    first = [
        sys.executable,
        "-c",
        seed + "m.extract_mean_colours(*map(Path, sys.argv[2:]))",
        here,
        corpus,
        tower,
    ]
    subprocess.run(first, check=True)
    # From here on one old vector cannot be made again, and one is of another picture.
    (corpus / "3.png").unlink()
    picture(98).save(corpus / "1.png")
    save_corpus(corpus, paths | {"gone": "gone.png"})
    arguments = [corpus, tmp_path / "trial", tower, *RESULT]
    done = subprocess.run(
        [sys.executable, here / "mean_colour.py", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) > 20
    assert len(set(lines)) == 1, "the result depends on where the run was killed"
    found, ids, rejected = map(bytes.fromhex, lines[0].split(" "))
    np.testing.assert_array_equal(np.load(io.BytesIO(found)), vectors.astype(np.float16))
    assert ids.decode().split() == list(paths)
    assert json.loads(rejected)["reason"] == "no such file"


def counted_opens(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the pictures that are opened from now on."""
    opened: list[str] = []
    monkeypatch.setattr(
        encoding, "open_image", lambda path, limit: opened.append(Path(path).name) or open_image(path, limit)
    )
    return opened


def colours(corpus: Path) -> dict[str, np.ndarray]:
    found = Corpus.open(corpus).features("eyes")
    return dict(zip(found.ids, np.array(found.vectors), strict=True))


def colour(seed: int) -> np.ndarray:
    return np.asarray(picture(seed), np.float32).mean((0, 1)).astype(np.float16)


@pytest.fixture
def eyes(tower: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], ExtractionReport]:
    """Extraction by a tower whose vector is the mean colour."""
    monkeypatch.setattr(VisionTower, "load", lambda *_: MeanColour())
    options = ExtractOptions(batch_size=2, decoding=Decoding(workers=1))
    return lambda corpus: extract_features(corpus, encoder=tower, name="eyes", options=options)


def test_a_photo_that_was_replaced_gets_its_own_vector_and_one_that_was_touched_costs_nothing(
    tmp_path: Path, eyes: Callable[[Path], ExtractionReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = save_photo_corpus(tmp_path, 5)
    eyes(corpus)
    told = made_from(Corpus.open(corpus).features("eyes"))
    opened = counted_opens(monkeypatch)
    picture(41).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes((tmp_path / "2.png").read_bytes())
    (tmp_path / "3.png").touch()
    (tmp_path / "4.png").unlink()
    report = eyes(corpus)
    assert (opened, report.extracted, report.total, report.rejected) == (["1.png"], 1, 5, ())
    for number, seed in enumerate((0, 41, 2, 3, 4)):
        np.testing.assert_array_equal(colours(corpus)[f"item{number}"], colour(seed))
    assert made_from(Corpus.open(corpus).features("eyes")) != told, "training would go on with other pictures"


def test_the_states_of_files_that_were_touched_are_noted(
    tmp_path: Path, eyes: Callable[[Path], ExtractionReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = save_photo_corpus(tmp_path, 2)
    folder = eyes(corpus).folder
    told, vectors = made_from(Corpus.open(corpus).features("eyes")), content(folder)
    (tmp_path / "1.png").touch()
    assert eyes(corpus).extracted == 0
    assert (made_from(Corpus.open(corpus).features("eyes")), content(folder)) == (told, vectors)
    monkeypatch.setattr(FileState, "of", lambda *_: pytest.fail("a file was read again"))
    assert eyes(corpus).extracted == 0


def test_two_photos_of_one_size_and_time_that_change_names_change_their_vectors(
    tmp_path: Path, eyes: Callable[[Path], ExtractionReport]
) -> None:
    corpus = save_photo_corpus(tmp_path, 2)
    for number in range(2):
        picture(number).save(tmp_path / f"{number}.png", "bmp")
        os.utime(tmp_path / f"{number}.png", ns=(1, 1))
    eyes(corpus)
    for old, new in (("0", "x"), ("1", "0"), ("x", "1")):
        (tmp_path / f"{old}.png").rename(tmp_path / f"{new}.png")
    assert eyes(corpus).extracted == 2
    np.testing.assert_array_equal(colours(corpus)["item0"], colour(1))
    np.testing.assert_array_equal(colours(corpus)["item1"], colour(0))


def test_what_left_the_corpus_or_broke_leaves_the_set(
    tmp_path: Path, eyes: Callable[[Path], ExtractionReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = save_photo_corpus(tmp_path, 4)
    eyes(corpus)
    opened = counted_opens(monkeypatch)
    (tmp_path / "2.png").write_bytes(b"no image")
    # One is gone, one has no file any more, one has that of another.
    save_corpus(corpus, {"item1": None, "item2": "2.png", "item3": "0.png"})
    report = eyes(corpus)
    assert (opened, report.extracted, report.total) == (["2.png", "0.png"], 1, 1)
    assert [(one.item_id, one.reason[:20]) for one in report.rejected] == [
        ("item1", "the item has no path"),
        ("item2", "not an image of a kn"),
    ]
    assert list(colours(corpus)) == ["item3"]
    np.testing.assert_array_equal(colours(corpus)["item3"], colour(0))
    opened.clear()
    save_corpus(corpus, {"item1": None})
    assert (eyes(corpus).total, opened, Corpus.open(corpus).feature_names) == (0, [], [])


def test_a_photo_that_is_replaced_or_mended_between_a_kill_and_the_next_run_is_read_again(
    tmp_path: Path, eyes: Callable[[Path], ExtractionReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = save_photo_corpus(tmp_path, 5)
    (tmp_path / "1.png").write_bytes(b"no image")
    monkeypatch.setattr(extract, "SHARD_SECONDS", 0)
    with monkeypatch.context() as patch:
        patch.setattr(FeatureWork, "assemble", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            eyes(corpus)
    opened = counted_opens(monkeypatch)
    picture(30).save(tmp_path / "0.png")
    picture(31).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(b"broken")
    report = eyes(corpus)
    assert sorted(opened) == ["0.png", "1.png", "2.png"]
    assert (report.total, [one.item_id for one in report.rejected]) == (4, ["item2"])
    for number, seed in ((0, 30), (1, 31), (3, 3), (4, 4)):
        np.testing.assert_array_equal(colours(corpus)[f"item{number}"], colour(seed))


def test_of_a_set_that_says_nothing_of_files_the_newer_ones_are_read_again(
    tmp_path: Path, eyes: Callable[[Path], ExtractionReport], monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = save_photo_corpus(tmp_path, 3)
    folder = eyes(corpus).folder
    (folder / "files.txt").unlink()
    without_checksums(folder)
    opened = counted_opens(monkeypatch)
    (tmp_path / "2.png").unlink()
    picture(50).save(tmp_path / "1.png")
    later = (folder / "vectors.npy").stat().st_mtime_ns + 1
    os.utime(tmp_path / "1.png", ns=(later, later))
    assert (eyes(corpus).extracted, opened) == (1, ["1.png"])
    # What was taken for its file is noted from now on.
    picture(51).save(tmp_path / "0.png")
    os.utime(tmp_path / "0.png", ns=(1, 1))
    assert (eyes(corpus).extracted, opened) == (1, ["1.png", "0.png"])
    for number, seed in enumerate((51, 50, 2)):
        np.testing.assert_array_equal(colours(corpus)[f"item{number}"], colour(seed))


def test_an_old_set_of_which_nothing_changed_gets_the_states_alone(
    tmp_path: Path, eyes: Callable[[Path], ExtractionReport]
) -> None:
    corpus = save_photo_corpus(tmp_path, 2)
    folder = eyes(corpus).folder
    before, states = content(folder), (folder / "files.txt").read_text()
    (folder / "files.txt").unlink()
    without_checksums(folder)
    assert eyes(corpus).extracted == 0
    assert (content(folder), (folder / "files.txt").read_text()) == (before, states)
    assert Corpus.open(corpus).features("eyes").manifest["format_version"] == 1


def test_vectors_of_texts_are_kept_by_the_same_work(tmp_path: Path) -> None:
    """Ids of captions, no files, and a prefix that tells one set from another."""
    final = tmp_path / "features" / "e5"
    told = {"fingerprint": "a" * 64, "pool": "mean", "prefix": "query: "}
    vectors = {"caption2": np.float16([1, 2]), "caption1": np.float16([3, 4])}
    work = FeatureWork(final, "whole", told)
    work.add(Shard(ids=list(vectors), vectors=list(vectors.values())))
    assert set(FeatureWork(final, "whole", told).known) == set(vectors)
    assert work.assemble(["caption1", "caption2"], [], inputs={}, encoder=told) == 2
    found = FeatureSet.open(final)
    assert found.ids == ["caption1", "caption2"]
    np.testing.assert_array_equal(found.whole(found.rows(["caption2", "caption1"])), [[1, 2], [3, 4]])
    assert set(FeatureWork(final, "whole", told).known) == set(vectors)
    with pytest.raises(UserError, match=r"prefix='query: ' there, 'passage: ' now.*e5_2"):
        FeatureWork(final, "whole", {**told, "prefix": "passage: "})


def batches_of(items: Iterable[ItemFile], size: int) -> list[list[str]]:
    """The items that go through a tower together: images as they come, a video alone."""
    found: list[list[str]] = []
    for item in items:
        if item.kind == "image" and found and len(found[-1]) < size and found[-1][-1].startswith("image"):
            found[-1].append(item.item_id)
        else:
            found.append([item.item_id])
    return found


@pytest.mark.parametrize("seed", range(20))
def test_whichever_blocks_are_left_their_batches_are_the_same(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(seed)
    monkeypatch.setattr(extract, "BLOCK_FRAMES", draw.randint(1, 8))
    kinds = draw.choices(["image", "video"], [4, 1], k=30)
    items = [ItemFile(f"{kind}{number}", kind, "", "") for number, kind in enumerate(kinds)]
    size = draw.randint(1, 4)
    opener = encoding.Opener(Sampling(most=3), DECODING)
    blocks = list(extract._Extraction("", None, "cpu", 0, opener, size, "whole").blocks(items))
    assert list(itertools.chain(*blocks)) == items
    assert len(blocks) > 1
    left = [block for block in blocks if draw.random() < 0.6]
    alone = [batch for block in left for batch in batches_of(block, size)]
    assert batches_of(itertools.chain(*left), size) == alone
