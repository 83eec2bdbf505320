"""How often a run reads its data, guessed from the sizes of its files."""

from pathlib import Path
from typing import Any

import pytest

from relora_core.data.epochs import PlannedSource, Size, many_epochs, planned_sources
from relora_core.spec import TrainSpec

STEPS, TOKENS_PER_STEP = 100, 8 * 50  # 40,000 tokens


def spec_reading(uri: str | list[str], **parts: Any) -> TrainSpec:
    document: dict[str, Any] = {
        "model": {"preset": "llama_9m"},
        "data": {"train": {"uri": uri}, "sequence_length": 50},
        "training": {"steps": STEPS, "global_batch_size": 8},
    }
    return TrainSpec.model_validate({**document, **parts})


def guessed_epochs(spec: TrainSpec, uploads: dict[str, Size]) -> float | None:
    [source] = planned_sources(spec, uploads)
    assert (source.name, source.tokens) == ("", STEPS * TOKENS_PER_STEP)
    return source.epochs


def file_of(folder: Path, name: str, size: int) -> str:
    (folder / name).write_bytes(b"x" * size)
    return str(folder / name)


@pytest.mark.parametrize(
    ("name", "size"),
    [("text.txt", 16_000), ("rows.csv", 16_000), ("rows.jsonl.gz", 5_334)],
)
def test_epochs_are_guessed_from_the_size_of_a_text(tmp_path: Path, name: str, size: int) -> None:
    epochs = guessed_epochs(spec_reading(file_of(tmp_path, name, size)), uploads={})
    assert epochs == pytest.approx(10, rel=1e-3)  # 4,000 tokens of four bytes


def test_token_ids_are_counted(tmp_path: Path) -> None:
    uri = file_of(tmp_path, "ids.bin", 8_000)
    tokenizer = {"eos_token_id": 0}
    assert guessed_epochs(spec_reading(uri, tokenizer=tokenizer), uploads={}) == 10


def test_files_of_one_source_and_uploads_add_up(tmp_path: Path) -> None:
    uri = file_of(tmp_path, "text.txt", 8_000)
    uploads = {"upload://ds_1": Size("more.txt", 8_000)}
    assert guessed_epochs(spec_reading([uri, "upload://ds_1"]), uploads) == 10


@pytest.mark.parametrize(
    "uri", ["hf://owner/name", "s3://bucket/a.jsonl", "/nowhere/a.txt", "/data/*.txt", "/\x00"]
)
def test_where_a_size_is_not_known_there_is_no_guess(tmp_path: Path, uri: str) -> None:
    known = file_of(tmp_path, "text.txt", 8_000)
    assert guessed_epochs(spec_reading([known, uri]), uploads={}) is None


def test_empty_files_and_tables_give_no_guess(tmp_path: Path) -> None:
    for name, size in (("empty.txt", 0), ("rows.parquet", 8_000)):
        assert guessed_epochs(spec_reading(file_of(tmp_path, name, size)), uploads={}) is None


def test_many_epochs_of_text_are_a_warning_with_their_number() -> None:
    [warning] = many_epochs([PlannedSource("", 10, 30.4)], "tokens")
    assert str(warning) == (
        "training reads its data for about 30 epochs; after 4, repeated text teaches a language "
        "model less and less: take fewer steps, or more data"
    )


@pytest.mark.parametrize(("epochs", "unit"), [(4.0, "tokens"), (None, "tokens"), (300.0, "images")])
def test_few_epochs_and_those_of_images_are_no_warning(epochs: float | None, unit: Any) -> None:
    assert not list(many_epochs([PlannedSource("", 10, epochs)], unit))


def test_each_source_of_a_mixture_has_its_share_of_each_stage(tmp_path: Path) -> None:
    sources = [
        {"uri": file_of(tmp_path, "a.txt", 40_000), "name": "web", "weight": 3},
        {"uri": file_of(tmp_path, "b.txt", 4_000), "name": "books"},
        {"uri": "hf://owner/name", "name": "code", "weight": 0},
    ]
    stages = [{"from_step": 60, "weights": {"books": 1, "code": 1}}]
    data = {"train": sources, "stages": stages, "sequence_length": 50}
    planned = planned_sources(spec_reading("unused", data=data), uploads={})
    assert planned == [
        PlannedSource("web", 45 * TOKENS_PER_STEP, 1.8),
        PlannedSource("books", 35 * TOKENS_PER_STEP, 14),
        PlannedSource("code", 20 * TOKENS_PER_STEP, None),
    ]
    [warning] = many_epochs(planned, "tokens")
    assert "training reads the source books for about 14 epochs" in str(warning)
