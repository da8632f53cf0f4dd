"""Region features: the map of a tower pooled to a grid, behind the vector of the whole image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from test_vision import FLICKR, MOBILENET, SHARED, pixels
from tiny_towers import picture, save_photo_corpus, save_tower

from dragoman.corpus.corpus import Corpus
from dragoman.errors import UserError
from dragoman.features import extract
from dragoman.features.extract import ExtractOptions, extract_features
from dragoman.media.images import open_image
from dragoman.models.vision import VisionTower, with_regions

IMAGES = [picture(seed, (32, 32)) for seed in range(3)]


def clip_patches(model: transformers.CLIPModel, x: torch.Tensor) -> torch.Tensor:
    state = model.vision_model(x).last_hidden_state[:, 1:]
    return model.visual_projection(model.vision_model.post_layernorm(state))


def patches(model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
    return model(x).last_hidden_state[:, 1:]


@pytest.mark.parametrize(
    ("kind", "model_class", "oracle"),
    [
        ("clip", transformers.CLIPModel, clip_patches),
        ("clip_vision", transformers.CLIPVisionModelWithProjection, clip_patches),
        (
            "siglip",
            transformers.SiglipModel,
            lambda model, x: model.vision_model(x).last_hidden_state,
        ),
        ("vit", transformers.ViTModel, patches),
        ("vit_without_pooler", transformers.ViTModel, patches),
        ("dinov2", transformers.Dinov2Model, patches),
    ],
)
def test_the_cells_are_the_patches_row_by_row_behind_the_vector(
    tmp_path: Path, kind: str, model_class: type[transformers.PreTrainedModel], oracle
) -> None:
    # 32 pixels in patches of 16: four patches, so that a grid of 2 keeps each as it is.
    folder = save_tower(tmp_path, kind)
    with torch.no_grad():
        expected = oracle(model_class.from_pretrained(folder).eval(), pixels(IMAGES)).numpy()
    tower = VisionTower.load(folder, grid=2)
    found = tower.encode(IMAGES, batch_size=2)
    assert found.shape == (3, 5, tower.width)
    np.testing.assert_array_equal(found[:, 0], VisionTower.load(folder).encode(IMAGES, batch_size=2))
    np.testing.assert_allclose(found[:, 1:], expected, rtol=1e-4, atol=1e-5)
    one = VisionTower.load(folder, grid=1).encode(IMAGES)
    np.testing.assert_allclose(one[:, 1], expected.mean(1), rtol=1e-4, atol=1e-5)


def test_the_class_token_of_clip_would_project_to_the_vector_itself(tmp_path: Path) -> None:
    # What is done to patches is what CLIP does to its class token.
    model = transformers.CLIPModel.from_pretrained(save_tower(tmp_path, "clip")).eval()
    with torch.no_grad():
        state = model.vision_model(pixels(IMAGES)).last_hidden_state
        vector = model.get_image_features(pixel_values=pixels(IMAGES)).pooler_output
        projected = model.visual_projection(model.vision_model.post_layernorm(state[:, 0]))
    torch.testing.assert_close(projected, vector)


class Map(torch.nn.Module):
    """Hands out a feature map whose every value is known."""

    def __init__(self, rows: int, columns: int) -> None:
        super().__init__()
        self.config = transformers.MobileNetV2Config()
        # Position (r, c) holds (r, c).
        r, c = torch.meshgrid(torch.arange(rows).float(), torch.arange(columns).float(), indexing="ij")
        self.last_hidden_state = torch.stack([r, c]).unsqueeze(0)


def test_cells_are_means_of_blocks_of_the_map() -> None:
    found = with_regions(Map(4, 6), {}, Map(4, 6), torch.tensor([[9.0, 9.0]]), grid=2)
    # Rows 0-1 and 2-3 of the map, columns 0-2 and 3-5.
    expected = [[9, 9], [0.5, 1], [0.5, 4], [2.5, 1], [2.5, 4]]
    torch.testing.assert_close(found, torch.tensor([expected], dtype=torch.float32))


def test_a_grid_finer_than_the_map_is_refused(tmp_path: Path) -> None:
    folder = save_tower(tmp_path, "mobilenet")  # its map of a 32-pixel image has one position
    with pytest.raises(UserError, match=r"has 1 x 1 positions, fewer than a grid of 2 x 2.*Give --grid 1"):
        VisionTower.load(folder, grid=2)
    tower = VisionTower.load(folder, grid=1)
    found = tower.encode(IMAGES)
    np.testing.assert_allclose(found[:, 1], found[:, 0], rtol=1e-5)


def test_tokens_that_are_no_grid_are_refused() -> None:
    class Tokens(torch.nn.Module):
        config = transformers.BertConfig()
        last_hidden_state = torch.zeros(1, 5, 2)

    inputs = {"pixel_values": torch.zeros(1, 3, 32, 32)}
    with pytest.raises(UserError, match=r"gives 5 tokens for an input of shape \(3, 32, 32\)"):
        with_regions(Tokens(), inputs, Tokens(), torch.zeros(1, 2), grid=1)


def test_a_map_of_another_width_than_the_vector_is_refused() -> None:
    with pytest.raises(UserError, match="map of this tower is 2 wide and its vector 3"):
        with_regions(Map(2, 2), {}, Map(2, 2), torch.zeros(1, 3), grid=1)


def test_a_feature_set_with_a_grid_keeps_whole_and_parts(tmp_path: Path) -> None:
    tower, corpus = save_tower(tmp_path / "tower", "clip"), save_photo_corpus(tmp_path / "corpus", 5)
    report = extract_features(
        corpus, encoder=tower, name="cells", options=ExtractOptions(grid=2, batch_size=2)
    )
    plain = extract_features(corpus, encoder=tower, name="plain", options=ExtractOptions(batch_size=2))
    opened = Corpus.open(corpus)
    cells, whole = opened.features("cells"), opened.features("plain")
    rows = np.array([4, 0, 0])
    assert (report.total, plain.total) == (5, 5)
    assert (cells.vectors.shape, cells.vectors.dtype, cells.width, cells.most_parts) == ((25, 8), "<f2", 8, 5)
    assert cells.manifest["encoder"]["grid"] == 2
    np.testing.assert_array_equal(cells.whole(rows), whole.vectors[rows])
    np.testing.assert_array_equal(cells.parts(rows), cells.vectors.reshape(5, 5, 8)[rows])
    # A set of single vectors counts as one region.
    assert whole.most_parts == 1
    np.testing.assert_array_equal(whole.parts(rows), whole.vectors[rows][:, None])


def test_a_killed_extraction_with_a_grid_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = save_tower(tmp_path / "tower", "vit")
    corpora = [save_photo_corpus(tmp_path / name, 6) for name in ("whole", "killed")]
    monkeypatch.setattr(extract, "SHARD_SECONDS", 0)
    done = extract_features(
        corpora[0], encoder=tower, name="cells", options=ExtractOptions(grid=2, batch_size=2)
    )
    embed, calls = VisionTower.embed, []

    def failing(self: VisionTower, prepared):
        calls.append(len(prepared))
        if calls == [1, 2, 2]:  # one grey image at loading, then the second batch
            raise KeyboardInterrupt
        return embed(self, prepared)

    monkeypatch.setattr(VisionTower, "embed", failing)
    with pytest.raises(KeyboardInterrupt):
        extract_features(
            corpora[1], encoder=tower, name="cells", options=ExtractOptions(grid=2, batch_size=2)
        )
    monkeypatch.setattr(VisionTower, "embed", embed)
    resumed = extract_features(
        corpora[1], encoder=tower, name="cells", options=ExtractOptions(grid=2, batch_size=2)
    )
    assert resumed.extracted == 6
    assert (resumed.folder / "vectors.npy").read_bytes() == (done.folder / "vectors.npy").read_bytes()


def test_another_grid_under_an_existing_name_is_refused(tmp_path: Path) -> None:
    tower, corpus = save_tower(tmp_path / "tower", "clip"), save_photo_corpus(tmp_path / "corpus", 2)
    extract_features(corpus, encoder=tower, name="eyes")
    with pytest.raises(UserError, match=r"differs in grid=0 there, 2 now\. They cannot.*--name eyes_2"):
        extract_features(corpus, encoder=tower, name="eyes", options=ExtractOptions(grid=2))


@pytest.mark.skipif(
    not (MOBILENET.is_dir() and FLICKR.is_dir()), reason=f"{SHARED} with MobileNetV2 is absent"
)
def test_the_cells_of_the_real_mobilenet_have_the_mean_of_its_map() -> None:
    photos = [open_image(photo) for photo in sorted((FLICKR / "images").glob("*.jpg"))[:2]]
    found = VisionTower.load(MOBILENET, grid=7).encode(photos)
    assert found.shape == (2, 50, 1280)
    # A grid of 7 is the map itself, and the tower's vector is its mean.
    np.testing.assert_allclose(found[:, 1:].mean(1), found[:, 0], rtol=1e-4, atol=1e-5)
    assert found[:, 1:].std(1).mean() > 0.1
