import json
from pathlib import Path

import pytest
from datasets import disable_progress_bars

from relora_core.data.hub import HubDataset, parse_hub_uri, read_hub_dataset
from relora_core.data.rows import BadRow
from relora_core.errors import DataError


@pytest.fixture
def dataset_folder(tmp_path: Path) -> Path:
    """A dataset as it lies on the Hub: a folder with a file for each split."""
    folder = tmp_path / "letters"
    folder.mkdir()
    for split, texts in {"train": "abc", "test": "z"}.items():
        rows = [json.dumps({"text": text, "length": 1}) for text in texts]
        (folder / f"{split}.jsonl").write_text("\n".join(rows))
    return folder


def test_a_uri_names_a_dataset_and_its_part() -> None:
    assert parse_hub_uri("hf://allenai/c4?config=en&split=validation&revision=1588ec4") == (
        HubDataset("allenai/c4", config="en", split="validation", revision="1588ec4")
    )
    assert parse_hub_uri("hf://roneneldan/TinyStories") == (
        HubDataset("roneneldan/TinyStories", config=None, split="train", revision=None)
    )


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(
        DataError, match="asks for name, subset; known are config, split, revision, streaming"
    ):
        parse_hub_uri("hf://allenai/c4?subset=en&name=en")


def test_a_dataset_is_streamed_by_split(dataset_folder: Path) -> None:
    dataset = HubDataset(str(dataset_folder), split="test")
    assert list(read_hub_dataset(dataset, text_field="text")) == ["z"]


def test_a_dataset_that_does_not_stream_gives_the_same_rows_from_a_mapped_copy(
    dataset_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disable_progress_bars()
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")
    uri = f"hf://{dataset_folder}?split=train"
    whole = parse_hub_uri(f"{uri}&streaming=false")
    assert (whole.streaming, parse_hub_uri(uri).streaming) == (False, True)
    assert list(read_hub_dataset(whole, text_field="text")) == ["a", "b", "c"]
    assert list((tmp_path / "datasets").rglob("*.arrow"))
    bad, *_ = read_hub_dataset(whole, text_field="body")
    assert bad == BadRow(f"{dataset_folder}:1", "has no field 'body'; it has: text, length")


def test_streaming_is_true_or_false() -> None:
    with pytest.raises(DataError, match="streaming is true or false, not 'no'"):
        parse_hub_uri("hf://a/b?streaming=no")


def test_rows_without_the_field_are_bad(dataset_folder: Path) -> None:
    rows = list(read_hub_dataset(HubDataset(str(dataset_folder)), text_field="body"))
    reason = "has no field 'body'; it has: text, length"
    assert rows == [BadRow(f"{dataset_folder}:{number}", reason) for number in (1, 2, 3)]


@pytest.mark.parametrize("query", ["split=nope", "config=nope"])
def test_a_part_that_is_not_there_is_said(dataset_folder: Path, query: str) -> None:
    dataset = parse_hub_uri(f"hf://{dataset_folder}?{query}")
    with pytest.raises(DataError, match=r"cannot read the dataset .*letters.*nope"):
        list(read_hub_dataset(dataset, text_field="text"))
