"""A run goes on with its own spec and its own data, or says what is another."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from relora_core.checkpoint.checkpointer import read_checkpoint
from relora_core.checkpoint.compatibility import Identity
from relora_core.checkpoint.manifest import write_manifest
from relora_core.errors import CheckpointError
from relora_core.events import StepFinished, TrainStarted
from relora_core.spec import TrainSpec
from relora_core.state import Counters
from relora_core.training.train import train
from tests.relora_core.conftest import MakeSpec, Recorder
from tests.relora_core.processes import assert_same_tensors

SAVED = Path(__file__).parent / "saved" / "state-0.1.0.json"  # of step 6, by that version


def begin(
    spec: TrainSpec, workdir: Path, cache: Path, *, stop_after: int | None = None
) -> Recorder:
    recorder = Recorder()

    def stop_requested() -> bool:
        steps = recorder.of(StepFinished)
        return stop_after is not None and bool(steps) and steps[-1].step >= stop_after

    train(spec, workdir, recorder, stop_requested, cache=cache)
    return recorder


def reworded(file: Path) -> None:
    """Other words of the same length, so that the number of examples hardly changes."""
    file.write_text(re.sub("God", "Dog", file.read_text()))


@pytest.fixture
def copied(corpus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(corpus, tmp_path / "corpus.jsonl"))


@pytest.mark.slow
def test_other_text_under_the_same_name_is_refused_and_named(
    copied: Path, make_spec: MakeSpec, tmp_path: Path
) -> None:
    spec = make_spec(data={"train": {"uri": str(copied)}})
    begin(spec, tmp_path / "run", tmp_path / "cache", stop_after=6)
    reworded(copied)
    with pytest.raises(CheckpointError, match=re.escape(f"data.train ({copied}). The run would")):
        begin(spec, tmp_path / "run", tmp_path / "cache-of-another-node")


@pytest.mark.slow
def test_another_validation_text_is_refused_and_named(
    copied: Path, make_spec: MakeSpec, tmp_path: Path
) -> None:
    document = make_spec().model_dump(mode="json")
    document["data"]["validation"] = {"uri": str(copied)}
    spec = TrainSpec.model_validate(document)
    begin(spec, tmp_path / "run", tmp_path / "cache", stop_after=6)
    reworded(copied)
    with pytest.raises(
        CheckpointError, match=re.escape(f"since the checkpoint: data.validation ({copied}).")
    ):
        begin(spec, tmp_path / "run", tmp_path / "cache")


@pytest.mark.slow
def test_on_another_node_the_tokenizer_is_the_checkpoint_s_and_the_data_is_found_to_be_the_same(
    make_spec: MakeSpec, tmp_path: Path, cache: Path
) -> None:
    spec = make_spec()
    begin(spec, tmp_path / "whole", cache)
    begin(spec, tmp_path / "run", cache, stop_after=6)
    elsewhere = tmp_path / "cache-of-another-node"
    assert begin(spec, tmp_path / "run", elsewhere).of(TrainStarted)[0].step == 6
    assert not (elsewhere / "tokenizers").exists()
    assert_same_tensors(tmp_path / "whole" / "final", tmp_path / "run" / "final")
    shards = {folder.name for folder in (elsewhere / "shards").iterdir()}
    assert shards <= {folder.name for folder in (cache / "shards").iterdir()}


@pytest.mark.slow
def test_a_checkpoint_of_an_older_version_is_resumed_to_the_same_bits(
    corpus: Path, make_spec: MakeSpec, tmp_path: Path, cache: Path
) -> None:
    spec = make_spec()
    begin(spec, tmp_path / "whole", cache)
    begin(spec, tmp_path / "run", cache, stop_after=6)
    folder = tmp_path / "run" / "checkpoints" / "step-00000006"
    (folder / "state.json").write_text(SAVED.read_text().replace("CORPUS", str(corpus)))
    (folder / "manifest.json").unlink()  # it does not describe itself
    write_manifest(folder, 6)
    assert begin(spec, tmp_path / "run", cache).of(TrainStarted)[0].step == 6
    assert_same_tensors(tmp_path / "whole" / "final", tmp_path / "run" / "final")


def older(corpus: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(SAVED.read_text().replace("CORPUS", str(corpus)))
    return document


def test_a_field_that_the_older_version_lacked_has_its_default(
    corpus: Path, make_spec: MakeSpec
) -> None:
    saved = older(corpus)["identity"]
    del saved["method"]["variant"], saved["optimizer"]["eps"], saved["schedule"]["decay_steps"]
    Identity(make_spec()).check(saved)


def test_each_difference_is_named_by_its_path_with_both_values(
    corpus: Path, make_spec: MakeSpec
) -> None:
    now = make_spec(method={"rank": 16, "optimizer_reset": {"mode": "zero"}}, training={"seed": 1})
    with pytest.raises(CheckpointError) as refused:
        Identity(now).check(older(corpus)["identity"])
    assert str(refused.value) == (
        "the checkpoints are of another run: method.rank: 4 in the checkpoint, 16 now; "
        "method.optimizer_reset.mode: magnitude in the checkpoint, zero now; "
        "method.optimizer_reset.ratio: 0.9 in the checkpoint, not set now; "
        "training.seed: 0 in the checkpoint, 1 now. "
        "Use a new workdir, or the spec that the run was started with"
    )


def test_another_method_is_told_by_its_name_alone(corpus: Path, make_spec: MakeSpec) -> None:
    with pytest.raises(
        CheckpointError, match=r"run: method\.name: relora in the .*, lora now. Use"
    ):
        Identity(make_spec(method={"name": "lora"})).check(older(corpus)["identity"])


def test_the_number_of_examples_of_an_older_checkpoint_is_still_compared(
    corpus: Path, make_spec: MakeSpec
) -> None:
    saved = older(corpus)["identity"]
    Identity(make_spec(), {"train_examples": 3940, "train": "a hash"}).check(saved)
    with pytest.raises(CheckpointError, match=r"changed since the checkpoint: data.train \("):
        Identity(make_spec(), {"train_examples": 3941, "train": "a hash"}).check(saved)


def test_a_spec_that_this_version_cannot_read_is_said_to_be_of_another(
    corpus: Path, make_spec: MakeSpec
) -> None:
    saved = older(corpus)["identity"]
    saved["method"]["from_the_future"] = 1
    with pytest.raises(CheckpointError, match="by a version of relora with another spec"):
        Identity(make_spec()).check(saved)


def test_counters_of_another_version_may_be_fewer_or_more(tmp_path: Path, corpus: Path) -> None:
    saved = older(corpus)
    del saved["counters"]["data_offset"]
    saved["counters"]["counted_no_more"] = 3
    (tmp_path / "state.json").write_text(json.dumps(saved))
    counters = read_checkpoint(tmp_path).counters
    assert (counters.step, counters.data_offset) == (6, Counters().data_offset)
