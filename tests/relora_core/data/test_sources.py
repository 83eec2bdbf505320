from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from relora_core.data.sources import Tally, documents, fingerprint, token_source_files
from relora_core.errors import DataError
from relora_core.spec import DataSpec, Source

WriteRows = Callable[[str, Iterable[object]], Path]


def test_documents_come_file_by_file_and_bad_rows_are_counted(
    write_rows: WriteRows, tmp_path: Path
) -> None:
    write_rows("2.jsonl", ["c", 7])
    bad = write_rows("1.jsonl", ["a", {}, "", [], "b", {"text": 1}])
    tally = Tally()
    source = Source(uri=f"{tmp_path}/*.jsonl")
    assert list(documents(source, tally)) == ["a", "b", "c"]
    assert (tally.rows, tally.bad_rows) == (8, 4)
    assert [example.partition(": ")[0] for example in tally.examples] == [
        f"{bad}:2",
        f"{bad}:4",
        f"{bad}:6",
    ]


def test_a_wrong_field_is_noticed_long_before_the_end(write_rows: WriteRows) -> None:
    file = write_rows("rows.jsonl", ({"content": "a"} for _ in range(2000)))
    tally = Tally()
    with pytest.raises(DataError, match=r"none of the first 1000 rows .* it has: content"):
        list(documents(Source(uri=str(file)), tally))
    assert tally.rows == 1000


def test_s3_is_left_to_the_worker(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the trainer does not reach 's3://"):
        fingerprint(Source(uri="s3://bucket/*.jsonl"), cache=tmp_path)


def test_the_fingerprint_follows_the_content_not_the_place(
    write_rows: WriteRows, tmp_path: Path
) -> None:
    def name(file: Path, text_field: str = "text") -> str:
        return fingerprint(Source(uri=str(file), text_field=text_field), cache=tmp_path / "cache")

    first = write_rows("first.jsonl", ["a", "b"])
    same = write_rows("same.jsonl", ["a", "b"])
    other = write_rows("other.jsonl", ["a", "c"])
    before = name(first)
    assert name(same) == before
    assert name(other) != before
    assert name(first, text_field="body") != before
    write_rows("first.jsonl", ["a", "b", "c"])
    assert name(first) != before


def test_the_fingerprint_of_a_dataset_is_its_name_and_part(tmp_path: Path) -> None:
    uris = ["hf://a/b", "hf://a/b?split=test", "hf://a/b?revision=1", "hf://a/b?config=en"]
    names = {fingerprint(Source(uri=uri), cache=tmp_path) for uri in uris}
    assert len(names) == 4
    for same in ("hf://a/b?split=train", "hf://a/b?streaming=false"):
        assert fingerprint(Source(uri=same), cache=tmp_path) in names


def test_a_list_of_places_is_one_source_in_its_order(write_rows: WriteRows, tmp_path: Path) -> None:
    uris = tuple(str(write_rows(name, [name])) for name in ("b.jsonl", "a.jsonl"))
    source = Source(uri=uris)
    tally = Tally()
    assert list(documents(source, tally)) == ["b.jsonl", "a.jsonl"]
    names = {fingerprint(Source(uri=uri), cache=tmp_path / "c") for uri in (uris, uris[::-1])}
    assert len(names) == 2
    assert fingerprint(Source(uri=uris[:1]), cache=tmp_path) == fingerprint(
        Source(uri=uris[0]), cache=tmp_path
    )


def test_each_place_of_a_list_is_checked(write_rows: WriteRows, tmp_path: Path) -> None:
    file = str(write_rows("a.jsonl", ["a"]))
    with pytest.raises(DataError, match="the trainer does not reach 's3://b/x"):
        list(documents(Source(uri=(file, "s3://b/x.jsonl")), Tally()))
    (tmp_path / "b.bin").write_bytes(b"12")
    with pytest.raises(DataError, match="matches both text and token ids"):
        token_source_files(Source(uri=(file, str(tmp_path / "b.bin"))))
    with pytest.raises(ValueError, match="cannot read 'ftp://x'"):
        Source(uri=(file, "ftp://x"))


def test_a_list_in_place_of_a_source_is_told_where_it_belongs() -> None:
    with pytest.raises(ValueError, match=r"write \{uri: \[\.\.\.\]\}"):
        DataSpec.model_validate({"train": ["a.jsonl", "b.jsonl"]})
