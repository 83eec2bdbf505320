import gzip
import json
import os
import time
from collections.abc import Callable, Iterator
from errno import EIO
from pathlib import Path

import pytest
import zstandard

from relora_core.data import content
from relora_core.data.files import read_file
from relora_core.data.rows import BadRow, Row
from relora_core.data.sources import Tally, documents
from relora_core.errors import DataError, DataUnavailable
from relora_core.spec import Source

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
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.txt", "rows.csv"])
def test_a_file_that_is_cut_is_an_error_that_names_it(
    tmp_path: Path, name: str, suffix: str
) -> None:
    file = tmp_path / f"{name}{suffix}"
    file.write_bytes(compress(b'{"text": "one"}\n' * 1000, suffix)[:-4])
    with pytest.raises(DataError, match=f"{file} is cut short or damaged: ") as caught:
        read(file)
    assert not caught.value.retryable


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_is_not_compressed_as_it_says_is_an_error(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"rows.jsonl{suffix}"
    file.write_bytes(LINES)
    with pytest.raises(DataError, match="is cut short or damaged"):
        read(file)


def test_an_error_of_the_disk_may_pass_and_is_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> Iterator[bytes]:
        yield LINES
        raise OSError(EIO, "Input/output error")

    file = tmp_path / "rows.jsonl"
    file.write_bytes(LINES)
    monkeypatch.setattr(content, "_read_on", fail)
    with pytest.raises(DataUnavailable, match=f"cannot read {file} at the moment"):
        read(file)


@pytest.mark.parametrize("window", [28, 31])
def test_a_zstandard_file_with_a_long_window_is_read(tmp_path: Path, window: int) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=window)
    frame = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    file = tmp_path / "rows.jsonl.zst"
    file.write_bytes(frame.compress(LINES) + frame.flush())
    assert read(file) == ["one", "two", "three"]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("kind", [".txt", ".jsonl", ".json"])
def test_a_bomb_is_refused_before_it_fills_the_memory(
    tmp_path: Path, kind: str, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "DOCUMENT_BYTES", 3_000_000)
    file = tmp_path / f"bomb{kind}{suffix}"
    file.write_bytes(compress(b" " * 20_000_000, suffix))
    read_bytes: list[int] = []
    with pytest.raises(DataError, match=r"bomb.* is longer than 3 MB"):
        list(read_file(file, text_field="text", count=read_bytes.append))


def test_a_long_line_is_read_in_linear_time(tmp_path: Path) -> None:
    """Joined anew for each chunk, this line would be copied for 20 GB."""
    file = tmp_path / "long.jsonl"
    with file.open("wb") as stream:
        stream.write(b'{"text": "')
        stream.writelines(b"a" * 2**20 for _ in range(200))
        stream.write(b'"}')
    begun = time.process_time()
    assert len(read(file)[0]) == 200 * 2**20  # type: ignore[arg-type]
    assert time.process_time() - begun < 4


def test_a_json_array_in_one_line_is_read_in_linear_time(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    item = b'{"text": "' + b"a" * 2**20 + b'"}'
    with file.open("wb") as stream:
        stream.write(b"[" + item)
        stream.writelines(b"," + item for _ in range(99))
        stream.write(b"]")
    begun = time.process_time()
    assert [len(text) for text in read(file)] == [2**20] * 100  # type: ignore[arg-type]
    assert time.process_time() - begun < 4


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl"])
def test_each_item_of_a_json_array_is_a_document(
    tmp_path: Path, name: str, indent: int | None
) -> None:
    texts = ["ä [quoted] \\ text", "x" * 3_000_000, *map(str, range(30_000))]
    file = tmp_path / name
    file.write_text("\n" + json.dumps([{"text": text} for text in texts], indent=indent))
    assert read(file) == texts


def test_a_bad_item_of_a_json_array_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_bytes(b'[{"text": "a"}, 12, {"text": "\xff"}, {"text": "b"},]')
    first, number, not_unicode, last = read(file)
    assert (first, last) == ("a", "b")
    assert str(number) == f"{file}, item 2: is not an object with fields"
    assert str(not_unicode) == f"{file}, item 3: field 'text' is not valid Unicode"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b'[{"text": "a"}', "after an item comes a comma or the closing bracket"),
        (b'[{"text": "a"} {"text": "b"}]', "after an item comes a comma"),
        (b'[{"text": "a"}]\n{"text": "b"}', "something follows the closing bracket"),
        (b'[{"text": "a', "Unterminated string"),
        (b'[{text: "a"}' + b" " * 99, "Expecting property name"),
        (b"[" * 100_000, "it is nested too deeply"),
    ],
)
def test_a_broken_json_array_is_an_error_with_its_place(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    file = tmp_path / "rows.json"
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"{file} is not a JSON array at character .*{reason}"):
        read(file)


@pytest.mark.parametrize("name", ["rows.txt", "rows.jsonl", "rows.json", "rows.csv"])
def test_a_byte_order_mark_is_no_text(tmp_path: Path, name: str) -> None:
    forms = {"rows.txt": "one", "rows.jsonl": '{"text": "one"}', "rows.csv": "text\none"}
    file = tmp_path / name
    file.write_text(forms.get(name, '[{"text": "one"}]'), encoding="utf-8-sig")
    assert read(file) == ["one"]


def test_deep_nesting_and_odd_names_are_bad_rows(tmp_path: Path) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl"))
    lines = ['{"text": "a", "x": ' + "[" * 100_000 + "]" * 100_000 + "}", '{"\\ud83d": "x"}']
    file.write_text("\n".join([*lines, '{"text": "last"}']))
    tally = Tally()
    assert list(documents(Source(uri=f"{tmp_path}/*.jsonl"), tally)) == ["last"]
    assert tally.examples == [
        f"{tmp_path}/caf\\udce9.jsonl:1: is nested too deeply",
        f"{tmp_path}/caf\\udce9.jsonl:2: has no field 'text'; it has: \\ud83d",
    ]


def test_a_text_file_in_another_encoding_is_a_bad_row(tmp_path: Path) -> None:
    file = tmp_path / "old.txt"
    file.write_bytes("Äpfel".encode("latin-1"))
    assert read(file) == [
        BadRow(str(file), "is not UTF-8 text: invalid continuation byte at byte 0")
    ]
