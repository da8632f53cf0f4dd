from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tiny_towers import picture, save_tower

from dragoman.errors import UserError
from dragoman.media.images import open_image
from dragoman.models.vision import VisionTower, tower_fingerprint

SHARED = Path(__file__).parents[3] / "shared"
MOBILENET = SHARED / "models" / "mobilenet_v2_imagenet"
FLICKR = SHARED / "data" / "flickr8k_multilingual"


def pixels(images: list[Image.Image]) -> torch.Tensor:
    """The preprocessing of the tiny towers by hand; the images are 32x32 already."""
    scaled = torch.from_numpy(np.stack([np.asarray(image) for image in images])).float() / 255
    normal = (scaled - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.5, 0.6, 0.7])
    return normal.permute(0, 3, 1, 2)


def clip(model: transformers.CLIPModel, x: torch.Tensor) -> torch.Tensor:
    return model.visual_projection(model.vision_model(x).pooler_output)


def pooled(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return model(x).pooler_output


def siglip(model: transformers.SiglipModel, x: torch.Tensor) -> torch.Tensor:
    return model.vision_model(x).pooler_output


def class_token(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return model(x).last_hidden_state[:, 0]


@pytest.mark.parametrize(
    ("kind", "model_class", "oracle"),
    [
        ("clip", transformers.CLIPModel, clip),
        ("siglip", transformers.SiglipModel, siglip),
        ("clip_vision", transformers.CLIPVisionModelWithProjection, lambda model, x: model(x).image_embeds),
        ("vit", transformers.ViTModel, pooled),
        ("vit_without_pooler", transformers.ViTModel, class_token),
        ("dinov2", transformers.Dinov2Model, class_token),
        (
            "mobilenet",
            transformers.MobileNetV2Model,
            lambda model, x: model(x).last_hidden_state.mean((2, 3)),
        ),
    ],
)
def test_a_tower_gives_the_vectors_of_plain_transformers(
    tmp_path: Path, kind: str, model_class: type[transformers.PreTrainedModel], oracle
) -> None:
    folder = save_tower(tmp_path, kind)
    images = [picture(seed, (32, 32)) for seed in range(5)]
    with torch.no_grad():
        expected = oracle(model_class.from_pretrained(folder).eval(), pixels(images)).numpy()
    tower = VisionTower.load(folder)
    vectors = tower.encode(images, batch_size=2)
    assert vectors.dtype == np.float32
    assert tower.width == expected.shape[1]
    np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-5)


def test_no_images_give_no_rows(tmp_path: Path) -> None:
    assert VisionTower.load(save_tower(tmp_path, "clip")).encode([]).shape == (0, 8)


def test_images_as_thin_as_a_colour_is_deep_keep_their_colour(tmp_path: Path) -> None:
    # An array of 3 rows and 3 channels is ambiguous to a library that guesses the layout.
    tower = VisionTower.load(save_tower(tmp_path, "vit"))
    thin = [
        Image.new("RGB", size, (200, 30, 90)) for size in ((32, 32), (3, 3), (1, 1), (50, 3), (3, 50), (1, 3))
    ]
    vectors = tower.encode(thin)
    np.testing.assert_allclose(vectors, np.repeat(vectors[:1], len(thin), axis=0), atol=1e-5)


def test_a_thin_image_is_seen_in_its_middle_without_a_picture_of_its_whole_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To a shorter edge of 32, an image of 2 x 6000 would be scaled to 32 x 96000."""
    folder = save_tower(tmp_path, "clip")
    file = folder / "preprocessor_config.json"
    square = {"size": {"shortest_edge": 32}, "do_center_crop": True, "crop_size": {"height": 32, "width": 32}}
    file.write_text(json.dumps(json.loads(file.read_text()) | square))
    tower = VisionTower.load(folder)
    image = picture(0, (2, 6000))
    expected = tower._processor(images=[image], return_tensors="pt")["pixel_values"]
    seen = []
    resize = Image.Image.resize
    monkeypatch.setattr(
        Image.Image,
        "resize",
        lambda one, size, *more, **named: seen.append(size) or resize(one, size, *more, **named),
    )
    torch.testing.assert_close(tower.prepare(image)["pixel_values"], expected, rtol=0, atol=0)
    assert seen == [(32, 32 * 32)]


def test_weights_in_half_precision_compute_in_single(tmp_path: Path) -> None:
    folder = save_tower(tmp_path / "vit", "vit")
    transformers.ViTModel.from_pretrained(folder).half().save_pretrained(folder)
    assert VisionTower.load(folder).model.dtype == torch.float32


def test_the_fingerprint_follows_weights_and_preprocessing_only(tmp_path: Path) -> None:
    folder = save_tower(tmp_path / "a", "vit")
    print_a = tower_fingerprint(folder)
    assert VisionTower.load(folder).fingerprint == print_a
    moved = shutil.copytree(folder, tmp_path / "b")
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"transformers_version": "4.57.0"}))
    assert tower_fingerprint(moved) == print_a
    assert tower_fingerprint(save_tower(tmp_path / "c", "vit", seed=1)) != print_a
    preprocessing = json.loads((moved / "preprocessor_config.json").read_text())
    (moved / "preprocessor_config.json").write_text(json.dumps(preprocessing | {"do_normalize": False}))
    assert tower_fingerprint(moved) != print_a


def test_preprocessing_saved_by_a_processor_is_read(tmp_path: Path) -> None:
    folder = save_tower(tmp_path, "clip")
    vectors = VisionTower.load(folder).encode([picture(1)])
    settings = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": settings}))
    np.testing.assert_array_equal(VisionTower.load(folder).encode([picture(1)]), vectors)


class TestBadFolders:
    def test_a_name_that_is_nowhere(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"No model '.*/nowhere': no such folder exists"):
            VisionTower.load(tmp_path / "nowhere")

    def test_a_hub_id_that_is_not_in_the_cache_offline(self) -> None:
        code = (
            "from dragoman.models.vision import VisionTower\n"
            "try: VisionTower.load('nobody/nothing')\n"
            "except ValueError as error: print(error)"
        )
        env = {"HF_HUB_OFFLINE": "1", "PATH": "", "HF_HOME": "/nonexistent"}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
        assert "No model 'nobody/nothing'" in done.stdout, done.stderr
        assert "hf download nobody/nothing" in done.stdout

    def test_a_folder_without_config(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"has no config\.json, so it is no Hugging Face model folder"):
            VisionTower.load(tmp_path)

    def test_pickled_weights_are_not_loaded(self, tmp_path: Path) -> None:
        folder = save_tower(tmp_path, "vit")
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        with pytest.raises(
            UserError, match=r"only pickled weights \(pytorch_model\.bin\).*nothing is unpickled"
        ):
            VisionTower.load(folder)

    def test_a_text_model(self, tmp_path: Path) -> None:
        config = transformers.BertConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9
        )
        transformers.BertModel(config).save_pretrained(tmp_path)
        with pytest.raises(UserError, match=r"has no preprocessor_config\.json, so it reads no images"):
            VisionTower.load(tmp_path)
        (tmp_path / "preprocessor_config.json").write_text("{}")
        with pytest.raises(UserError, match="holds a bert model, which reads no images"):
            VisionTower.load(tmp_path)

    def test_a_run_of_our_own(self, tmp_path: Path) -> None:
        folder = save_tower(tmp_path / "model", "vit")
        (tmp_path / "manifest.json").write_text('{"format": "dragoman-run", "format_version": 1}')
        for place in (tmp_path, folder):
            with pytest.raises(UserError, match=r"belongs to a folder of Dragoman \(dragoman-run\)"):
                VisionTower.load(place)

    def test_damaged_weights(self, tmp_path: Path) -> None:
        folder = save_tower(tmp_path, "vit")
        (folder / "model.safetensors").write_bytes(b"\x00" * 100)
        with pytest.raises(UserError, match="cannot be loaded as a vision tower"):
            VisionTower.load(folder)

    def test_damaged_config(self, tmp_path: Path) -> None:
        folder = save_tower(tmp_path, "vit")
        (folder / "config.json").write_text("{")
        with pytest.raises(
            UserError, match=r"cannot be loaded as a vision tower: .*config\.json. is not a valid JSON"
        ):
            VisionTower.load(folder)

    def test_weights_of_another_model(self, tmp_path: Path) -> None:
        folder = save_tower(tmp_path / "a", "vit")
        shutil.copy(save_tower(tmp_path / "b", "mobilenet") / "model.safetensors", folder)
        with pytest.raises(UserError, match=r"lack \d+ of its parameters, such as"):
            VisionTower.load(folder)

    def test_an_unknown_device(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="No device 'abacus' here"):
            VisionTower.load(save_tower(tmp_path, "vit"), device="abacus")


def test_torchvision_is_not_asked_for(tmp_path: Path) -> None:
    folder = save_tower(tmp_path, "clip")
    code = (
        "import sys\n"
        "sys.modules['torchvision'] = None\n"
        "from dragoman.models.vision import VisionTower\n"
        f"VisionTower.load({str(folder)!r})"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(
    not (MOBILENET.is_dir() and FLICKR.is_dir()), reason=f"{SHARED} with MobileNetV2 is absent"
)
def test_the_real_mobilenet_agrees_with_the_features_of_the_data_set() -> None:
    photos = sorted((FLICKR / "images").glob("*.jpg"))[::200]
    row = {name: i for i, name in enumerate((FLICKR / "features" / "ids.txt").read_text().split("\n"))}
    stored = np.load(FLICKR / "features" / "mobilenet_v2.npy", mmap_mode="r")
    expected = stored[[row[photo.stem] for photo in photos]].astype(np.float32)
    vectors = VisionTower.load(MOBILENET).encode([open_image(photo) for photo in photos])
    # Values lie in 0..6; float16 rounds them by at most 2^-9, and the sums differ in the last bits.
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=2**-9 + 1e-4)
    norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((vectors * expected).sum(1) / norms).min() > 0.99999
