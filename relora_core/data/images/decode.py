"""Decode an image to the pixels that the model gets."""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from relora_core.errors import DataError

# The same filter as in the model's image processor (transformers' ViTImageProcessor).
RESAMPLE = 2  # PIL.Image.Resampling.BILINEAR; PIL is imported late


class BadImage(Exception):
    """The bytes are not an image. The message says why."""


@dataclass(frozen=True)
class Decoded:
    pixels: NDArray[np.uint8]  # (3, size, size), red, green and blue
    content: bytes  # a hash of the image before resizing, the same for every encoding


def require_pillow() -> None:
    if find_spec("PIL") is None:
        raise DataError(
            "task image_classification needs Pillow, which is not installed: "
            "pip install -e '.[vision]' in relora's folder"
        )


def decode(encoded: bytes, *, size: int) -> Decoded:
    """Decode an image, rotate it by its EXIF orientation, make it RGB and `size` x `size`.

    Raise `BadImage` if it cannot be decoded.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(BytesIO(encoded)) as image:
            whole = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise BadImage(str(error)) from error
    content = hashlib.blake2b(repr(whole.size).encode() + whole.tobytes()).digest()
    resized = np.asarray(whole.resize((size, size), RESAMPLE))  # (size, size, 3)
    return Decoded(resized.transpose(2, 0, 1), content)
