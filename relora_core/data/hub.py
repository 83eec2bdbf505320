"""Hugging Face datasets, streamed by the `datasets` library."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from relora_core.data.rows import Row, read_row
from relora_core.errors import DataError, DataUnavailable
from relora_core.errors.failures import reason
from relora_core.progress_bars import no_dataset_bars

# `datasets` is imported late: with pandas and pyarrow, it takes 80 MB in each training process.
if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

PARAMETERS = ("config", "split", "revision", "streaming")


@dataclass(frozen=True)
class HubDataset:
    """A dataset on the Hub or in a local folder.

    Its URI is hf://OWNER/NAME?config=...&split=...&revision=...&streaming=... or hf:///FOLDER?...
    """

    name: str
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    streaming: bool = True  # if false, it is downloaded completely first and memory-mapped

    @property
    def part(self) -> tuple[str, str | None, str, str | None]:
        """The fields that identify the rows, whether they are streamed or not."""
        return self.name, self.config, self.split, self.revision


def parse_hub_uri(uri: str) -> HubDataset:
    name, _, query = uri.removeprefix("hf://").partition("?")
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    if unknown := sorted(parameters.keys() - set(PARAMETERS)):
        raise DataError(f"{uri!r} asks for {', '.join(unknown)}; known are {', '.join(PARAMETERS)}")
    streaming = parameters.pop("streaming", "true")
    if streaming not in ("true", "false"):
        raise DataError(f"{uri!r}: streaming is true or false, not {streaming!r}")
    return HubDataset(name, **parameters, streaming=streaming == "true")


def read_hub_dataset(dataset: HubDataset, *, text_field: str) -> Iterator[Row]:
    """Yield the rows of the dataset. If it is streamed, it is not downloaded first."""
    with hub_errors(dataset):
        rows = open_hub_dataset(dataset)
        yield from _read_rows(rows, text_field=text_field, where=dataset.name)


def open_hub_dataset(dataset: HubDataset) -> "IterableDataset":
    from datasets import load_dataset

    with no_dataset_bars():
        return load_dataset(
            _address(dataset.name),
            dataset.config,
            split=dataset.split,
            revision=dataset.revision,
            streaming=dataset.streaming,
        )


def _address(name: str) -> str:
    """Return the argument of `load_dataset` that means this folder, or only this Hub dataset."""
    return name if Path(name).is_absolute() else f"hf://datasets/{name}"


@contextmanager
def hub_errors(dataset: HubDataset) -> Iterator[None]:
    """Raise the errors of the `datasets` library as `DataError` or `DataUnavailable`."""
    from datasets.exceptions import DatasetsError

    try:
        yield
    except ConnectionError as error:
        raise DataUnavailable(
            f"cannot reach the dataset {dataset.name!r}: {reason(error)}"
        ) from error
    except (OSError, ValueError, DatasetsError) as error:
        raise DataError(f"cannot read the dataset {dataset.name!r}: {reason(error)}") from error


def _read_rows(rows: "Dataset | IterableDataset", *, text_field: str, where: str) -> Iterator[Row]:
    if text_field in (rows.column_names or []):
        rows = rows.select_columns(text_field)
    for number, row in enumerate(rows, start=1):
        yield read_row(row, text_field=text_field, where=f"{where}:{number}")
