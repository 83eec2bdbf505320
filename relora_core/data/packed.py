"""A source that was packed into the node's cache: its two parts, and whether they are good enough.

Packed texts and packed images are both such sources.
"""

from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict

from relora_core.counted import counted
from relora_core.errors import DataError
from relora_core.events import DataPrepared, Emit
from relora_core.spec import Source

Part = Literal["kept", "held_out"]
PARTS: tuple[Part, ...] = ("kept", "held_out")


class RowCounts(BaseModel):
    """The rows of a source. Bad rows belong to neither part."""

    model_config = ConfigDict(frozen=True)

    rows: int
    bad_rows: int
    examples: list[str]  # the first bad rows, each with the reason


class Packed(Protocol):
    """A packed source, made now or found in the cache."""

    @property
    def source(self) -> Source: ...

    @property
    def manifest(self) -> RowCounts: ...

    @property
    def reused(self) -> bool: ...


def report_part(
    packed: Packed, prepared: DataPrepared, *, with_rows: bool, allowed: float, emit: Emit
) -> None:
    """Emit `prepared`, with the bad rows of the source if `with_rows`.

    A source with two splits reports its bad rows with one of them. Raise `DataError` if the share
    of its bad rows is larger than `allowed`.
    """
    counts = packed.manifest
    told: dict[str, object] = {"reused": packed.reused}
    if with_rows:
        told |= {"bad_rows": counts.bad_rows, "examples": counts.examples}
    emit(prepared.model_copy(update=told))
    if counts.bad_rows > allowed * counts.rows:
        raise DataError(
            f"{counts.bad_rows:,} of {counted(counts.rows, 'row')} of {packed.source.place} cannot "
            f"be read, more than the share of {allowed:g} that data.max_bad_rows allows: "
            + "; ".join(counts.examples)
        )


def check_size(
    prepared: DataPrepared, number: int, *, needed: int, contents: str, advice: str
) -> None:
    """Raise `DataError` if the data has fewer sequences or images than a run needs."""
    if number < needed:
        of_source = f"of {prepared.source}, " if prepared.source else ""
        raise DataError(
            f"the {prepared.split} data is too small: {of_source}{contents}, and {needed:,} are "
            f"needed; {advice}"
        )
