"""Read the content of a file: decompress it as a stream and cut it into lines.

Each error names the file.
"""

import errno
import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO

from relora_core.errors import DataError, DataUnavailable

CHUNK = 2**20  # bytes
DOCUMENT_BYTES = 256_000_000  # the most bytes of one line, item or text file
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LONGEST_WINDOW = 2**31  # the window of `zstd --long=31`
# A zstandard block of 4 bytes may decompress to 128 KiB, so this chunk to at most 128 MiB.
_ZSTANDARD_CHUNK = 2**12

# The user cannot read the file, or no file can have this path. Any other error may pass.
_NO_ACCESS = {
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
}

Count = Callable[[int], None]


@contextmanager
def file_errors(file: Path) -> Iterator[None]:
    """Turn each error of reading the file into one that names the file.

    Raise `DataUnavailable` for an error of the disk or the network, which may be temporary, and
    `DataError` for a file that is cut short, damaged, missing or not readable for this user.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ACCESS:
            raise DataError(f"no access to {error.filename or file}: {error.strerror}") from error
        if error.errno is None:  # gzip or pyarrow raised it because of the content
            raise damaged(file, error) from error
        raise DataUnavailable(f"cannot read {file} at the moment: {error.strerror}") from error
    except (EOFError, zlib.error) as error:
        raise damaged(file, error) from error


def damaged(file: Path, error: object) -> DataError:
    """Return the error for a file that cannot be read to its end."""
    return DataError(
        f"{file} is cut short or damaged: {error}. Copy or make it again, or leave it out"
    )


def too_long(where: object) -> DataError:
    """Return the error for a document over the size limit."""
    return DataError(
        f"{where} is longer than {DOCUMENT_BYTES / 1e6:.0f} MB, the most that a document may have; "
        "cut it into several"
    )


def chunks(file: Path, count: Count) -> Iterator[bytes]:
    """Yield the content of the file, decompressed and without a byte order mark.

    `count` is called with the number of bytes read from the file.
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
    """Return the whole content. Raise `DataError` if it is too large for one document."""
    read: list[bytes] = []
    size = 0
    for chunk in chunks(file, count):
        read.append(chunk)
        size += len(chunk)
        if size > DOCUMENT_BYTES:
            raise too_long(file)
    return b"".join(read)


def lines(content: Iterator[bytes], file: Path) -> Iterator[bytes]:
    """Yield the lines without line ends. Raise `DataError` for a line that is too long."""
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
    """Yield the decompressed content frame by frame.

    The library's own reader would take a frame that is cut short as the end of the file. Raise
    `EOFError` if the content cannot be decompressed.
    """
    from zstandard import ZstdDecompressor, ZstdError  # late: only the trainer needs it

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
