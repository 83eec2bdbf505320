"""Read text files row by row, in the format of the file name's extension."""

from collections.abc import Iterator
from pathlib import Path

from relora_core.data.content import Count, chunks, file_errors, whole
from relora_core.data.file_formats import file_format
from relora_core.data.json_rows import read_json
from relora_core.data.rows import BadRow, Row
from relora_core.data.tables import DELIMITERS, read_arrow, read_csv, read_parquet

_TABLES = {".parquet": read_parquet, ".arrow": read_arrow}


def read_file(file: Path, *, text_field: str, count: Count = lambda _: None) -> Iterator[Row]:
    """Yield the rows of one file. Raise `DataError` if it cannot be read to its end.

    A row that cannot be read is yielded as a `BadRow`. A file that is cut short or damaged is an
    error, because nobody knows how many rows are lost. `count` is called with the number of bytes
    read; for Parquet and Arrow once, at the end of the file.
    """
    with file_errors(file):
        kind = file_format(file)
        if read_table := _TABLES.get(kind):
            yield from read_table(file, text_field=text_field)
            count(file.stat().st_size)
        elif kind == ".txt":
            yield _read_text(file, count)
        elif kind in DELIMITERS:
            yield from read_csv(chunks(file, count), file, text_field=text_field)
        else:
            yield from read_json(chunks(file, count), file, text_field=text_field)


def _read_text(file: Path, count: Count) -> Row:
    try:
        return whole(file, count).decode()
    except UnicodeDecodeError as error:
        return BadRow(str(file), f"is not UTF-8 text: {error.reason} at byte {error.start}")
