"""Archives that are never written, read by Python's own tarfile."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from jobs.errors import StorageError
from service.http.tar_stream import TarFile, TarStream

CONTENTS = {
    "config.json": b"{}",
    "empty": b"",
    "model.safetensors": bytes(range(256)) * 8,  # whole blocks of the archive
    "tokenizer/ein Wört.json": b"x" * 1000,
}
FILES = [
    TarFile(
        name=f"run-step-100/{name}",
        key=name,
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        modified_at=datetime(2026, 1, 2, 3, 4, 5, 678, UTC),
    )
    for name, content in CONTENTS.items()
]


def read_file(key: str, start: int, end: int) -> Iterator[bytes]:
    for place in range(start, end, 100):
        yield CONTENTS[key][place : min(place + 100, end)]


def archived(stream: TarStream) -> bytes:
    return b"".join(stream.read(0, stream.size))


def test_an_archive_holds_the_files_and_has_the_size_that_it_says() -> None:
    stream = TarStream(FILES, read_file)
    content = archived(stream)
    assert stream.size == len(content)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        members = archive.getmembers()
        found = {member.name: archive.extractfile(member) for member in members}
    assert [member.mtime for member in members] == [1767323045] * 4
    assert [member.mode for member in members] == [0o644] * 4
    assert {name: file and file.read() for name, file in found.items()} == {
        f"run-step-100/{name}": content for name, content in CONTENTS.items()
    }


def test_any_part_of_an_archive_is_what_the_whole_has_there() -> None:
    stream = TarStream(FILES, read_file)
    content = archived(stream)
    for start in range(0, len(content), 487):
        for end in (start, start + 1, start + 600, len(content)):
            assert b"".join(stream.read(start, end)) == content[start:end]


def test_a_file_of_more_than_8_gib_has_its_size() -> None:
    stream = TarStream([replace(FILES[0], size=10 * 2**30)], read_file)
    headers = 3 * 512  # the size has a record of its own
    assert stream.size == headers + 10 * 2**30 + 2 * 512


def test_another_content_another_name_and_another_time_make_another_etag() -> None:
    tags = {
        TarStream([replace(FILES[0], **change)], read_file).etag
        for change in (
            {},
            {"sha256": "00" * 32},
            {"name": "other"},
            {"modified_at": datetime(2026, 1, 3, tzinfo=UTC)},
        )
    }
    assert len(tags) == 4
    assert TarStream(FILES, read_file).etag == TarStream(FILES, read_file).etag


def test_a_file_that_became_shorter_breaks_the_archive_off() -> None:
    stream = TarStream([replace(FILES[0], size=3), *FILES[1:]], read_file)
    with pytest.raises(StorageError, match="ended 1 byte before the end"):
        archived(stream)
