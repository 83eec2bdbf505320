import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict, disable_progress_bars

from relora_core.data.files import read_file
from relora_core.data.find import find_files
from relora_core.errors import DataError
from relora_core.spec.file_uris import file_uri


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
        ("table.xlsx", "known formats are txt, jsonl, json"),
        ("table.parquet.gz", "known formats are txt, jsonl, json"),
    ],
)
def test_what_cannot_be_found_or_read_is_said(tmp_path: Path, name: str, message: str) -> None:
    for existing in ("table.xlsx", "table.parquet.gz"):
        (tmp_path / existing).touch()
    with pytest.raises(DataError, match=message):
        find_files(f"{tmp_path}/{name}")


def test_a_missing_file_is_named_once_in_characters_that_can_be_stored(tmp_path: Path) -> None:
    missing = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl")  # Latin-1, not UTF-8
    with pytest.raises(DataError) as raised:
        find_files(missing)
    assert str(raised.value) == f"no file matches '{tmp_path}/caf\\udce9.jsonl'"
    assert str(raised.value).encode()


@pytest.mark.parametrize("name", ["train[1].jsonl", "a::b.jsonl", "what?.jsonl", "*.jsonl"])
def test_a_path_that_exists_is_no_pattern(tmp_path: Path, name: str) -> None:
    for existing in (name, "train1.jsonl"):
        (tmp_path / existing).touch()
    assert find_files(str(tmp_path / name)) == [tmp_path / name]


def test_a_folder_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.jsonl").touch()
    iterdir = Path.iterdir

    def closed(path: Path) -> Iterator[Path]:
        if path.name == "b":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", closed)
    for pattern in ("*/*.jsonl", "**/x*"):
        with pytest.raises(DataError, match=f"no access to {tmp_path}/b: Permission denied"):
            find_files(f"{tmp_path}/{pattern}")


def test_a_path_that_no_file_can_have_is_no_outage(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "ring").symlink_to("ring")
    for name in ("x" * 300, "file/x.jsonl", "ring/x.jsonl"):
        with pytest.raises(DataError) as failed:
            find_files(f"{tmp_path}/{name}")
        assert not failed.value.retryable, name


def test_a_link_to_nothing_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "1.jsonl").touch()
    (tmp_path / "9.jsonl").symlink_to("/nope")
    for name in ("*.jsonl", "9.jsonl"):
        with pytest.raises(DataError, match=r"9\.jsonl is a link to /nope, which is not there"):
            find_files(f"{tmp_path}/{name}")


def test_linked_folders_are_searched_once_round(tmp_path: Path) -> None:
    data, other = tmp_path / "data", tmp_path / "other"
    for folder in (data, other):
        folder.mkdir()
        (folder / "x.jsonl").touch()
    (data / "linked").symlink_to(other)
    (other / "back").symlink_to(data)
    found = [str(file.relative_to(data)) for file in find_files(f"{data}/**/*.jsonl")]
    assert found == ["linked/x.jsonl", "x.jsonl"]


def test_a_folder_that_datasets_saved_is_read(tmp_path: Path) -> None:
    disable_progress_bars()
    texts = [f"text {number}" for number in range(10)]
    saved = Dataset.from_dict({"text": texts, "n": list(range(10))}).select(range(1, 9))
    saved.save_to_disk(tmp_path / "saved", num_shards=2)
    files = find_files(f"file://{tmp_path}/saved")
    assert [row for file in files for row in read_file(file, text_field="text")] == texts[1:9]


def test_the_splits_of_a_saved_folder_are_named(tmp_path: Path) -> None:
    disable_progress_bars()
    DatasetDict(train=Dataset.from_dict({"text": ["a"]})).save_to_disk(tmp_path / "saved")
    with pytest.raises(
        DataError, match=f"several splits; name one of them: {tmp_path}/saved/train"
    ):
        find_files(str(tmp_path / "saved"))
    assert len(find_files(str(tmp_path / "saved" / "train"))) == 1


NAMES = ["my corpus", "a#b", "what?", "100%", "a%20b", "run[1]", "Größe", "语料"]


@pytest.mark.parametrize("name", NAMES)
def test_whatever_a_folder_is_called_its_path_and_its_uri_name_its_files(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    files = [folder / "a 1.jsonl", folder / "b.jsonl"]
    for file in files:
        file.touch()
    for begin in (str(folder), file_uri(str(folder)), folder.as_uri()):
        assert find_files(f"{begin}/*.jsonl") == files
        assert find_files(f"{begin}/b.jsonl") == files[1:]
    assert find_files(files[0].as_uri()) == files[:1]


def test_a_uri_that_once_named_a_file_by_its_escapes_still_does(tmp_path: Path) -> None:
    (tmp_path / "a%20b.jsonl").touch()
    uri = f"file://{tmp_path}/a%20b.jsonl"
    assert find_files(uri) == [tmp_path / "a%20b.jsonl"]
    (tmp_path / "a b.jsonl").touch()
    assert find_files(uri) == [tmp_path / "a b.jsonl"]
