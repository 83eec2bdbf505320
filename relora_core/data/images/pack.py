"""Decode a source into two files of pixels on disk, kept and held out, once per node.

A file has the images one after the other, each of 3 x size x size bytes. A second file has the
numbers of their labels, as little-endian uint32.
"""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from relora_core.data.cache import MANIFEST, build_once, check_unchanged, digest
from relora_core.data.images.decode import BadImage, Decoded, decode
from relora_core.data.images.labels import Labels
from relora_core.data.images.shards import ImageShards
from relora_core.data.images.sources import EncodedImage, fingerprint, image_rows
from relora_core.data.packed import PARTS, Part, RowCounts
from relora_core.data.rows import BadRow
from relora_core.data.sources import Tally
from relora_core.data.split import is_held_out
from relora_core.spec import Source

LAYOUT = 1  # raise it when the same source would give other files
DECODED_AT_ONCE = 512


class ImageManifest(RowCounts):
    size: int
    labels: list[str]
    kept: list[int]  # images of each label
    held_out: list[int]
    sha256: dict[Part, str]  # of pixels and labels

    def counts(self, part: Part) -> list[int]:
        return self.kept if part == "kept" else self.held_out

    def images(self, part: Part) -> int:
        return sum(self.counts(part))


@dataclass(frozen=True)
class PackedImages:
    source: Source
    folder: Path
    manifest: ImageManifest
    reused: bool

    def shards(self, part: Part, *, flip_seed: int | None = None) -> ImageShards:
        pixels, labels = _pixels(self.folder, part), _labels(self.folder, part)
        return ImageShards(pixels, labels, size=self.manifest.size, flip_seed=flip_seed)


def pack_images(
    source: Source, *, size: int, held_out: float, labels: list[str] | None = None, cache: Path
) -> PackedImages:
    """Find the pixels of a source in the cache, or decode the source into the cache.

    `labels` are the labels of the training data if this source is not the training data. Raise
    `DataError` if the source has another label.
    """
    content = fingerprint(source, cache=cache)
    folder = cache / "images" / digest(LAYOUT, content, size, held_out, labels)

    def build(partial: Path) -> None:
        rows = image_rows(source)
        writer = _Writer(partial, Labels(labels or rows.labels), held_out)
        tally = Tally()
        writer.write_all(_decoded(rows.rows, tally, source, size))
        check_unchanged(source.place, content, fingerprint(source, cache=cache))
        manifest = writer.manifest(tally, size)
        (partial / MANIFEST).write_text(manifest.model_dump_json(indent=1))

    reused = build_once(folder, build, cache=cache)
    return PackedImages(source, folder, _read_manifest(folder), reused)


def _decoded(
    rows: Iterator[EncodedImage | BadRow], tally: Tally, source: Source, size: int
) -> Iterator[tuple[EncodedImage, Decoded]]:
    """Decode the rows and yield the good images. Count all rows in `tally`."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as threads:
        while some := list(islice(rows, DECODED_AT_ONCE)):
            for row, image in zip(
                some, threads.map(partial(_decode, size=size), some), strict=True
            ):
                tally.add(image)
                tally.raise_if_hopeless(source.place)
                if isinstance(row, EncodedImage) and isinstance(image, Decoded):
                    yield row, image


def _decode(row: EncodedImage | BadRow, *, size: int) -> Decoded | BadRow:
    if isinstance(row, BadRow):
        return row
    try:
        return decode(row.content, size=size)
    except BadImage as error:
        return BadRow(row.where, f"is no image that can be read: {error}")


class _Writer:
    def __init__(self, folder: Path, labels: Labels, held_out: float) -> None:
        self._folder = folder
        self._labels = labels
        self._held_out = held_out
        self._numbers: dict[Part, list[int]] = {part: [] for part in PARTS}
        self._hashes = {part: hashlib.sha256() for part in PARTS}

    def write_all(self, images: Iterator[tuple[EncodedImage, Decoded]]) -> None:
        with ExitStack() as stack:
            files = {
                part: stack.enter_context(_pixels(self._folder, part).open("wb")) for part in PARTS
            }
            for row, image in images:
                part: Part = "held_out" if is_held_out(image.content, self._held_out) else "kept"
                content = image.pixels.tobytes()
                files[part].write(content)
                self._hashes[part].update(content)
                self._numbers[part].append(self._labels.number(row))

    def manifest(self, tally: Tally, size: int) -> ImageManifest:
        """Write the labels with their final numbers, and return the manifest."""
        counts = {}
        for part, numbers in self._numbers.items():
            final = self._labels.final(numbers)
            final.tofile(_labels(self._folder, part))
            self._hashes[part].update(final.tobytes())
            counts[part] = np.bincount(final, minlength=len(self._labels.names)).tolist()
        return ImageManifest(
            **asdict(tally),
            size=size,
            labels=self._labels.names,
            sha256={part: each.hexdigest() for part, each in self._hashes.items()},
            **counts,
        )


def _read_manifest(folder: Path) -> ImageManifest:
    return ImageManifest.model_validate_json((folder / MANIFEST).read_bytes())


def _pixels(folder: Path, part: Part) -> Path:
    return folder / f"{part}.pixels.bin"


def _labels(folder: Path, part: Part) -> Path:
    return folder / f"{part}.labels.bin"
