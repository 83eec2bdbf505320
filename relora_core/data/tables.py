"""Read rows of tables: Parquet, Arrow, CSV and TSV files. Only the text column is decoded."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from relora_core.data.content import DOCUMENT_BYTES, damaged, lines
from relora_core.data.rows import BadRow, Row, read_row
from relora_core.errors import DataError

# `pyarrow` is imported late: it takes 40 MB in each training process.
if TYPE_CHECKING:
    from pyarrow import RecordBatch

DELIMITERS = {".csv": ",", ".tsv": "\t"}
_BATCH_ROWS = 1000
_ARROW_FILE = b"ARROW1"


def read_parquet(file: Path, *, text_field: str) -> Iterator[Row]:
    from pyarrow.parquet import ParquetFile

    with file.open("rb") as stored, _arrow_errors(file):
        table = ParquetFile(stored)
        names = table.schema_arrow.names
        if text_field in names:
            batches = table.iter_batches(_BATCH_ROWS, columns=[text_field])
            yield from _read_batches(batches, file, text_field=text_field)
        else:
            empty = dict.fromkeys(names)
            for number in range(1, table.metadata.num_rows + 1):
                yield read_row(empty, text_field=text_field, where=f"{file}:{number}")


def read_arrow(file: Path, *, text_field: str) -> Iterator[Row]:
    with file.open("rb") as stored, _arrow_errors(file):
        yield from _read_batches(_arrow_batches(stored), file, text_field=text_field)


def _arrow_batches(stored: BinaryIO) -> "Iterator[RecordBatch]":
    from pyarrow import ipc

    is_file = stored.read(len(_ARROW_FILE)) == _ARROW_FILE
    stored.seek(0)
    if is_file:
        reader = ipc.open_file(stored)
        return map(reader.get_batch, range(reader.num_record_batches))
    return iter(ipc.open_stream(stored))


def _read_batches(
    batches: "Iterable[RecordBatch]", file: Path, *, text_field: str
) -> Iterator[Row]:
    number = 0
    for batch in batches:
        names = batch.schema.names
        place = names.index(text_field) if text_field in names else None
        for index in range(batch.num_rows):
            number += 1
            where = f"{file}:{number}"
            try:
                row = dict.fromkeys(names)
                if place is not None:
                    row[text_field] = batch.column(place)[index].as_py()
            except UnicodeDecodeError:
                yield BadRow(where, f"field {text_field!r} is not UTF-8 text")
            else:
                yield read_row(row, text_field=text_field, where=where)


@contextmanager
def _arrow_errors(file: Path) -> Iterator[None]:
    from pyarrow import ArrowException

    try:
        yield
    except ArrowException as error:
        if isinstance(error, OSError):  # `file_errors` tells disk from content by the errno
            raise
        raise damaged(file, error) from error


def read_csv(content: Iterator[bytes], file: Path, *, text_field: str) -> Iterator[Row]:
    """Yield the rows below the header. The header names the columns."""
    csv.field_size_limit(DOCUMENT_BYTES)
    delimiter = next(DELIMITERS[suffix] for suffix in file.suffixes[::-1] if suffix in DELIMITERS)
    # A byte that is not UTF-8 becomes a lone surrogate, which `read_row` refuses.
    texts = (line.decode(errors="surrogateescape") + "\n" for line in lines(content, file))
    reader = csv.reader(texts, delimiter=delimiter, strict=True)
    try:
        header = next(reader, [])
        for values in reader:
            where = f"{file}:{reader.line_num}"
            if len(values) == len(header):
                row = dict(zip(header, values, strict=True))
                yield read_row(row, text_field=text_field, where=where)
            elif values:
                yield BadRow(where, f"has {len(values)} values; the header has {len(header)}")
    except csv.Error as error:
        raise DataError(
            f"{file}:{reader.line_num} is not CSV: {error}. A value with a delimiter, a quote or "
            'a line break is written in quotes, a quote in it twice: "say ""yes"""'
        ) from error
