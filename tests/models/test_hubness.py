"""Hubness taken out of the scores, against CSLS computed pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_duals import DETAILS, FEATURES, TEXTS, dual

from dragoman.errors import UserError
from dragoman.models.dual import DualConfig, DualEncoder
from dragoman.models.folder import load_model, save_model
from dragoman.models.hubness import Hubness
from dragoman.models.identity import own_fingerprint, own_image_fingerprint


def units(count: int, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return F.normalize(torch.randn(count, 6), dim=1)


@pytest.mark.parametrize(("part", "neighbours"), [(0.5, 3), (1.0, 1), (0.25, 50)])
def test_a_dot_product_is_csls(part: float, neighbours: int) -> None:
    texts, images = units(5, 1), units(4, 2)
    captions, seen = units(9, 3).half(), units(7, 4).half()
    hubness = Hubness(6, 9, 7, part=part, neighbours=neighbours)
    hubness.captions.copy_(captions)
    hubness.images.copy_(seen)
    text, image = hubness.texts(texts), hubness.pictures(images)
    assert text.shape == (5, 11) and image.shape == (4, 11)
    torch.testing.assert_close(text.norm(dim=1), torch.ones(5))
    torch.testing.assert_close(image.norm(dim=1), torch.ones(4))

    def near(vector: torch.Tensor, others: torch.Tensor) -> float:
        cosines = sorted((float(vector @ other) for other in others.float()), reverse=True)
        return float(np.mean(cosines[:neighbours]))

    for row, one in enumerate(texts):
        for column, other in enumerate(images):
            expected = float(one @ other) - part * near(one, seen) - part * near(other, captions)
            assert float(text[row] @ image[column]) * (2 + part**2 + part) - part == pytest.approx(
                expected, abs=1e-5
            )


def test_the_worked_example() -> None:
    # Queries (1, 0), (.6, .8), images alike; one neighbour, h .5: r of the first text is its cosine to the
    # only image (.6, .8) that is remembered.
    hubness = Hubness(2, 1, 1, part=0.5, neighbours=10)
    hubness.captions.copy_(torch.tensor([[1.0, 0.0]]))
    hubness.images.copy_(torch.tensor([[0.6, 0.8]]))
    text = hubness.texts(torch.tensor([[1.0, 0.0]]))
    image = hubness.pictures(torch.tensor([[0.6, 0.8], [0.0, 1.0]]))
    # .6 − .5 · .6 − .5 · .6, and 0 − .5 · .6 − .5 · 0
    torch.testing.assert_close((text @ image.T) * 2.75 - 0.5, torch.tensor([[0.0, -0.3]]), atol=2e-3, rtol=0)


def test_a_model_takes_hubness_out_when_it_is_loaded_and_not_while_it_learns(tmp_path: object) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path)) / "model"
    plain = dual()
    model = DualEncoder(
        DualConfig(joint=16, hidden=16, heads=2, key_width=8, hubness=0.5), plain.trunk, FEATURES, hubs=(3, 2)
    ).eval()
    model.load_state_dict(plain.state_dict(), strict=False)
    features = torch.randn(4, FEATURES)
    with torch.no_grad():
        texts, images = (
            plain.encode_text(plain.prepare(TEXTS)).vector,
            plain.encode_image(features),
        )
        torch.testing.assert_close(model.encode_text(model.prepare(TEXTS)).vector, texts)
        assert model.joint == 16 and model.hubness is not None
        model.hubness.captions.copy_(texts[:3])
        model.hubness.images.copy_(images[:2])
        model.hubness.used = True
        save_model(folder, model, DETAILS)
        loaded, _ = load_model(folder)
        assert loaded.joint == 21 and loaded.hubness is not None
        found = loaded.encode_text(loaded.prepare(TEXTS)).vector @ loaded.encode_image(features).T
        torch.testing.assert_close(found, loaded.hubness.texts(texts) @ loaded.hubness.pictures(images).T)
    before = own_image_fingerprint(folder), own_fingerprint(folder)
    # What is remembered of captions moves the vectors of images.
    model.hubness.captions.zero_()
    save_model(folder, model, DETAILS)
    assert own_image_fingerprint(folder) != before[0] and own_fingerprint(folder) != before[1]


def test_the_space_of_the_vision_vectors_is_not_left() -> None:
    with pytest.raises(UserError, match=r"keeps the space of the vision vectors, which dual\.hubness leaves"):
        DualConfig(image_head="none", hubness=0.5)
    with pytest.raises(UserError, match=r"hubness must lie in \[0, 1\], got 2"):
        DualConfig(hubness=2)
