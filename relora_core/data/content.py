"""What is in a file: decompressed as a stream, cut into lines; or an error that names the file."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO

from relora_core.errors import DataError, DataUnavailable

CHUNK = 2**20  # bytes
DOCUMENT_BYTES = 256_000_000  # of one line, item or text file
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_WINDOW = 2**31  # of `zstd --long=31`
# A zstandard block of 4 bytes may hold 128 KiB, so this much compressed holds at most 128 MiB.
_ZSTANDARD_CHUNK = 2**12

Count = Callable[[int], None]


@contextmanager
def file_errors(file: Path) -> Iterator[None]:
    """Name the file in each error of reading it.

    Raises `DataUnavailable` for an error of the disk or the network, which may pass, and
    `DataError` for a file that is cut, damaged or closed to us.
    """
    try:
        yield
    except (PermissionError, FileNotFoundError) as error:
        raise DataError(f"no access to {error.filename or file}: {error.strerror}") from error
    except OSError as error:
        if error.errno is None:  # of gzip or pyarrow, about the content
            raise damaged(file, error) from error
        raise DataUnavailable(f"cannot read {file} at the moment: {error.strerror}") from error
    except (EOFError, zlib.error) as error:
        raise damaged(file, error) from error


def damaged(file: Path, error: object) -> DataError:
    """Say that a file cannot be read to its end."""
    return DataError(
        f"{file} is cut short or damaged: {error}. Copy or make it again, or leave it out"
    )


def too_long(where: object) -> DataError:
    """Say that a document is over the limit."""
    return DataError(
        f"{where} is longer than {DOCUMENT_BYTES / 1e6:.0f} MB, the most that a document may have; "
        "cut it into several"
    )


def chunks(file: Path, count: Count) -> Iterator[bytes]:
    """Yield the content of the file, decompressed, without a byte order mark.

    `count` is told of the file's bytes as they are read.
    """
    with file.open("rb") as stored:
        match file.suffix:
            case ".gz":
                content = _read_on(gzip.GzipFile(fileobj=stored))
            case ".zst":
                content = _zstandard_chunks(stored)
            case _:
                content = _read_on(stored)
        yield from _without_mark(_counted(content, stored, count))


def whole(file: Path, count: Count) -> bytes:
    """Return all of the content. Raises `DataError` where that is too much for one document."""
    read: list[bytes] = []
    size = 0
    for chunk in chunks(file, count):
        read.append(chunk)
        size += len(chunk)
        if size > DOCUMENT_BYTES:
            raise too_long(file)
    return b"".join(read)


def lines(content: Iterator[bytes], file: Path) -> Iterator[bytes]:
    """Yield the lines, without their ends. Raises `DataError` for one that is too long."""
    begun: list[bytes] = []
    size = number = 0
    for chunk in content:
        first, *others = chunk.split(b"\n")
        begun.append(first)
        size += len(first)
        if size > DOCUMENT_BYTES:
            raise too_long(f"{file}:{number + 1}")
        if others:
            yield b"".join(begun)
            yield from others[:-1]
            begun, size = [others[-1]], len(others[-1])
            number += len(others)
    yield b"".join(begun)


def _counted(content: Iterator[bytes], stored: BinaryIO, count: Count) -> Iterator[bytes]:
    position = 0
    for chunk in content:
        position, before = stored.tell(), position
        count(position - before)
        yield chunk


def _without_mark(content: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    while len(head) < len(BYTE_ORDER_MARK) and (chunk := next(content, None)) is not None:
        head += chunk
    yield head.removeprefix(BYTE_ORDER_MARK)
    yield from content


def _read_on(stream: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    return iter(partial(stream.read, CHUNK), b"")


def _zstandard_chunks(stored: BinaryIO) -> Iterator[bytes]:
    """Read frame by frame: the library's own reader takes a cut frame for the end of the file.

    Raises `EOFError` for what cannot be decompressed.
    """
    from zstandard import ZstdDecompressor, ZstdError  # of the trainer alone; the API has no use

    frame = None
    while compressed := stored.read(_ZSTANDARD_CHUNK):
        while compressed:
            frame = frame or ZstdDecompressor(max_window_size=_LONGEST_WINDOW).decompressobj()
            try:
                content = frame.decompress(compressed)
            except ZstdError as error:
                raise EOFError(str(error)) from error
            for begin in range(0, len(content), CHUNK):
                yield content[begin : begin + CHUNK]
            compressed = frame.unused_data
            if frame.eof:
                frame = None
    if frame is not None:
        raise EOFError("the last zstandard frame is incomplete")
