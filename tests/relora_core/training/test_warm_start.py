from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from relora_core.errors import CheckpointError, ModelError
from relora_core.events import Evaluated, PhaseStarted, StepFinished, WarmStarted
from relora_core.spec import TrainSpec
from relora_core.training.train import train
from tests.relora_core.conftest import MakeSpec, Recorder, assert_same_weights


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workdir of a ReLoRA run, trained by the first test that asks for it."""
    return tmp_path_factory.mktemp("earlier") / "run"


@pytest.fixture
def trained(earlier: Path, make_spec: MakeSpec, cache: Path) -> Path:
    """Checkpoints of its warm start (3), of its first (6) and its second cycle (9, 12)."""
    if not earlier.exists():
        spec = make_spec(checkpoint={"every": 3, "keep_last": 9}, export={"every": 6})
        train(spec, earlier, Recorder(), lambda: False, cache=cache)
    return earlier


@pytest.fixture
def start_from(make_spec: MakeSpec) -> Any:
    def make(source: object, name: str = "relora", **changes: Any) -> TrainSpec:
        method = {"name": name, "warm_start_steps": None, "warm_start_from": str(source)}
        return make_spec(method={**method, "frozen_dtype": "fp32"}, **changes)

    return make


def begin(spec: TrainSpec, workdir: Path, cache: Path) -> Recorder:
    """Train two steps."""
    recorder = Recorder()
    train(spec, workdir, recorder, lambda: len(recorder.of(StepFinished)) > 1, cache=cache)
    return recorder


@pytest.mark.parametrize("name", ["lora", "relora"])
@pytest.mark.parametrize(
    ("source", "checkpoint"),
    [
        ("", "step-00000012"),
        ("checkpoints/step-00000012", "step-00000012"),
        ("final", None),
    ],
)
def test_the_low_rank_phase_begins_where_the_earlier_run_ended(
    name: str,
    source: str,
    checkpoint: str | None,
    trained: Path,
    start_from: Any,
    tmp_path: Path,
    cache: Path,
) -> None:
    recorder = begin(start_from(f"file://{trained / source}", name), tmp_path, cache)
    [event] = recorder.of(WarmStarted)
    assert event.checkpoint == checkpoint
    [phase] = recorder.of(PhaseStarted)
    assert (phase.step, phase.phase) == (0, "low_rank")
    loss = recorder.of(Evaluated)[0].loss
    lines = (trained / "final" / "README.md").read_text().splitlines()
    [row] = [line for line in lines if line.startswith("| validation_loss")]
    assert loss == pytest.approx(float(row.split("|")[2]), abs=2e-3)  # W was held in bf16 there


def test_a_checkpoint_of_the_low_rank_phase_is_merged_as_the_export_of_its_step(
    trained: Path, start_from: Any, tmp_path: Path, cache: Path
) -> None:
    weights = []
    for source in ("checkpoints/step-00000006", "merged/step-00000006"):
        workdir = tmp_path / source
        train(start_from(trained / source), workdir, Recorder(), lambda: True, cache=cache)
        weights.append(load_file(workdir / "checkpoints/step-00000000/model-00001.safetensors"))
    assert weights[0].keys() == weights[1].keys()
    assert_same_weights(*weights)


def test_a_checkpoint_of_a_warm_start_is_taken_as_it_is(
    trained: Path, start_from: Any, tmp_path: Path, cache: Path
) -> None:
    source = trained / "checkpoints/step-00000003"
    train(start_from(source), tmp_path, Recorder(), lambda: True, cache=cache)
    before = load_file(source / "model-00001.safetensors")
    after = load_file(tmp_path / "checkpoints/step-00000000/model-00001.safetensors")
    assert_same_weights(before, after)


def test_a_damaged_checkpoint_of_a_workdir_is_passed_over(
    trained: Path, start_from: Any, tmp_path: Path, cache: Path
) -> None:
    copy = tmp_path / "copy" / "checkpoints"
    for step in (9, 12):
        whole = trained / f"checkpoints/step-{step:08d}"
        (copy / whole.name).mkdir(parents=True)
        for file in whole.iterdir():
            (copy / whole.name / file.name).write_bytes(file.read_bytes())
    (copy / "step-00000012" / "model-00001.safetensors").write_bytes(b"cut")
    recorder = begin(start_from(copy.parent), tmp_path / "run", cache)
    assert recorder.of(WarmStarted)[0].checkpoint == "step-00000009"
    with pytest.raises(ModelError, match=r"step-00000012/model-.* is missing or cut"):
        begin(start_from(copy / "step-00000012"), tmp_path / "other", cache)


def test_it_resumes_to_the_same_bits_without_the_earlier_run(
    trained: Path, start_from: Any, tmp_path: Path, cache: Path
) -> None:
    def losses(recorder: Recorder) -> list[float]:
        return [event.loss for event in recorder.of(StepFinished)]

    folder = tmp_path / "source"
    (trained / "final").rename(folder)
    try:
        spec = start_from(folder)
        whole = Recorder()
        train(spec, tmp_path / "whole", whole, lambda: False, cache=cache)
        first = begin(spec, tmp_path / "run", cache)
    finally:
        folder.rename(trained / "final")
    second = Recorder()
    train(spec, tmp_path / "run", second, lambda: False, cache=cache)
    assert losses(first) + losses(second) == losses(whole)
    assert not second.of(WarmStarted)


def test_the_source_is_a_part_of_what_the_run_is(
    trained: Path, start_from: Any, tmp_path: Path, cache: Path
) -> None:
    begin(start_from(trained), tmp_path, cache)
    with pytest.raises(CheckpointError, match=r"another run: method\.warm_start_from: .* now"):
        begin(start_from(trained / "final"), tmp_path, cache)


@pytest.mark.parametrize(
    ("source", "changes", "message"),
    [
        ("nowhere", {}, "method.warm_start_from: there is no file or folder"),
        ("logs", {}, "is neither a Hugging Face model .* nor a checkpoint .* nor a workdir"),
        ("final", {"tokenizer": {"train": {"vocab_size": 290}}}, "vocab_size is 300 there and 290"),
        (
            "",
            {"model": {"config": {"num_attention_heads": 2}}},
            "num_attention_heads is 4 there an",
        ),
        (
            "final",
            {"model": {"config": {"num_attention_heads": 2}}},
            r"head_dim is 8 there and 16 here; .*\{pretrained: FOLDER, init: random\}",
        ),
    ],
)
def test_weights_that_do_not_fit_are_told_before_training(
    source: str,
    changes: dict[str, Any],
    message: str,
    trained: Path,
    start_from: Any,
    tmp_path: Path,
    cache: Path,
) -> None:
    (trained / "logs").mkdir(exist_ok=True)
    recorder = Recorder()
    if "model" in changes:
        own = start_from("x").model.model_dump()["config"]
        changes = {"model": {"config": {**own, **changes["model"]["config"]}}}
    spec = start_from(trained / source, **changes)
    with pytest.raises(ModelError, match=message):
        train(spec, tmp_path, recorder, lambda: False, cache=cache)
    assert not recorder.of(StepFinished)


@pytest.mark.parametrize("source", ["", "final"])
def test_a_tokenizer_of_other_text_does_not_fit(
    source: str, trained: Path, corpus: Path, start_from: Any, tmp_path: Path, cache: Path
) -> None:
    other = tmp_path / "other.txt"
    other.write_text(corpus.read_text()[::-1])
    data = {"train": {"uri": str(other)}, "validation": {"uri": str(corpus)}}
    with pytest.raises(ModelError, match="its tokenizer has other tokens, or the same in another"):
        begin(start_from(trained / source, data=data), tmp_path / "run", cache)
