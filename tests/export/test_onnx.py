from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from export_world import save_hugging_run, save_run, save_seeing_run
from onnx import load_model
from tiny_duals import DETAILS, FEATURES, TEXTS, dual
from tiny_towers import picture

from checksums import without_checksums
from dragoman.errors import UserError
from dragoman.export import export, onnx
from dragoman.export.onnx import graphs
from dragoman.export.onnx.inputs import preprocessing_of
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import save_model
from dragoman.models.temporal import VideoConfig
from dragoman.models.vision import VisionTower
from dragoman.retrievers.loading import image_fingerprint, load_encoder, model_fingerprint
from dragoman.retrievers.onnx import OnnxGraph, OnnxRetriever
from dragoman.retrievers.trained import Retriever
from hiding import ran, without

pytestmark = pytest.mark.usefixtures("traced_once")
MANY = [*TEXTS, "", "ζ never seen", "a dog " * 80, "a", TEXTS[0]]
REAL_TOWER = Path(__file__).parents[3] / "shared" / "models" / "mobilenet_v2_imagenet"

WITHOUT = "torch transformers safetensors onnx onnxscript scipy"
ENCODES = """
import json
from dragoman.retrievers.onnx import OnnxRetriever
folder, picture, *texts = sys.argv[1:]
model = OnnxRetriever.load(folder)
seen = model.encode_image([picture] if picture else [])
print(json.dumps([model.encode_text(texts).tolist(), seen.tolist()]))
"""
SEARCHES = """
import json
from dragoman.index import IndexOptions, index_media
from dragoman.search.query import Query
from dragoman.search.searcher import Searcher
model, media, index = sys.argv[1:]
index_media(model, media, index, IndexOptions(device="cpu"))
with Searcher.open(index) as searcher:
    found = searcher.search(Query(text="um cão corre na praia", k=3))
print(json.dumps([[hit.entry.item_id, hit.score] for hit in found.hits]))
"""


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `run`, `tower`, and the run's export `onnx`."""
    root = tmp_path_factory.mktemp("seeing")
    run = save_seeing_run(root)
    (run / "model" / "calibration.json").write_text('{"fingerprint": "of another"}')
    export(run, to="onnx", out=root / "onnx")
    return root


@pytest.fixture(scope="module")
def hugging(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hugging")
    export(save_hugging_run(root), to=onnx.Config(int8=True), out=root / "onnx")
    return root


@pytest.fixture
def copied(seeing: Path, tmp_path: Path) -> Path:
    return shutil.copytree(seeing / "onnx", tmp_path / "copied")


@pytest.mark.parametrize("batch_size", [1, 3, 256])
def test_texts_get_the_vectors_of_the_model_in_any_batch(seeing: Path, batch_size: int) -> None:
    expected = Retriever.load(seeing / "run").encode_text(MANY)
    found = OnnxRetriever.load(seeing / "onnx").encode_text(MANY, batch_size=batch_size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found[-1], found[0])


def test_images_get_the_vectors_of_the_model(seeing: Path, tmp_path: Path) -> None:
    images = [picture(1), picture(2, (31, 77)), tmp_path / "3.png", str(tmp_path / "3.png")]
    picture(3, (90, 20)).save(tmp_path / "3.png")
    model, exported = Retriever.load(seeing / "run"), OnnxRetriever.load(seeing / "onnx")
    expected = model.encode_image(images)
    for batch_size in (3, 32):
        np.testing.assert_allclose(exported.encode_image(images, batch_size), expected, atol=1e-3)
    assert exported.tower_vectors(images).dtype == np.float16
    np.testing.assert_allclose(exported.tower_vectors(images), model.tower_vectors(images), rtol=1e-3)
    assert exported.encode_image([]).shape == (0, 16)


def test_vision_vectors_get_the_vectors_of_the_model(seeing: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float16)
    model, exported = Retriever.load(seeing / "run"), OnnxRetriever.load(seeing / "onnx")
    np.testing.assert_allclose(
        exported.encode_features(vectors, batch_size=2), model.encode_features(vectors), atol=1e-6
    )
    with pytest.raises(UserError, match=r"shape \(5, 7\), but the model reads \[N, 8\] of the .*'eyes'"):
        exported.encode_features(vectors[:, 1:])


def test_an_export_says_which_model_it_is(seeing: Path) -> None:
    model, exported = Retriever.load(seeing / "run"), OnnxRetriever.load(seeing / "onnx")
    assert exported.fingerprint == model.fingerprint == model_fingerprint(seeing / "onnx")
    assert image_fingerprint(seeing / "onnx") == image_fingerprint(seeing / "run")
    assert (exported.width, exported.config, exported.precision) == (16, model.config, "fp32")
    for name in ("README.md", "calibration.json"):
        assert (seeing / "onnx" / name).read_text() == (seeing / "run" / "model" / name).read_text()


def test_an_export_names_no_folder_of_this_computer(seeing: Path, hugging: Path) -> None:
    places = [str(Path(module.__file__).parent) for module in (graphs, torch, np)]
    for graph in [*(seeing / "onnx").glob("*.onnx"), *(hugging / "onnx").glob("*.onnx")]:
        content = graph.read_bytes()
        assert [place for place in [*places, "stack_trace", ".py"] if place.encode() in content] == []


def test_search_loads_either_kind_of_folder(seeing: Path) -> None:
    assert isinstance(load_encoder(seeing / "onnx", "auto"), OnnxRetriever)
    assert isinstance(load_encoder(seeing / "run"), Retriever)


def test_a_single_text_or_path_is_no_list(seeing: Path) -> None:
    exported = OnnxRetriever.load(seeing / "onnx")
    with pytest.raises(UserError, match=r"encode_text\(\['um cão'\]\)"):
        exported.encode_text("um cão")
    with pytest.raises(UserError, match=r"encode_image takes a list of images"):
        exported.encode_image("dog.jpg")


@pytest.mark.parametrize("world", ["seeing", "hugging"])
def test_neither_torch_nor_transformers_is_needed(
    world: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = request.getfixturevalue(world) / "onnx"
    photo = tmp_path / "photo.png"
    picture(4).save(photo)
    exported = OnnxRetriever.load(folder)
    argument = str(photo) if world == "seeing" else ""
    done = ran(without(WITHOUT, folder, argument, *TEXTS, code=ENCODES))
    assert done.returncode == 0, done.stderr
    texts, seen = json.loads(done.stdout)
    np.testing.assert_allclose(texts, exported.encode_text(TEXTS), atol=1e-6)
    if world == "seeing":
        np.testing.assert_allclose(seen, exported.encode_image([photo]), atol=1e-6)


def test_photos_are_indexed_and_searched_without_torch(seeing: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for number in range(4):
        picture(number).save(tmp_path / "photos" / f"{number}.png")
    folders = [str(seeing / "onnx"), str(tmp_path / "photos"), str(tmp_path / "index")]
    done = ran(without(WITHOUT, *folders, code=SEARCHES))
    assert done.returncode == 0, done.stderr
    model = Retriever.load(seeing / "run")
    images = model.encode_image([tmp_path / "photos" / f"{number}.png" for number in range(4)])
    scores = (images @ model.encode_text(["um cão corre na praia"])[0]).tolist()
    expected = sorted(((f"{number}.png", score) for number, score in enumerate(scores)), key=lambda x: -x[1])
    assert [found for found, _ in json.loads(done.stdout)] == [name for name, _ in expected[:3]]
    assert [score for _, score in json.loads(done.stdout)] == pytest.approx(
        [score for _, score in expected[:3]], abs=1e-3
    )


def test_a_run_that_is_indexed_without_torch_is_refused_with_the_way_out(
    seeing: Path, tmp_path: Path
) -> None:
    picture(1).save(tmp_path / "1.png")
    folders = (seeing / "run", tmp_path, tmp_path / "index")
    done = ran(without(WITHOUT, *folders, code=SEARCHES))
    said = done.stderr.splitlines()[-1]
    assert "A model with Transformer layers needs the package 'torch', which is not installed." in said
    assert "An export of the model needs none: dragoman export RUN --to onnx" in said
    assert said.endswith("Install it: pip install 'dragoman[train]'")
    assert not (tmp_path / "index" / "manifest.json").exists()


def test_texts_alone_load_one_graph(copied: Path) -> None:
    expected = OnnxRetriever.load(copied).encode_text(TEXTS)
    for name in ("image.onnx", "head.onnx", "preprocess.json"):
        (copied / name).unlink()
    np.testing.assert_array_equal(OnnxRetriever.load(copied).encode_text(TEXTS), expected)


def test_a_part_that_is_loaded_late_is_of_the_model_that_was_opened(copied: Path) -> None:
    opened = OnnxRetriever.load(copied)
    vectors = np.zeros((1, opened.feature_width), np.float32)
    file = copied / "config.json"
    whole = file.read_text("utf-8")
    # As another export that took the place of this one.
    file.write_text(whole.replace(opened.fingerprint, "0" * 64), "utf-8")
    with pytest.raises(UserError, match=r"Another model lies in .* than was opened there"):
        opened.encode_features(vectors)
    file.write_text(whole, "utf-8")
    assert opened.encode_features(vectors).shape == (1, opened.width)


def test_graph_and_vocabulary_of_two_models_are_told_apart(copied: Path) -> None:
    stored = json.loads((copied / "ngrams.json").read_text(encoding="utf-8"))
    stored["pieces"] = stored["pieces"][::-1]
    (copied / "ngrams.json").write_text(json.dumps(stored), encoding="utf-8")
    without_checksums(copied)
    with pytest.raises(
        UserError, match=r"does not reproduce its golden vectors \(text vectors: .*Export the"
    ):
        OnnxRetriever.load(copied)


def test_a_tower_that_sees_otherwise_is_found_when_the_first_image_comes(copied: Path) -> None:
    golden = json.loads((copied / "golden.json").read_text(encoding="utf-8"))
    golden["vision_vector"][0][0] += 0.5
    (copied / "golden.json").write_text(json.dumps(golden), encoding="utf-8")
    without_checksums(copied)
    exported = OnnxRetriever.load(copied)
    with pytest.raises(UserError, match=r"golden vectors \(vision vector: largest difference 0\.\d"):
        exported.encode_image([picture(1)])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, r"holds no exported model \(no config.json\)"),
        ("config.json", "{", r"incomplete or damaged \(JSONDecodeError"),
        ("config.json", '{"model_type": "dragoman-dual", "format_version": 1}', "'dragoman-dual', expected"),
        ("config.json", '{"model_type": "dragoman-onnx", "format_version": 9}', r"version 9, .* up to 1\."),
        ("text.onnx", "torn", r"incomplete or damaged \(InvalidProtobuf"),
        ("text.onnx", None, r"incomplete or damaged \(NoSuchFile"),
        ("text.onnx.data", "torn", r"incomplete or damaged \("),
        ("text.onnx.data", None, r"incomplete or damaged \("),
        ("golden.json", None, r"incomplete or damaged \(FileNotFoundError"),
        ("ngrams.json", "{}", r"incomplete or damaged \(KeyError"),
    ],
)
def test_a_damaged_export_is_refused_by_name(
    copied: Path, name: str, content: str | None, message: str
) -> None:
    (copied / name).unlink() if content is None else (copied / name).write_text(content)
    # What the parts say themselves, where there is no checksum that says it first.
    without_checksums(copied)
    with pytest.raises(UserError, match=rf"copied.*{message}"):
        OnnxRetriever.load(copied)


def test_a_device_that_is_absent_is_named(seeing: Path) -> None:
    with pytest.raises(UserError, match=r"No device 'cuda' for exported models here .*onnxruntime-gpu"):
        OnnxRetriever.load(seeing / "onnx", "cuda")


def test_a_hugging_face_trunk_keeps_its_tokens(hugging: Path) -> None:
    model = Retriever.load(hugging / "run")
    expected, found = model.encode_text(MANY), OnnxRetriever.load(hugging / "onnx").encode_text(MANY)
    assert np.einsum("nj,nj->n", expected, found).min() > 0.98
    prepared = OnnxRetriever.load(hugging / "onnx").text_side().reader.prepare(MANY)
    for name, value in model.model.trunk.prepare(MANY).items():
        np.testing.assert_array_equal(prepared[name], value.numpy())


def test_int8_is_smaller_and_says_so(hugging: Path) -> None:
    exported = OnnxRetriever.load(hugging / "onnx")
    assert exported.precision == "int8"
    assert exported.fingerprint == model_fingerprint(hugging / "run")
    parity = json.loads((hugging / "onnx" / "parity.json").read_text())
    assert [(row["what"], row["precision"], row["count"]) for row in parity] == [
        ("texts, golden", "fp32", 3),
        ("vision vectors", "fp32", 256),
        ("texts, golden", "int8", 3),
        ("vision vectors", "int8", 256),
    ]
    assert parity[0]["largest_difference"] < 1e-5
    assert 0.98 < parity[2]["cosine_mean"] < 1 - 1e-6


def test_an_export_without_a_tower_says_so(hugging: Path) -> None:
    with pytest.raises(
        UserError, match=r"holds no vision tower.*dragoman export RUN --to onnx --vision FOLDER"
    ):
        OnnxRetriever.load(hugging / "onnx").encode_image([picture(1)])


def test_a_model_whose_vectors_depend_on_the_batch_is_refused(tmp_path: Path) -> None:

    save_model(tmp_path / "run" / "model", dual(pool="all"), DETAILS)
    with pytest.raises(UserError, match=r"averages over padding .* --set dual\.pool=masked"):
        export(tmp_path / "run", to="onnx", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_of_videos_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    shape = DualConfig(joint=16, hidden=16, heads=2, key_width=8)
    model = DualEncoder(shape, dual().trunk, FEATURES, video=VideoConfig(pooling="mean"))
    save_model(tmp_path / "run" / "model", model.eval(), DETAILS)
    with pytest.raises(UserError, match=r"reads the frames of videos.* --to sentence-transformers"):
        export(tmp_path / "run", to="onnx", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_without_a_fast_form_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = save_hugging_run(tmp_path)
    monkeypatch.setattr(graphs, "save_text", lambda *_: None)
    load = Retriever.load

    class Slow:
        def __init__(self, tokenizer: object) -> None:
            self.__dict__ |= {"_fast": tokenizer}

        def __call__(self, *arguments: object, **settings: object) -> object:
            return self._fast(*arguments, **settings)

    def slow(*arguments: object, **settings: object) -> Retriever:
        retriever = load(*arguments, **settings)
        retriever.model.trunk.tokenizer = Slow(retriever.model.trunk.tokenizer)
        return retriever

    monkeypatch.setattr(onnx.Retriever, "load", slow)
    with pytest.raises(UserError, match=r"\(Slow\) has no fast form"):
        export(run, to="onnx", out=tmp_path / "out")


@pytest.mark.parametrize("large", [100, 1 << 30])
def test_weights_lie_beside_their_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    monkeypatch.setattr(graphs, "LARGE", large)
    model = dual()
    graphs.save_head(model, tmp_path / "head.onnx")
    assert {file.name for file in tmp_path.iterdir()} == {"head.onnx", "head.onnx.data"}
    assert (tmp_path / "head.onnx.data").stat().st_size >= 12 * 16 * 4
    inside = load_model(tmp_path / "head.onnx", load_external_data=False).graph.initializer
    assert max(len(one.raw_data) for one in inside) < 12 * 16 * 4
    vectors = np.random.default_rng(0).normal(size=(3, FEATURES)).astype(np.float32)
    run = save_run(tmp_path / "run")
    np.testing.assert_allclose(
        OnnxGraph(tmp_path / "head.onnx").run({"features": vectors}),
        Retriever.load(run).encode_features(vectors),
        atol=1e-6,
    )


@pytest.mark.skipif(not REAL_TOWER.is_dir(), reason="the pretrained vision tower is not here")
def test_a_real_tower_sees_the_same(tmp_path: Path) -> None:
    tower = VisionTower.load(REAL_TOWER)
    preprocess = preprocessing_of(tower)
    assert (preprocess.shape, preprocess.resample) == ((3, 224, 224), 3)
    graphs.save_tower(tower, preprocess.shape, tmp_path / "image.onnx")
    photos = [picture(1, (640, 427)), picture(2, (99, 301))]
    found = OnnxGraph(tmp_path / "image.onnx").run(
        {"pixel_values": np.stack([preprocess(p) for p in photos])}
    )
    np.testing.assert_allclose(found, tower.encode(photos), atol=1e-4)
