from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from relora_core.data.images.decode import BadImage, decode, require_pillow
from relora_core.errors import DataError
from tests.relora_core.data.images.conftest import Pixels, noise


def encoded(pixels: Pixels, file_format: str = "png", **options: object) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, file_format, **options)
    return stream.getvalue()


def test_the_pixels_come_channel_by_channel() -> None:
    pixels = noise(0, height=8, width=8)
    assert np.array_equal(decode(encoded(pixels), size=8).pixels, pixels.transpose(2, 0, 1))


def test_every_image_becomes_a_square() -> None:
    assert decode(encoded(noise(0, height=5, width=30)), size=12).pixels.shape == (3, 12, 12)


def test_grey_becomes_red_green_and_blue() -> None:
    red, green, blue = decode(encoded(noise(0, height=4, width=4)[..., 0]), size=4).pixels
    assert np.array_equal(red, green)
    assert np.array_equal(red, blue)


def test_an_image_stands_upright_as_the_camera_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # orientation: upside down
    pixels = noise(0, height=8, width=8)
    turned = decode(encoded(pixels, exif=exif), size=8).pixels
    assert np.array_equal(turned, pixels[::-1, ::-1].transpose(2, 0, 1))


def test_content_is_the_same_in_another_encoding_and_size() -> None:
    one = decode(encoded(noise(0), "png"), size=4)
    other = decode(encoded(noise(0), "bmp"), size=8)
    assert one.content == other.content != decode(encoded(noise(1)), size=4).content


@pytest.mark.parametrize(
    "content", [b"", b"no image", encoded(noise(0, height=90))[:-40], encoded(noise(0))[:30]]
)
def test_what_is_no_whole_image_is_bad(content: bytes) -> None:
    with pytest.raises(BadImage):
        decode(content, size=8)


def test_without_pillow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("relora_core.data.images.decode.find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"needs Pillow.*: pip install -e '\.\[vision\]'"):
        require_pillow()
