"""Relative paths of a spec, made absolute where a person wrote them."""

from pathlib import Path

import pytest

from relora_core.spec import with_absolute_paths


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the person is."""
    (tmp_path / "models/mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/person")
    return tmp_path


@pytest.mark.parametrize(
    ("written", "absolute"),
    [
        ("corpus/*.jsonl", "{folder}/corpus/*.jsonl"),
        ("file://corpus.txt", "file://{folder}/corpus.txt"),
        ("~/corpus.txt", "/home/person/corpus.txt"),
        (["a.txt", "/b.txt"], ["{folder}/a.txt", "/b.txt"]),
        ("file:///corpus.txt", "file:///corpus.txt"),
        ("hf://allenai/c4?config=en", "hf://allenai/c4?config=en"),
        ("s3://bucket/*.jsonl", "s3://bucket/*.jsonl"),
        ("upload://ds_1", "upload://ds_1"),
    ],
)
def test_data_is_named_from_the_current_folder_on(
    written: str | list[str], absolute: str | list[str], folder: Path
) -> None:
    expected = (
        absolute.format(folder=folder)
        if isinstance(absolute, str)
        else [uri.format(folder=folder) for uri in absolute]
    )
    for split in ("train", "validation"):
        data = {"data": {split: {"uri": written}, "sequence_length": 64}}
        assert with_absolute_paths(data) == {
            "data": {split: {"uri": expected}, "sequence_length": 64}
        }


@pytest.mark.parametrize(
    ("written", "absolute"),
    [
        ("models/mine", "{folder}/models/mine"),
        ("./not/there", "{folder}/not/there"),
        ("org/model", "org/model"),
        ("t5-base", "t5-base"),
        ("job://job_1/final", "job://job_1/final"),
    ],
)
@pytest.mark.parametrize(
    ("part", "field"),
    [("model", "pretrained"), ("tokenizer", "pretrained"), ("method", "warm_start_from")],
)
def test_a_model_is_a_folder_where_there_is_one(
    written: str, absolute: str, part: str, field: str, folder: Path
) -> None:
    spec = {part: {field: written}}
    assert with_absolute_paths(spec) == {part: {field: absolute.format(folder=folder)}}


@pytest.mark.parametrize("spec", [{}, {"data": 3}, {"data": {"train": None}}, {"model": {}}])
def test_what_is_no_spec_stays_as_it_is(spec: dict[str, object]) -> None:
    assert with_absolute_paths(spec) == spec


def test_a_uri_is_made_absolute_as_a_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "50% done"
    here.mkdir()
    monkeypatch.chdir(here)
    uri = "file://my%20corpus/100%25.txt"
    spec = {"data": {"train": {"uri": uri}}, "method": {"warm_start_from": uri}}
    absolute = f"file://{tmp_path}/50%25 done/my corpus/100%25.txt"
    assert with_absolute_paths(spec) == {
        "data": {"train": {"uri": absolute}},
        "method": {"warm_start_from": absolute},
    }


@pytest.mark.parametrize(
    ("written", "absolute"),
    [
        ("file://runs/1", "file://{folder}/runs/1"),
        ("file:///runs/1", "file:///runs/1"),
        ("s3://bucket/runs", "s3://bucket/runs"),
        ("runs/1", "runs/1"),  # no address of a storage: the service says so
    ],
)
def test_an_output_is_named_from_the_current_folder_on(
    written: str, absolute: str, folder: Path
) -> None:
    expected = {"output": {"uri": absolute.format(folder=folder)}}
    assert with_absolute_paths({"output": {"uri": written}}) == expected
