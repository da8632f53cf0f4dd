from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import transformers
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_towers import picture

from dragoman.errors import UserError
from dragoman.export.onnx.inputs import described
from dragoman.retrievers.onnx_inputs import Preprocessing

SIZES = [(64, 64), (37, 53), (200, 31), (225, 223), (640, 427), (13, 96), (1, 1), (50, 3)]
PROCESSORS: list[tuple[str, dict[str, Any]]] = [
    ("CLIPImageProcessor", {}),
    ("CLIPImageProcessor", {"size": {"shortest_edge": 30}, "crop_size": {"height": 31, "width": 24}}),
    ("SiglipImageProcessor", {}),
    ("ViTImageProcessor", {"resample": 0}),
    ("ViTImageProcessor", {"do_normalize": False}),
    ("ViTImageProcessor", {"do_rescale": False}),
    ("BitImageProcessor", {"size": {"shortest_edge": 256}}),
    ("MobileNetV2ImageProcessor", {}),
    ("MobileNetV2ImageProcessor", {"do_resize": False, "crop_size": {"height": 40, "width": 41}}),
    ("MobileViTImageProcessor", {}),
    ("DeiTImageProcessor", {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}),
]


@pytest.mark.parametrize("size", [(2, 100), (100, 2), (1, 4001)])
def test_the_middle_of_a_thin_image_is_what_the_image_processor_gives(size: tuple[int, int]) -> None:
    """Of whole multiples, so that cutting the ends first moves nothing."""
    settings = {"size": {"shortest_edge": 8}, "crop_size": {"height": 8, "width": 8}}
    processor = transformers.CLIPImageProcessorPil(**settings)
    image = picture(0, size)
    expected = processor(images=[image], return_tensors="np")["pixel_values"][0]
    np.testing.assert_allclose(described(processor.to_dict())(image), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("kind", "settings"), PROCESSORS)
def test_it_does_what_the_image_processor_does(kind: str, settings: dict[str, Any]) -> None:
    processor = getattr(transformers, f"{kind}Pil")(**settings)
    found = described(processor.to_dict())
    for number, size in enumerate(SIZES):
        expected = processor(images=[picture(number, size)], return_tensors="np")["pixel_values"][0]
        assert expected.shape == found.shape
        np.testing.assert_array_equal(found(picture(number, size)), expected)


def test_a_pixel_is_scaled_then_normalised_by_channel() -> None:
    preprocess = Preprocessing(size=(1, 2), mean=(0.5, 0, 0.25), deviation=(0.5, 1, 2), channels="bgr")
    found = preprocess(Image.new("RGB", (2, 1), (255, 51, 0)))
    # Blue 0, green 51, red 255 of 255: 0, 0.2 and 1.
    np.testing.assert_allclose(found[:, 0, 0], [(0 - 0.5) / 0.5, 0.2, (1 - 0.25) / 2], atol=1e-6)
    assert found.shape == (3, 1, 2) and found.dtype == np.float32


numbers = st.floats(-2, 2).map(lambda value: float(np.float32(value)))
triples = st.tuples(numbers, numbers, numbers)


@given(
    st.builds(
        Preprocessing,
        shortest_edge=st.none() | st.integers(1, 500),
        resample=st.integers(0, 5),
        crop=st.tuples(st.integers(1, 500), st.integers(1, 500)),
        mean=triples,
        deviation=triples,
        channels=st.sampled_from(["rgb", "bgr"]),
    )
)
def test_it_survives_being_written_as_json(preprocess: Preprocessing) -> None:
    assert Preprocessing.from_json(json.loads(json.dumps(preprocess.as_json()))) == preprocess


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": (2, 2), "shortest_edge": 2}, "a size or to a shortest edge, but both are given"),
        ({"shortest_edge": 224}, "Neither size nor crop is given, so images would differ in shape"),
    ],
)
def test_what_gives_no_fixed_shape_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Preprocessing(**settings)
