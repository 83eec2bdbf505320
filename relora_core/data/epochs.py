"""The number of epochs of a run, and a warning if there are many."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from relora_core.counted import in_epochs
from relora_core.data.file_formats import COMPRESSED, TEXTS, file_format
from relora_core.events import Unit
from relora_core.spec import Source, TrainSpec
from relora_core.spec.file_uris import existing_path
from relora_core.spec.part import SpecWarning

MANY = 4  # up to 4 epochs, repeated text teaches about as much as new text (arXiv 2305.16264)
BYTES_PER_TOKEN = 4  # for English and a vocabulary of about 32,000 tokens
COMPRESSION = 3  # the ratio for text, by gzip or zstd
_ID_BYTES = {"uint16": 2, "uint32": 4}


@dataclass(frozen=True)
class Size:
    """The size of a file, and its name, whose extension says what it contains."""

    name: str
    bytes: int


def many_epochs(epochs: float | None, unit: Unit) -> Iterator[SpecWarning]:
    """Yield a warning if a language model reads its data too often. Image models usually do."""
    if unit == "tokens" and epochs is not None and epochs > MANY:
        yield SpecWarning(
            "training",
            f"reads its data for about {in_epochs(epochs)}; after {MANY}, repeated text teaches a "
            "language model less and less: take fewer steps, or more data",
            code="many_epochs",
        )


def guessed_epochs(spec: TrainSpec, uploads: Mapping[str, Size]) -> float | None:
    """Estimate the epochs from the sizes of the files, before they are read.

    `uploads` maps URIs to the sizes of uploaded files. Return None if the tokens of a file cannot
    be estimated, for example because its URI is a pattern or remote, or because it is a table.
    """
    if spec.task != "causal_lm":
        return None
    train = spec.data.train
    sizes = [uploads.get(uri) or _size_here(uri) for uri in train.uris]
    tokens = [None if size is None else _tokens(size, train) for size in sizes]
    known = [count for count in tokens if count is not None]
    if len(known) < len(tokens) or not sum(known):
        return None
    return spec.total_steps * spec.tokens_per_step / sum(known)


def _size_here(uri: str) -> Size | None:
    file = Path(existing_path(uri))
    try:
        return Size(file.name, file.stat().st_size) if file.is_file() else None
    except (OSError, ValueError):  # a path of another machine, or not a valid file name
        return None


def _tokens(size: Size, source: Source) -> float | None:
    name = PurePath(size.name)
    if name.suffix == ".bin":
        return size.bytes / _ID_BYTES[source.token_dtype]
    if file_format(name) not in TEXTS:
        return None
    text = size.bytes * (COMPRESSION if name.suffix in COMPRESSED else 1)
    return text / BYTES_PER_TOKEN
