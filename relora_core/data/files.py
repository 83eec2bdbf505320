"""Files as a source: found by path or pattern, decompressed, read row by row."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO

from zstandard import ZstdDecompressor, ZstdError

from relora_core.data.hub import read_parquet
from relora_core.data.rows import BadRow, Row, read_row
from relora_core.errors import DataError
from relora_core.file_formats import READABLE, file_format, is_readable

CHUNK = 2**20  # bytes

Count = Callable[[int], None]


def find_files(uri: str) -> list[Path]:
    """Return the files that a path, a pattern or a file:// URI names, sorted, of known formats."""
    path = Path(uri.removeprefix("file://")).expanduser().absolute()
    if path.is_dir():
        raise DataError(f"{uri!r} is a folder; name its files, e.g. {path / '*.jsonl.gz'}")
    pattern = str(path.relative_to(path.anchor))
    files = [path] if path.is_file() else sorted(Path(path.anchor).glob(pattern))
    files = [file for file in files if file.is_file()]
    if not files:
        raise DataError(f"no file matches {uri!r} ({path})")
    for file in files:
        if not is_readable(file):
            raise DataError(f"cannot read {file}; known formats are {READABLE}")
    return files


def read_file(file: Path, *, text_field: str, count: Count = lambda _: None) -> Iterator[Row]:
    """Yield the rows of one file; one that breaks off ends with a bad row that says so.

    `count` is told of the file's bytes as they are read, those of Parquet at its end.
    """
    try:
        if file.suffix == ".parquet":
            yield from read_parquet(file, text_field=text_field)
            count(file.stat().st_size)
        elif file_format(file) == ".txt":
            yield b"".join(_chunks(file, count)).decode()
        else:
            yield from _read_lines(file, text_field=text_field, count=count)
    except UnicodeDecodeError as error:
        yield BadRow(str(file), f"is not UTF-8 text: {error.reason} at byte {error.start}")
    except (OSError, EOFError, ValueError, zlib.error, ZstdError) as error:
        yield BadRow(str(file), f"cannot be read to its end: {error}")


def _read_lines(file: Path, *, text_field: str, count: Count) -> Iterator[Row]:
    for number, line in enumerate(_lines(_chunks(file, count)), start=1):
        if not line.strip():
            continue
        where = f"{file}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            yield BadRow(where, f"is not JSON: {error}")
        else:
            yield read_row(row, text_field=text_field, where=where)


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
    yield rest


def _chunks(file: Path, count: Count) -> Iterator[bytes]:
    """Yield the content of the file, decompressed."""
    with file.open("rb") as stored:
        match file.suffix:
            case ".gz":
                content = _read_on(gzip.GzipFile(fileobj=stored))
            case ".zst":
                content = _zstandard_chunks(stored)
            case _:
                content = _read_on(stored)
        position = 0
        for chunk in content:
            position, before = stored.tell(), position
            count(position - before)
            yield chunk


def _read_on(stream: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    return iter(partial(stream.read, CHUNK), b"")


def _zstandard_chunks(stored: BinaryIO) -> Iterator[bytes]:
    """Read frame by frame: the library's own reader takes a cut frame for the end of the file."""
    frame = None
    while compressed := stored.read(CHUNK):
        while compressed:
            frame = frame or ZstdDecompressor().decompressobj()
            yield frame.decompress(compressed)
            compressed = frame.unused_data
            if frame.eof:
                frame = None
    if frame is not None:
        raise EOFError("the last zstandard frame is cut short")
