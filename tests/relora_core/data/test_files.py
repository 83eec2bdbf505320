import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from relora_core.data.files import find_files, read_file
from relora_core.data.rows import BadRow, Row
from relora_core.errors import DataError

LINES = b'{"text": "one"}\n\n{"text": "two"}\r\n{"text": "three"}'


def compress(content: bytes, suffix: str) -> bytes:
    match suffix:
        case ".gz":
            return gzip.compress(content)
        case ".zst":
            return zstandard.compress(content)
        case _:
            return content


def read(file: Path) -> list[Row]:
    return list(read_file(file, text_field="text"))


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", [".jsonl", ".json"])
def test_each_line_of_json_is_a_document(tmp_path: Path, kind: str, suffix: str) -> None:
    file = tmp_path / f"part.00001-of-00002{kind}{suffix}"
    file.write_bytes(compress(LINES, suffix))
    assert read(file) == ["one", "two", "three"]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_text_file_is_one_document(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"book.txt{suffix}"
    file.write_bytes(compress("Kapitel Eins\n\nÄpfel\n".encode(), suffix))
    assert read(file) == ["Kapitel Eins\n\nÄpfel\n"]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_the_bytes_of_a_file_are_counted_as_they_lie_there(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"rows.jsonl{suffix}"
    file.write_bytes(compress(b'{"text": "one"}\n' * 200_000, suffix))
    counts: list[int] = []
    rows = read_file(file, text_field="text", count=counts.append)
    assert len(list(rows)) == 200_000
    assert sum(counts) == file.stat().st_size


def test_lines_longer_than_a_chunk_are_whole(tmp_path: Path) -> None:
    file = tmp_path / "long.jsonl"
    file.write_text(f'{{"text": "{"a" * 3_000_000}"}}\n{{"text": "b"}}\n')
    assert [len(row) for row in read(file) if isinstance(row, str)] == [3_000_000, 1]


@pytest.mark.parametrize("compressor", [gzip.compress, zstandard.compress])
def test_files_joined_after_compression_are_read_to_the_end(
    tmp_path: Path, compressor: Callable[[bytes], bytes]
) -> None:
    suffix = ".gz" if compressor is gzip.compress else ".zst"
    file = tmp_path / f"joined.jsonl{suffix}"
    file.write_bytes(compressor(b'{"text": "one"}\n') + compressor(b'{"text": "two"}\n'))
    assert read(file) == ["one", "two"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{broken", "is not JSON: Expecting property name"),
        (b'{"text": "\xff"}', "is not JSON: 'utf-8' codec can't decode"),
        (b'["one"]', "is not an object with fields"),
        (b'{"body": "one", "url": 1}', "has no field 'text'; it has: body, url"),
        (b'{"text": 7}', "field 'text' is int, not text"),
        (b'{"text": "\\ud800"}', "field 'text' is not valid Unicode"),
    ],
)
def test_a_bad_line_is_named_with_its_reason(tmp_path: Path, line: bytes, reason: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(b'{"text": "one"}\n' + line + b'\n{"text": "three"}\n')
    first, bad, third = read(file)
    assert (first, third) == ("one", "three")
    assert isinstance(bad, BadRow)
    assert bad.where == f"{file}:2"
    assert bad.reason.startswith(reason)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.txt"])
def test_a_file_that_breaks_off_ends_with_a_bad_row(tmp_path: Path, name: str, suffix: str) -> None:
    file = tmp_path / f"{name}{suffix}"
    file.write_bytes(compress(b'{"text": "one"}\n' * 1000, suffix)[:-4])
    last = read(file)[-1]
    assert isinstance(last, BadRow)
    assert last.where == str(file)
    assert last.reason.startswith("cannot be read to its end: ")


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_is_not_compressed_as_it_says_is_a_bad_row(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"rows.jsonl{suffix}"
    file.write_bytes(LINES)
    (bad,) = read(file)
    assert isinstance(bad, BadRow)


def test_a_text_file_in_another_encoding_is_a_bad_row(tmp_path: Path) -> None:
    file = tmp_path / "old.txt"
    file.write_bytes("Äpfel".encode("latin-1"))
    assert read(file) == [
        BadRow(str(file), "is not UTF-8 text: invalid continuation byte at byte 0")
    ]


def test_a_pattern_finds_its_files_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("b.jsonl", "a.jsonl.gz", "deep/c.jsonl", "notes.md"):
        (tmp_path / name).touch()
    assert [file.name for file in find_files(f"{tmp_path}/*.jsonl*")] == ["a.jsonl.gz", "b.jsonl"]
    assert [file.name for file in find_files(f"file://{tmp_path}/**/c*")] == ["c.jsonl"]


def test_a_path_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a[1].jsonl").touch()
    monkeypatch.chdir(tmp_path)
    assert find_files("a[1].jsonl") == [tmp_path / "a[1].jsonl"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.jsonl", "no file matches"),
        ("*.jsonl.gz", "no file matches"),
        ("", "is a folder; name its files, e.g. "),
        ("table.csv", "known formats are txt, jsonl, json"),
        ("table.parquet.gz", "known formats are txt, jsonl, json"),
    ],
)
def test_what_cannot_be_found_or_read_is_said(tmp_path: Path, name: str, message: str) -> None:
    for existing in ("table.csv", "table.parquet.gz"):
        (tmp_path / existing).touch()
    with pytest.raises(DataError, match=message):
        find_files(f"{tmp_path}/{name}")
