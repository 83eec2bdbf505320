from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from relora_core.data.order import Mixture
from relora_core.data.prepare import prepare
from relora_core.data.shards import TokenShards
from relora_core.data.tokenizer import TokenIds, Tokenization
from relora_core.errors import DataError
from relora_core.events import DataPrepared, Event
from relora_core.spec import EvaluationSpec, Source, TrainSpec
from tests.fixtures.forking import FORKING, preload
from tests.relora_core.processes import LONGEST_RUN

preload("relora_core.data.prepare")

WriteRows = Callable[[str, Iterable[object]], Path]
SHIPPED = Path(__file__).parents[3] / "examples" / "data" / "kjv.jsonl.gz"


def make_spec(uri: object, **data: object) -> TrainSpec:
    return TrainSpec.model_validate(
        {
            "model": {"preset": "llama_9m"},
            "tokenizer": {"train": {"vocab_size": 300}},
            "data": {
                "train": {"uri": str(uri)},
                "validation": {"fraction": 0.2},
                "sequence_length": 16,
                **data,
            },
            "training": {"steps": 10, "global_batch_size": 4},
        }
    )


@dataclass(frozen=True)
class OneSource:
    """The prepared data of a run that mixes no sources."""

    tokenizer: Tokenization
    train: TokenShards
    validation: TokenShards


def run(spec: TrainSpec, cache: Path) -> tuple[OneSource, list[DataPrepared]]:
    events: list[Event] = []
    data = prepare(spec, cache=cache, emit=events.append)
    assert isinstance(data.train, TokenShards)
    [validation] = data.validation
    prepared = [event for event in events if isinstance(event, DataPrepared)]
    return OneSource(data.tokenizer, data.train, validation.dataset), prepared


@pytest.fixture
def file(write_rows: WriteRows) -> Path:
    return write_rows("rows.jsonl", [f"document number {i} of the pile" for i in range(100)])


def test_both_splits_are_mapped_and_reported(file: Path, tmp_path: Path) -> None:
    data, (train, validation) = run(make_spec(file), tmp_path / "cache")
    assert (train.split, validation.split) == ("train", "validation")
    assert train.documents + validation.documents == 100
    assert (train.tokens, validation.tokens) == (data.train.num_tokens, data.validation.num_tokens)
    assert 10 < data.validation.num_documents < 30
    assert not isinstance(data.tokenizer, TokenIds)
    assert data.train.vocab_size == len(data.tokenizer) == 300
    assert data.train.sequence_length == 16


def test_the_second_run_finds_it_all_and_reports_the_same(file: Path, tmp_path: Path) -> None:
    def numbers(events: list[DataPrepared]) -> list[dict[str, object]]:
        return [event.model_dump(exclude={"time", "reused"}) for event in events]

    _, first = run(make_spec(file), tmp_path / "cache")
    _, again = run(make_spec(file), tmp_path / "cache")
    assert [event.reused for event in (*first, *again)] == [False, False, True, True]
    assert numbers(again) == numbers(first)


def test_the_sequence_length_may_change_without_packing_again(file: Path, tmp_path: Path) -> None:
    run(make_spec(file), tmp_path / "cache")
    data, events = run(make_spec(file, sequence_length=8), tmp_path / "cache")
    assert all(event.reused for event in events)
    assert data.train.sequence_length == 8


def test_validation_may_be_a_source_of_its_own(
    file: Path, write_rows: WriteRows, tmp_path: Path
) -> None:
    other = write_rows("other.jsonl", ["words held apart " * 9, {}])
    spec = make_spec(file, validation={"uri": str(other)}, max_bad_rows=0.5)
    data, (train, validation) = run(spec, tmp_path / "cache")
    assert (train.documents, validation.documents) == (100, 1)
    assert (train.bad_rows, validation.bad_rows) == (0, 1)
    assert validation.examples == [f"{other}:2: has no field 'text'; it has: "]
    assert data.train.vocab_size == data.validation.vocab_size


def test_a_remote_source_is_read_from_its_local_copy(file: Path, tmp_path: Path) -> None:
    spec = make_spec("s3://bucket/rows.jsonl", validation={"uri": "s3://bucket/held.jsonl"})
    staged = {"s3://bucket/rows.jsonl": str(file), "s3://bucket/held.jsonl": f"file://{file}"}
    data = prepare(spec, cache=tmp_path / "cache", emit=lambda _: None, staged=staged)
    assert isinstance(data.train, TokenShards)
    parts = data.train, data.validation[0].dataset
    assert [part.num_documents for part in parts] == [100, 100]


def test_bad_rows_within_the_allowed_share_are_reported(
    write_rows: WriteRows, tmp_path: Path
) -> None:
    file = write_rows("rows.jsonl", [7, *(f"document number {i} of 99" for i in range(99))])
    _, (train, validation) = run(make_spec(file, max_bad_rows=0.01), tmp_path / "cache")
    assert (train.bad_rows, validation.bad_rows) == (1, 0)
    assert train.examples == [f"{file}:1: is not an object with fields"]


def test_more_bad_rows_fail_with_counts_and_examples(file: Path, tmp_path: Path) -> None:
    with file.open("a") as stream:
        stream.write("{broken\n" * 5)
    with pytest.raises(DataError) as caught:
        run(make_spec(file), tmp_path / "cache")
    message = str(caught.value)
    assert message.startswith(
        f"5 of 105 rows of {file} cannot be read, more than the share of 0.01"
    )
    assert message.count("is not JSON") == 3
    assert f"{file}:101" in message


@pytest.mark.parametrize(
    ("rows", "data", "message"),
    [
        ([], {}, "the train data is too small: 0 tokens in 0 documents make 0 sequences of 16"),
        (
            ["short"] * 3,
            {"validation": {"fraction": 0.0001}, "sequence_length": 4},
            r"the train data is too small: \d+ tokens in 3 documents make 1 sequence of 4, and 4 "
            "are needed; add data, or lower training.global_batch_size or data.sequence_length",
        ),
        (["same text"] * 100, {"validation": {"fraction": 0.9999}}, "the train data is too small"),
    ],
)
def test_too_little_data_is_refused_with_numbers_and_advice(
    write_rows: WriteRows,
    tmp_path: Path,
    rows: list[object],
    data: dict[str, object],
    message: str,
) -> None:
    file = write_rows("rows.jsonl", rows)
    with pytest.raises(DataError, match=message):
        run(make_spec(file, **data), tmp_path / "cache")


def mixture(write_rows: WriteRows, *sources: dict[str, object], **data: object) -> TrainSpec:
    """Mix one source with a file of its own for each of `sources`, which are its fields."""
    written = []
    for number, fields in enumerate(sources):
        rows = [f"document {i} of pile {number}" for i in range(100)]
        file = write_rows(f"{number}.jsonl", rows)
        written.append({"uri": str(file), "name": f"pile-{number}", **fields})
    return make_spec("unused", train=written, **data)


def test_the_sources_of_a_mixture_are_split_and_named_each(
    write_rows: WriteRows, tmp_path: Path
) -> None:
    spec = mixture(write_rows, {"weight": 3}, {"weight": 1})
    events: list[Event] = []
    data = prepare(spec, cache=tmp_path / "cache", emit=events.append)
    told = [(event.split, event.source) for event in events if isinstance(event, DataPrepared)]
    names = ["pile-0", "pile-1"]
    assert told == [(split, name) for name in names for split in ("train", "validation")]
    assert isinstance(data.train, Mixture)
    assert list(data.train.parts) == [part.name for part in data.validation] == names
    assert [part.weight for part in data.validation] == [0.75, 0.25]
    assert {"train.pile-0", "train.pile-1", "validation.pile-1"} < data.fingerprints.keys()


def test_the_tokenizer_learns_from_every_source(
    write_rows: WriteRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much text the first has."""
    monkeypatch.setattr("relora_core.data.tokenizer.TRAINING_CHARACTERS", 4000)
    first = write_rows("first.jsonl", ["quixotic zebras " * 100] * 100)
    second = write_rows("second.jsonl", ["marmalade " * 30] * 100)
    train = [{"uri": str(file), "name": file.stem} for file in (first, second)]
    data = prepare(make_spec("unused", train=train), cache=tmp_path / "c", emit=lambda _: None)
    assert not isinstance(data.tokenizer, TokenIds)
    assert len(data.tokenizer.tokenize(" marmalade")) == 1


def test_a_source_that_ends_is_refused_if_it_may_not_be_repeated(
    write_rows: WriteRows, tmp_path: Path
) -> None:
    message = r"would read \d+.* of the source pile-1, and its max_epochs is 0.1; lower its weight"
    with pytest.raises(DataError, match=message):
        prepare(
            mixture(write_rows, {}, {"max_epochs": 0.1}),
            cache=tmp_path / "cache",
            emit=lambda _: None,
        )


def test_further_sets_are_read_whole_and_count_in_no_other_score(
    file: Path, write_rows: WriteRows, tmp_path: Path
) -> None:
    other = write_rows("other.jsonl", ["words held apart " * 9])
    spec = make_spec(file).model_copy(
        update={"evaluation": EvaluationSpec(sets={"apart": Source(uri=str(other))})}
    )
    data = prepare(spec, cache=tmp_path / "cache", emit=lambda _: None)
    assert [(part.name, part.weight) for part in data.validation] == [(None, 1.0), ("apart", 0.0)]
    assert data.validation[1].dataset.num_documents == 1


@pytest.mark.parametrize("seed", range(4))
def test_a_single_text_is_split_by_tokens(tmp_path: Path, seed: int) -> None:
    """Its hash puts it on one side or the other, whatever the fraction."""
    words = [f"word {seed} {number}" for number in range(500)]
    file = tmp_path / "book.txt"
    file.write_text(" ".join(words))
    data, (train, validation) = run(make_spec(file, validation={"fraction": 0.5}), tmp_path / "c")
    assert (train.split_by, validation.split_by) == ("tokens", "tokens")
    assert abs(len(data.train) - len(data.validation)) <= 1
    assert not isinstance(data.tokenizer, TokenIds)
    last = data.tokenizer.decode(data.validation.sequences(np.array([len(data.validation) - 1]))[0])
    assert str(last).endswith(f"{words[-1]}<|endoftext|>")
    assert str(validation).endswith(" tokens, split by tokens")


def test_few_documents_are_split_by_tokens_at_any_fraction(
    write_rows: WriteRows, tmp_path: Path
) -> None:
    file = write_rows("rows.jsonl", ["a document of the pile"] * 100)
    spec = make_spec(file, validation={"fraction": 0.0001})
    data, (train, validation) = run(spec, tmp_path / "cache")
    assert (len(data.validation), validation.tokens) == (1, 17)
    assert train.split_by == validation.split_by == "tokens"


@pytest.mark.slow
def test_the_shipped_text_is_ready_for_a_run(tmp_path: Path) -> None:
    data, (train, validation) = run(make_spec(SHIPPED), tmp_path)
    assert train.documents + validation.documents == 1189
    assert (train.bad_rows, train.examples) == (0, [])
    assert not isinstance(data.tokenizer, TokenIds)
    assert "the LORD" in data.tokenizer.decode(data.train.sequences(np.arange(2000)).flatten())


@pytest.mark.slow
@pytest.mark.integration
def test_two_processes_at_once_do_the_work_once(file: Path, tmp_path: Path) -> None:
    spec = make_spec(file)
    with ProcessPoolExecutor(2, mp_context=FORKING, max_tasks_per_child=1) as pool:
        runs = [pool.submit(what_is_reused, spec, tmp_path / "cache") for _ in range(2)]
        reused = [split for run in runs for split in run.result(timeout=LONGEST_RUN)]
    assert sorted(reused) == [False, False, True, True]


def what_is_reused(spec: TrainSpec, cache: Path) -> list[bool]:
    _, events = run(spec, cache)
    return [event.reused for event in events]
