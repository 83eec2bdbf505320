"""Read the documents of a source in a fixed order, and compute a fingerprint of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from relora_core.data.cache import digest, file_digest
from relora_core.data.file_formats import TOKENS, file_format
from relora_core.data.files import read_file
from relora_core.data.find import find_files
from relora_core.data.hub import parse_hub_uri, read_hub_dataset
from relora_core.data.rows import BadRow, Row
from relora_core.errors import DataError, printable
from relora_core.spec import STAGED_SCHEMES, Source

SHOWN_EXAMPLES = 3
HOPELESS = 1000  # this many bad rows and no good one: the field or the format is wrong


@dataclass
class Tally:
    """Counts the rows that were read, and the bad ones among them."""

    rows: int = 0
    bad_rows: int = 0
    bytes_read: int = 0  # from files, as stored: compressed if the file is
    examples: list[str] = field(default_factory=list)

    def add(self, row: object) -> None:
        self.rows += 1
        if isinstance(row, BadRow):
            self.bad_rows += 1
            if len(self.examples) < SHOWN_EXAMPLES:
                self.examples.append(printable(str(row)))

    def count_bytes(self, read: int) -> None:
        self.bytes_read += read

    def raise_if_hopeless(self, uri: str) -> None:
        """Raise `DataError` if the first `HOPELESS` rows are all bad."""
        if self.bad_rows == self.rows == HOPELESS:
            raise DataError(
                f"none of the first {HOPELESS} rows of {uri} can be read: "
                + "; ".join(self.examples)
            )


def documents(source: Source, tally: Tally) -> Iterator[str]:
    """Yield the text of every good row that is not empty. Count all rows in `tally`."""
    for row in _rows(source, tally):
        tally.add(row)
        tally.raise_if_hopeless(source.place)
        if isinstance(row, str) and row:
            yield row


def fingerprint(source: Source, *, cache: Path) -> str:
    """Return a fingerprint of a source: of the bytes of files, or of a Hugging Face dataset's URI.

    So a dataset without a revision is read once on a node, and later commits to it are not seen.
    """
    if len(source.uris) > 1:
        token_source_files(source)  # raises `DataError` if it mixes text and token ids
        return digest("several", [fingerprint(part, cache=cache) for part in _parts(source)])
    if source.place.startswith("hf://"):
        dataset = parse_hub_uri(source.place)
        return digest("hf", *dataset.part, source.text_field)
    files = [(file_format(file), file_digest(file, cache)) for file in _local_files(source)]
    field = source.text_field if token_source_files(source) is None else source.token_dtype
    return digest("files", files, field)


def token_source_files(source: Source) -> list[Path] | None:
    """Return the files of a source that is already tokenized, or None if it is text."""
    files = _local_files(source)
    ready = [file for file in files if file.suffix in TOKENS]
    if ready and (len(ready) < len(files) or any(uri.startswith("hf://") for uri in source.uris)):
        raise DataError(
            f"{source.place!r} matches both text and token ids, such as {ready[0]}; "
            "name one of them"
        )
    return ready or None


def source_bytes(source: Source) -> int | None:
    """Return the size of the source's files, or None if one of its URIs is a Hub dataset."""
    if any(uri.startswith("hf://") for uri in source.uris):
        return None
    return sum(file.stat().st_size for file in _local_files(source))


def _rows(source: Source, tally: Tally) -> Iterator[Row]:
    for part in _parts(source):
        if part.place.startswith("hf://"):
            yield from read_hub_dataset(parse_hub_uri(part.place), text_field=source.text_field)
        for file in _local_files(part):
            yield from read_file(file, text_field=source.text_field, count=tally.count_bytes)


def _parts(source: Source) -> list[Source]:
    """Return one source for each URI."""
    return [source.model_copy(update={"uri": uri}) for uri in source.uris]


def _local_files(source: Source) -> list[Path]:
    """Return the files of all URIs that are not on the Hub."""
    for uri in source.uris:
        if uri.startswith(STAGED_SCHEMES):
            raise DataError(
                f"the trainer does not reach {uri!r}; the service's worker copies the files to "
                "the node first. Without the service, copy them and give their path"
            )
    local = (uri for uri in source.uris if not uri.startswith("hf://"))
    return [file for uri in local for file in find_files(uri)]
