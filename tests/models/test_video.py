"""From frames to the vector of a video."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_duals import DETAILS, FEATURES, TEXTS, small_text
from torch import Tensor, nn

from checksums import without_checksums
from dragoman.errors import UserError
from dragoman.media.frames import MOST_FRAMES
from dragoman.models.attention import masked_mean
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import load_model, save_model
from dragoman.models.fusion import FusionConfig
from dragoman.models.temporal import AttendedFrames, FrameEncoder, TemporalFrames, VideoConfig
from dragoman.retrievers.loading import image_fingerprint, model_fingerprint
from dragoman.retrievers.trained import Retriever

POOLINGS = ("nrccr", "mean", "temporal")
LENGTHS = (5, 1, 3)


def config(pooling: str, **settings: Any) -> VideoConfig:
    shape = {"hidden": 8, "heads": 2, "key_width": 4, "layers": 2, "feed_forward": 8}
    return VideoConfig(pooling=pooling, **shape | settings)  # type: ignore[arg-type]


def stirred(module: nn.Module) -> nn.Module:
    """With weights none of which is zero."""
    draws = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draws))
    return module


def model(pooling: str = "nrccr", fusion: bool = False, **dual: Any) -> DualEncoder:
    torch.manual_seed(3)
    shape = DualConfig(**{"joint": 16, "hidden": 16, "heads": 2, "key_width": 8} | dual)
    fused = FusionConfig(layers=1, heads=2, feed_forward=8, words=3) if fusion else None
    made = DualEncoder(
        shape, small_text(), FEATURES, video=config(pooling), fusion=fused, regions=MOST_FRAMES
    )
    stirred(made)
    made.fit_features(torch.linspace(-1, 1, FEATURES), torch.linspace(0.5, 2, FEATURES))
    return made.eval()


def videos(lengths: tuple[int, ...] = LENGTHS, room: int = 7) -> Tensor:
    """[B, room, D], absent frames NaN."""
    found = torch.full((len(lengths), room, FEATURES), torch.nan)
    for row, length in enumerate(lengths):
        found[row, :length] = torch.randn(length, FEATURES, generator=torch.Generator().manual_seed(row))
    return found


@pytest.mark.parametrize("pooling", POOLINGS)
@torch.no_grad()
def test_absent_frames_and_batch_mates_change_no_vector(pooling: str) -> None:
    encoder = model(pooling)
    together = encoder.encode_image(videos())
    assert together.shape == (3, 16) and together.isfinite().all()
    for row, length in enumerate(LENGTHS):
        alone = encoder.encode_image(videos()[row : row + 1, :length])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pooling", POOLINGS)
@torch.no_grad()
def test_whatever_stands_at_masked_frames_is_of_no_account(pooling: str) -> None:
    encoder = stirred(FrameEncoder(config(pooling), FEATURES)).eval()
    mask = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    quiet, loud = (videos().nan_to_num(filler) for filler in (0.0, 1000.0))
    torch.testing.assert_close(encoder(quiet, mask), encoder(loud, mask), rtol=0, atol=0)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_process_without_a_video_has_no_vector_and_no_error(pooling: str) -> None:
    encoder = model(pooling).train()
    vectors = encoder.encode_image(videos(()))
    assert vectors.shape == (0, 16)
    vectors.sum().backward()  # type: ignore[no-untyped-call]


@torch.no_grad()
def test_mean_pooling_by_hand() -> None:
    encoder = FrameEncoder(VideoConfig(pooling="mean"), 2)
    frames = torch.tensor([[[1.0, 2], [3, 6], [0, 0]], [[5, 7], [0, 0], [0, 0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert (encoder.width, encoder(frames, mask).tolist()) == (2, [[2, 4], [5, 7]])


@torch.no_grad()
def test_with_the_mean_a_video_goes_where_its_mean_frame_would_go_as_an_image() -> None:
    encoder = model("mean")
    mean = torch.stack([videos()[row, :length].mean(0) for row, length in enumerate(LENGTHS)])
    standard = (mean - encoder.feature_mean) * encoder.feature_scale
    assert encoder.image_head is not None
    torch.testing.assert_close(encoder.encode_image(videos()), encoder.image_head(standard))


@torch.no_grad()
def test_the_frame_encoder_of_nrccr_step_by_step() -> None:
    encoder = stirred(FrameEncoder(config("nrccr"), FEATURES)).eval()
    pool = encoder.pool
    assert isinstance(pool, AttendedFrames) and encoder.width == 8
    frames = videos()[0, :5]
    norm, _, linear, _ = pool.project
    normed = F.layer_norm(frames, (FEATURES,), norm.weight, norm.bias)
    projected = torch.relu(normed @ linear.weight.T + linear.bias)
    norm, block, attended = pool.position_norm, pool.attention, []
    placed = F.layer_norm(projected + pool.positions[:5], (8,), norm.weight, norm.bias)
    for head in range(2):
        query, key = (part(placed)[:, 2 * head : 2 * head + 2] for part in (block.query, block.key))
        value = block.value(placed)[:, 4 * head : 4 * head + 4]
        attended.append(torch.softmax(query @ key.T / 2**0.5, dim=1) @ value)
    out = F.layer_norm(block.out(torch.cat(attended, 1)) + placed, (8,), block.norm.weight, block.norm.bias)
    found = encoder(frames[None], torch.ones(1, 5, dtype=torch.bool))
    torch.testing.assert_close(found[0], out.mean(0), rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_the_temporal_transformer_begins_as_the_mean() -> None:
    encoder = FrameEncoder(config("temporal"), FEATURES).eval()
    mask = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
    frames = videos().nan_to_num(0)
    torch.testing.assert_close(encoder(frames, mask), masked_mean(frames, mask), rtol=0, atol=0)
    assert isinstance(encoder.pool, TemporalFrames)
    nn.init.normal_(encoder.pool.leave.weight)
    assert (encoder(frames, mask) - masked_mean(frames, mask)).abs().max() > 0.1


@pytest.mark.parametrize(("pooling", "matters"), [("nrccr", True), ("mean", False), ("temporal", True)])
@torch.no_grad()
def test_order_matters_but_to_the_mean(pooling: str, matters: bool) -> None:
    encoder, forward = model(pooling), videos((6,), room=6)
    gap = (encoder.encode_image(forward) - encoder.encode_image(forward.flip(1))).abs().max()
    assert gap > 1e-3 if matters else gap < 1e-6


@pytest.mark.parametrize("pooling", ["mean", "temporal"])
@torch.no_grad()
def test_without_an_image_head_videos_stay_in_the_space_of_the_frames(pooling: str) -> None:
    encoder = model(pooling, image_head="none")
    assert encoder.joint == FEATURES
    assert encoder.image_frames is not None
    if isinstance(encoder.image_frames.pool, TemporalFrames):
        nn.init.zeros_(encoder.image_frames.pool.leave.weight)
        nn.init.zeros_(encoder.image_frames.pool.leave.bias)
    frames = videos((4,))
    torch.testing.assert_close(encoder.encode_image(frames), F.normalize(frames[:, :4].mean(1), dim=-1))


def test_nrccr_leaves_the_space_and_says_so() -> None:
    with pytest.raises(UserError, match=r"image_head=none keeps .* --set video\.pooling=temporal"):
        model("nrccr", image_head="none")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"hidden": 9}, r"video\.hidden 9 .* must be multiples of video\.heads 2"),
        ({"layers": 0}, r"video\.layers must be at least 1"),
        ({"dropout": 1.0}, r"video\.dropout must lie in \[0, 1\)"),
    ],
)
def test_impossible_settings_are_named(setting: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        config("nrccr", **setting)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_stored_model_of_videos_comes_back(tmp_path: Path, pooling: str) -> None:
    made = model(pooling)
    save_model(tmp_path / "model", made, DETAILS)
    loaded, _ = load_model(tmp_path / "model")
    assert loaded.image_frames is not None and loaded.image_frames.config == config(pooling)
    with torch.no_grad():
        assert torch.equal(loaded.encode_image(videos()), made.encode_image(videos()))
    assert json.loads((tmp_path / "model" / "config.json").read_text())["format_version"] == 3


def test_the_pooling_is_part_of_a_models_name(tmp_path: Path) -> None:
    save_model(tmp_path, model("temporal"), DETAILS)
    before = (model_fingerprint(tmp_path), image_fingerprint(tmp_path))
    stored = json.loads((tmp_path / "config.json").read_text())
    stored["video"]["heads"] = 4
    without_checksums(tmp_path / "config.json", video=stored["video"])
    for old, new in zip(before, (model_fingerprint(tmp_path), image_fingerprint(tmp_path)), strict=True):
        assert old != new


@torch.no_grad()
def test_the_retriever_takes_videos_and_images() -> None:
    made = model()
    retriever = Retriever(made, {"features": "clips"}, None)
    frames = videos()
    found = retriever.encode_features(frames.numpy(), batch_size=7)
    torch.testing.assert_close(torch.from_numpy(found), made.encode_image(frames))
    # An image is a video of one frame.
    images = retriever.encode_features(frames[:, 0].numpy())
    torch.testing.assert_close(torch.from_numpy(images), made.encode_image(frames[:, :1]))
    assert retriever.encode_features(np.empty((0, 4, FEATURES))).shape == (0, 16)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, MOST_FRAMES + 1, FEATURES), r"reads \[N, up to 64 frames, 12\] of the feature set 'clips'"),
        ((2, 3, FEATURES + 1), r"shape \(2, 3, 13\)"),
        ((2, 0, FEATURES), r"shape \(2, 0, 12\)"),
        ((2, 2, 3, FEATURES), "reads"),
        ((FEATURES,), "reads"),
    ],
)
def test_other_vectors_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Retriever(model(), {"features": "clips"}, None).encode_features(np.zeros(shape))


def test_a_video_without_a_frame_is_refused() -> None:
    with pytest.raises(UserError, match="Video 1 of 3, counted from 0, begins with NaN"):
        Retriever(model(), {"features": "clips"}, None).encode_features(videos((2, 0, 1)).numpy())


@torch.no_grad()
def test_pairs_are_re_ranked_as_if_each_video_stood_alone_and_unpadded() -> None:
    made = model(fusion=True)
    retriever = Retriever(made, {"features": "clips"}, None)
    scores = retriever.rerank(TEXTS[:2], videos().numpy())
    assert scores.shape == (2, 3)
    for row, length in enumerate(LENGTHS):
        alone = retriever.rerank(TEXTS[:2], videos()[row : row + 1, :length].numpy())
        np.testing.assert_allclose(scores[:, row : row + 1], alone, rtol=1e-4, atol=1e-5)
    assert np.ptp(scores, axis=1).min() > 1e-3


def test_the_hidden_layer_of_the_released_code_is_for_images_alone() -> None:
    shape = {"joint": 16, "hidden": 16, "heads": 2, "key_width": 8}
    dual_config = DualConfig(image_head="released", **shape)  # type: ignore[arg-type]
    model = DualEncoder(dual_config, small_text(), FEATURES, video=config("nrccr"))
    assert isinstance(model.image_trunk, nn.Identity)
    assert model.image_head is not None and model.image_head.linear.in_features == 8
