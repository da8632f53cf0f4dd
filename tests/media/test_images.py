from __future__ import annotations

import io
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from dragoman.media import images
from dragoman.media.images import Decoding, ImageError, format_of, image_header, open_image, size_as_seen


def saved(folder: Path, image: Image.Image, name: str, **options: object) -> Path:
    image.save(folder / name, **options)
    return folder / name


def test_a_photo_turned_by_its_exif_tag_is_set_upright(tmp_path: Path) -> None:
    lying = Image.new("RGB", (4, 2), "black")
    lying.putpixel((0, 0), (255, 255, 255))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate by 90 degrees clockwise to show
    upright = open_image(saved(tmp_path, lying, "turned.png", exif=exif))
    assert upright.size == (2, 4)
    assert upright.getpixel((1, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("alpha", "expected"), [(0, 255), (255, 100), (51, 224)])
def test_transparency_is_laid_on_white(alpha: int, expected: int) -> None:
    # 51/255 of 100 over 255: 0.2 * 100 + 0.8 * 255 = 224
    assert open_image(Image.new("RGBA", (1, 1), (100, 100, 100, alpha))).getpixel((0, 0)) == (expected,) * 3


def test_a_transparent_palette_entry_becomes_white(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    opened = open_image(saved(tmp_path, image, "palette.png", transparency=0))
    assert list(opened.get_flattened_data()) == [(255, 255, 255), (0, 0, 255)]


def test_sixteen_bit_grey_keeps_its_upper_bits(tmp_path: Path) -> None:
    grey = Image.fromarray(np.array([[0, 0x1234, 0xFFFF]], np.uint16))
    opened = open_image(saved(tmp_path, grey, "deep.png"))
    assert list(opened.get_flattened_data()) == [(0, 0, 0), (0x12, 0x12, 0x12), (255, 255, 255)]


def test_sixteen_bit_grey_of_pgm_is_that_of_png() -> None:
    content = b"P5 3 1 65535\n" + np.array([0, 0x1234, 0xFF00], ">u2").tobytes()
    assert [pixel[0] for pixel in open_image(content).get_flattened_data()] == [0, 0x12, 0xFF]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("turn", range(1, 9))
def test_the_size_that_is_told_is_that_of_the_upright_image(tmp_path: Path, suffix: str, turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    path = saved(tmp_path, Image.new("RGB", (40, 30)), f"turned.{suffix}", exif=exif)
    upright = ImageOps.exif_transpose(Image.open(path)).size
    assert size_as_seen(image_header(path.read_bytes())) == open_image(path).size == upright


def test_floating_point_grey_is_stretched(tmp_path: Path) -> None:
    grey = Image.fromarray(np.array([[-1.0, 0.0, 1.0, np.nan]], np.float32))
    opened = open_image(saved(tmp_path, grey, "float.tiff"))
    assert [pixel[0] for pixel in opened.get_flattened_data()] == [0, 128, 255, 128]


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    cyan = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    assert open_image(saved(tmp_path, cyan, "cyan.tiff")).getpixel((0, 0)) == (0, 255, 255)


def test_the_first_frame_of_an_animation_is_taken(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (2, 2), colour) for colour in ("red", "blue")]
    path = saved(tmp_path, frames[0], "two.gif", save_all=True, append_images=frames[1:])
    assert open_image(path).getpixel((0, 0)) == (255, 0, 0)


def test_the_size_is_checked_before_a_pixel_is_decoded(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("1", (30_000, 20_000)), "bomb.png")
    with pytest.raises(ImageError, match=r"bomb\.png: 30000x20000 is 600\.0 megapixels, more than the limit"):
        open_image(path)


def test_the_limit_can_be_raised_above_that_of_pillow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    path = saved(tmp_path, Image.new("RGB", (100, 100), "red"), "large.png")
    assert open_image(path, Decoding(max_megapixels=0.01)).size == (100, 100)
    assert Image.MAX_IMAGE_PIXELS == 10
    with pytest.raises(ImageError, match=r"limit of 0\.009"):
        open_image(path, Decoding(max_megapixels=0.009))


def test_a_given_image_is_checked_as_well() -> None:
    with pytest.raises(ImageError, match=r"^image: 2000x1000 is 2\.0 megapixels"):
        open_image(Image.new("L", (2000, 1000)), Decoding(max_megapixels=1))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_truncated_file_is_refused(tmp_path: Path, format: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, format)
    (tmp_path / "half").write_bytes(memory.getvalue()[: len(memory.getvalue()) // 2])
    with pytest.raises(ImageError, match=r"half: (damaged or truncated|not an image)"):
        open_image(tmp_path / "half")


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "page.jpg").write_text("<html>404 Not Found</html>")
    (tmp_path / "drawing.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    os.mkfifo(tmp_path / "pipe.jpg")
    reasons = {
        "gone.jpg": "no such file",
        "empty.jpg": "the file is empty",
        "page.jpg": "not an image of a known format",
        "drawing.eps": "not an image of a known format",
        "pipe.jpg": "not a file",
        ".": "not a file",
    }
    for name, reason in reasons.items():
        with pytest.raises(ImageError, match=reason) as caught:
            open_image(tmp_path / name)
        assert "\n" not in caught.value.reason


@pytest.mark.parametrize("tag", range(1, 9))
def test_every_way_a_photo_lies_is_turned_as_pillow_turns_it(tag: int) -> None:
    image = Image.effect_noise((4, 2), 60)
    image.getexif()[0x0112] = tag
    assert open_image(image).tobytes() == ImageOps.exif_transpose(image).convert("RGB").tobytes()


def test_a_photo_is_upright_though_its_other_tags_cannot_be_written(tmp_path: Path) -> None:
    """A signed rational, which Pillow reads, but does not write as the unsigned one of this tag."""
    tags = [(0x0112, 3, 1, struct.pack("<HH", 6, 0)), (0x011A, 10, 1, struct.pack("<I", 38))]
    fields = b"".join(struct.pack("<HHI", name, kind, count) + value for name, kind, count, value in tags)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(tags)) + fields + bytes(4)
    exif += struct.pack("<ii", 1, -72)
    memory = io.BytesIO()
    Image.new("RGB", (6, 4)).save(memory, "JPEG", exif=exif)
    assert open_image(memory.getvalue()).size == (4, 6)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(image: Image.Image, *, behind: bool, more: bytes) -> bytes:
    memory = io.BytesIO()
    image.save(memory, "PNG")
    content = memory.getvalue()
    at = content.index(b"IEND" if behind else b"IDAT") - 4
    return content[:at] + more + content[at:]


LONG = zlib.compress(bytes(2_000_000))


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize(
    "more",
    [
        chunk(b"zTXt", b"note\0\0" + LONG),
        chunk(b"iTXt", b"note\0\1\0\0\0" + LONG),
        chunk(b"iCCP", b"profile\0\0" + LONG),
        chunk(b"tEXt", b"note\0text")[:-4] + bytes(4),
    ],
    ids=["zTXt", "iTXt", "iCCP", "checksum"],
)
def test_a_sound_png_is_opened_whatever_its_other_chunks_say(more: bytes, behind: bool) -> None:
    image = Image.new("P", (3, 2), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.info["transparency"] = 1
    sound = png(image, behind=False, more=b"")
    content = png(image, behind=behind, more=more)
    assert open_image(content).tobytes() == open_image(sound).tobytes() == b"\xff" * 18
    assert format_of(content) == "PNG"
    damaged = bytearray(content)
    damaged[content.index(b"IDAT") + 5] ^= 255
    with pytest.raises(ImageError, match="damaged or truncated"):
        open_image(bytes(damaged))


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_grey_is_converted_by_strips_as_it_is_whole(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 60_000, (7, 5))
    image = Image.fromarray(values.astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]))
    monkeypatch.setattr(images, "_STRIP", 10)
    low, high = values.min(), values.max()
    expected = values >> 8 if mode == "I;16" else np.round((values - low) * (255 / (high - low)))
    np.testing.assert_array_equal(np.asarray(open_image(image))[:, :, 1], expected)


def test_an_image_of_floats_takes_few_bytes_beside_its_pixels() -> None:
    """Of 4 bytes a pixel: 4 of the RGB picture, and strips; in one piece it took 30 more."""
    side = 3000
    image = Image.new("F", (side, side))
    tracemalloc.start()
    try:
        open_image(image)
        # NumPy tells tracemalloc of its memory; Pillow does not.
        assert tracemalloc.get_traced_memory()[1] < 12 * 8 * images._STRIP
        assert 45 * side * side > 12 * 8 * images._STRIP
    finally:
        tracemalloc.stop()


def test_the_picture_within_an_icon_is_no_larger_than_icons_are() -> None:
    inner = io.BytesIO()
    Image.new("1", (3000, 3000)).save(inner, "PNG")
    head = struct.pack("<HHHBBBBHHII", 0, 1, 1, 16, 16, 0, 0, 1, 32, len(inner.getvalue()), 22)
    with pytest.raises(ImageError, match=r"an icon with a picture of 3000x3000 in it"):
        open_image(head + inner.getvalue())
    bitmap = struct.pack("<IiiHHIIiiII", 40, 3000, 6000, 1, 32, 0, 0, 0, 0, 0, 0)
    with pytest.raises(ImageError, match=r"an icon with a picture of 3000x6000 in it"):
        open_image(head + bitmap)


def progressive(passes: int, size: tuple[int, int] = (16, 16)) -> bytes:
    """A JPEG that is drawn in so many passes, the last ones empty."""
    content = io.BytesIO()
    Image.new("RGB", size, "red").save(content, "JPEG", progressive=True)
    jpeg = content.getvalue()
    # SOS of one component, coefficients 1 to 5, without any data.
    empty = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, 1, 5, 0)
    return jpeg[:-2] + empty * (passes - jpeg.count(b"\xff\xda")) + jpeg[-2:]


def test_a_jpeg_of_more_passes_than_any_camera_makes_is_refused(tmp_path: Path) -> None:
    assert open_image(progressive(100)).getpixel((0, 0)) == (254, 0, 0)
    (tmp_path / "bomb.jpg").write_bytes(progressive(101))
    for source in (progressive(101), tmp_path / "bomb.jpg"):
        with pytest.raises(ImageError, match="it is drawn in 101 passes, more than 100"):
            open_image(source)


def test_what_lies_behind_or_beside_a_jpeg_is_no_pass() -> None:
    """As the film of a moving photo, which telephones append, and a thumbnail in its tags."""
    beside = b"\xff\xe5" + struct.pack(">H", 2 + 200) + b"\xff\xda" * 100
    jpeg = progressive(20)
    moving = jpeg[:2] + beside + jpeg[2:] + b"\xff\xda" * 500
    assert moving.count(b"\xff\xda") == 620
    assert open_image(moving).getpixel((0, 0)) == (254, 0, 0)


def test_a_tiff_in_more_pieces_than_rows_of_any_picture_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "_MOST_TILES", 20)
    for height in (20, 21):
        content = io.BytesIO()
        # One row a strip.
        Image.new("L", (10, height)).save(content, "TIFF", tiffinfo={278: 1}, strip_size=1)
        with Image.open(io.BytesIO(content.getvalue())) as stored:
            assert len(stored.tile) == height
        if height == 20:
            assert open_image(content.getvalue()).size == (10, 20)
        else:
            with pytest.raises(ImageError, match="its pixels lie in 21 pieces, more than 20"):
                open_image(content.getvalue())


def test_rows_of_a_thin_image_count_for_what_they_take() -> None:
    limit = Decoding(max_megapixels=0.008)
    assert open_image(Image.new("L", (1, 1000)), limit).size == (1, 1000)
    assert open_image(Image.new("L", (1000, 8)), limit).size == (1000, 8)
    with pytest.raises(ImageError, match=r"1x1001 takes the memory of 0\.0 megapixels, more than"):
        open_image(Image.new("L", (1, 1001)), limit)


def test_a_tile_larger_than_the_limit_is_refused() -> None:
    memory = io.BytesIO()
    Image.new("L", (16, 16)).save(memory, "TIFF")
    image = Image.open(memory)
    image.tag_v2[322], image.tag_v2[323] = 40_000, 40_000
    with pytest.raises(ImageError, match=r"40000x40000 is 1600\.0 megapixels"):
        open_image(image)


def jpeg2000(size: tuple[int, int], mode: str = "RGB", tile: int | None = None, box: bool = True) -> bytes:
    """A picture in one tile; with `tile`, its header says that it is cut into tiles so wide and high."""
    content = io.BytesIO()
    Image.new(mode, size).save(content, "JPEG2000", num_resolutions=1, no_jp2=not box)
    found = bytearray(content.getvalue())
    if tile is not None:
        struct.pack_into(">II", found, found.index(b"\xff\x51") + 22, tile, tile)
    return bytes(found)


@pytest.mark.parametrize("box", [True, False])
def test_a_jpeg_2000_in_more_tiles_than_any_picture_is_refused(tmp_path: Path, box: bool) -> None:
    """Such a file of 700 bytes took 770 MB and three seconds."""
    assert open_image(jpeg2000((80, 80), tile=1, box=box)).size == (80, 80)
    bomb = jpeg2000((255, 255), tile=1, box=box)
    (tmp_path / "bomb.jp2").write_bytes(bomb)
    for source in (bomb, tmp_path / "bomb.jp2"):
        with pytest.raises(ImageError, match=r"it has 195,075 tiles of components, more than 20,000"):
            open_image(source)


def test_what_takes_more_memory_to_decode_counts_for_more_pixels() -> None:
    def opens(content: bytes, megapixels: float) -> bool:
        try:
            open_image(content, Decoding(max_megapixels=megapixels))
        except ImageError as error:
            assert "200x100 takes the memory of 0.0 megapixels" in str(error)
            return False
        return True

    transparent = io.BytesIO()
    Image.new("RGBA", (200, 100), (1, 2, 3, 4)).save(transparent, "WEBP", lossless=True)
    # Of OpenJPEG five bytes a sample, and four of Pillow: 19 and 24 of 16 a pixel.
    for content, weight in (
        (jpeg2000((200, 100)), 19 / 16),
        (jpeg2000((200, 100), "RGBA"), 24 / 16),
        (jpeg2000((200, 100), "L"), 1.0),
        (transparent.getvalue(), 21 / 16),
    ):
        assert opens(content, 0.02 * weight + 1e-4)
        assert weight == 1.0 or not opens(content, 0.02 * weight - 1e-4)


def test_transparency_is_laid_on_white_by_strips_as_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).integers(0, 256, (7, 5, 4), np.uint8)
    image = Image.fromarray(values, "RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image.getchannel("A"))
    monkeypatch.setattr(images, "_STRIP", 10)
    np.testing.assert_array_equal(np.asarray(open_image(image)), np.asarray(white))


@pytest.mark.parametrize(("size", "left"), [((1, 6000), (1, 32)), ((6001, 2), (65, 2)), ((64, 2), (64, 2))])
def test_the_ends_of_a_thin_image_are_cut_off(size: tuple[int, int], left: tuple[int, int]) -> None:
    image = Image.new("L", size)
    middle = (size[0] // 2, size[1] // 2)
    image.putpixel(middle, 255)
    cut = images.shortened(image)
    assert cut.size == left
    assert cut.getpixel((left[0] // 2, left[1] // 2)) == 255


def test_a_picture_of_a_telephone_is_opened_or_names_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"\0\0\0\x18ftypheic" + bytes(16)
    monkeypatch.setattr(Image, "OPEN", {name: one for name, one in Image.OPEN.items() if name != "HEIF"})
    with pytest.raises(ImageError, match=r"needs the package pillow-heif: pip install 'dragoman\[heif\]'"):
        open_image(content)


def test_a_heif_file_is_opened_by_pillow_heif(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="an extra")
    heif.from_pillow(Image.new("RGB", (64, 48), "red")).save(tmp_path / "photo.heic")
    opened = open_image(tmp_path / "photo.heic")
    assert (opened.size, opened.mode) == ((64, 48), "RGB")
    assert opened.getpixel((5, 5))[0] > 240
    with pytest.raises(ImageError, match=r"64x48 is 0\.0 megapixels"):
        open_image(tmp_path / "photo.heic", Decoding(max_megapixels=0.001))


def _samples() -> dict[str, bytes]:
    encoded = {}
    for format in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "TGA", "ICO", "JPEG2000"):
        memory = io.BytesIO()
        Image.linear_gradient("L").convert("RGB").resize((32, 32)).save(memory, format)
        encoded[format] = memory.getvalue()
    return encoded


SAMPLES = _samples()


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=300, deadline=None)
@given(
    sample=st.sampled_from(sorted(SAMPLES)),
    damage=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_damaged_bytes_give_an_rgb_image_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, sample: str, damage: list[tuple[int, int]]
) -> None:
    content = bytearray(SAMPLES[sample])
    for place, value in damage:
        content[place % len(content)] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    try:
        assert open_image(path, Decoding(max_megapixels=4)).mode == "RGB"
    except ImageError as error:
        assert error.reason


def test_the_content_of_a_file_opens_like_the_file(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.effect_noise((40, 30), 60), "noise.png")
    assert open_image(path.read_bytes()).tobytes() == open_image(path).tobytes()
    assert format_of(path.read_bytes()) == "PNG"
    with pytest.raises(ImageError, match=r"^image: the file is empty$"):
        open_image(b"")
    with pytest.raises(ImageError, match=r"^image: not an image of a known format"):
        open_image(b"%PDF-1.7")


def test_a_jpeg_is_decoded_no_larger_than_needed_and_never_smaller(tmp_path: Path) -> None:
    path = saved(tmp_path, Image.new("RGB", (1600, 800), "teal"), "large.jpg")
    assert open_image(path, at_least=300).size == (800, 400)
    assert open_image(path, at_least=800).size == (1600, 800)
    with pytest.raises(ImageError, match=r"1600x800 is 1\.3 megapixels"):
        open_image(path, Decoding(max_megapixels=1), at_least=100)
