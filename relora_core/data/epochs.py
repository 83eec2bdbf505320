"""The number of epochs of a run, and a warning if there are many."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Protocol

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


@dataclass(frozen=True)
class PlannedSource:
    """What a whole run reads of a source. The only source of a run has the name ""."""

    name: str
    tokens: int
    epochs: float | None  # None: its size is not known yet


class _ReadSource(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def epochs(self) -> float | None: ...


def many_epochs(sources: Iterable[_ReadSource], unit: Unit) -> Iterator[SpecWarning]:
    """Yield a warning if a language model reads a source too often. Image models usually do."""
    for source in sources if unit == "tokens" else ():
        number = source.epochs
        if number is None or number <= MANY:
            continue
        data = f"the source {source.name}" if source.name else "its data"
        yield SpecWarning(
            "training",
            f"reads {data} for about {in_epochs(number)}; after {MANY}, repeated text teaches a "
            "language model less and less: take fewer steps, or more data",
            code="many_epochs",
        )


def planned_sources(spec: TrainSpec, uploads: Mapping[str, Size]) -> list[PlannedSource]:
    """Estimate what a run reads of each source, before its files are read.

    `uploads` maps URIs to the sizes of uploaded files. The epochs are not known if the tokens of a
    file cannot be estimated, for example because its URI is a pattern or remote, or because it is a
    table.
    """
    if spec.task != "causal_lm":
        return []
    planned = []
    for (name, steps), source in zip(
        _steps_of_sources(spec).items(), spec.data.training_sources, strict=True
    ):
        tokens, size = round(steps * spec.tokens_per_step), _tokens_of(source, uploads)
        planned.append(PlannedSource(name, tokens, tokens / size if size else None))
    return planned


def _steps_of_sources(spec: TrainSpec) -> dict[str, float]:
    """Return the steps that each source takes part in, as shares of steps."""
    sources = spec.data.mixture
    if not sources:
        return {"": spec.total_steps}
    begins, weights = zip(*spec.data.weights_by_stage(), strict=True)
    steps = {source.name: 0.0 for source in sources}
    for of_stage, begin, end in zip(weights, begins, (*begins[1:], spec.total_steps), strict=True):
        for name, weight in zip(steps, of_stage, strict=True):
            steps[name] += (end - begin) * weight / sum(of_stage)
    return steps


def _tokens_of(source: Source, uploads: Mapping[str, Size]) -> float | None:
    sizes = [uploads.get(uri) or _size_here(uri) for uri in source.uris]
    tokens = [None if size is None else _tokens(size, source) for size in sizes]
    known = [count for count in tokens if count is not None]
    return sum(known) if len(known) == len(tokens) else None


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
