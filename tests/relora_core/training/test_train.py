import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from relora_core.distributed.world import World
from relora_core.errors import CheckpointError, Diverged, ModelError
from relora_core.events import (
    CheckpointSaved,
    Evaluated,
    LearningRateRestarted,
    Merged,
    OptimizerReset,
    PhaseStarted,
    Reinitialized,
    SetEvaluated,
    StepFinished,
    TrainFinished,
    TrainStarted,
    TrainStopped,
    Warned,
)
from relora_core.export.from_checkpoint import export_checkpoint
from relora_core.lowrank.frozen import integers
from relora_core.spec import FrozenDtype, TrainSpec
from relora_core.tasks import build_task
from relora_core.tasks.causal_lm import CausalLM
from relora_core.training import stepper
from relora_core.training.evaluate import evaluate
from relora_core.training.train import train
from relora_core.workdir.files import step_folders
from tests.relora_core.conftest import TINY_LLAMA, MakeSpec, Recorder, assert_same_weights

CPU = World(rank=0, size=1, device=torch.device("cpu"))


class Run:
    """One folder, trained once or several times."""

    def __init__(self, workdir: Path, cache: Path) -> None:
        self.workdir = workdir
        self.cache = cache

    def __call__(self, spec: TrainSpec, *, stop_after: int | None = None) -> Recorder:
        recorder = Recorder()

        def stop_requested() -> bool:
            steps = recorder.of(StepFinished)
            return stop_after is not None and bool(steps) and steps[-1].step >= stop_after

        train(spec, self.workdir, recorder, stop_requested, cache=self.cache)
        return recorder

    def weights(self, folder: str = "final") -> dict[str, torch.Tensor]:
        return load_file(self.workdir / folder / "model.safetensors")


@pytest.fixture
def run(tmp_path: Path, cache: Path) -> Run:
    return Run(tmp_path / "run", cache)


@dataclass(frozen=True)
class Whole:
    """A run that went from its first step to its last."""

    recorder: Recorder
    run: Run


TrainOnce = Callable[[TrainSpec], Whole]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> TrainOnce:
    """Return the run of a spec, which is trained once for all tests; they only read it."""
    trained: dict[str, Whole] = {}

    def train_once(spec: TrainSpec) -> Whole:
        key = spec.model_dump_json()
        if key not in trained:
            run = Run(tmp_path_factory.mktemp("whole"), cache)
            trained[key] = Whole(run(spec), run)
        return trained[key]

    return train_once


def losses(recorder: Recorder) -> list[float]:
    return [event.loss for event in recorder.of(StepFinished)]


def assert_resumes(spec: TrainSpec, stop_after: int, whole: TrainOnce, run: Run) -> None:
    """That a run that was stopped goes on to the losses and the bits of one that was not."""
    expected = whole(spec)
    resumed = losses(run(spec, stop_after=stop_after)) + losses(run(spec))
    assert resumed == losses(expected.recorder)
    assert_same_weights(expected.run.weights(), run.weights())


def score(spec: TrainSpec, folder: Path, cache: Path) -> float:
    """The validation loss of an exported model, in plain transformers."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    task = build_task(spec, cache=cache, emit=Recorder())
    scored, _ = evaluate(
        task, partial(task.measure, task.objective(model)), CPU, step=12, batch_size=4
    )
    return scored.loss


@pytest.mark.slow
def test_relora_goes_through_its_phases_and_restarts_in_order(
    whole: TrainOnce, make_spec: MakeSpec
) -> None:
    recorder = whole(make_spec()).recorder
    phases = recorder.of(PhaseStarted)
    assert [(event.step, event.phase) for event in phases] == [(0, "warm_start"), (4, "low_rank")]
    assert phases[0].frozen_parameters == 0 < phases[1].frozen_parameters
    restart = [
        type(event)
        for event in recorder.events
        if isinstance(event, Merged | Reinitialized | OptimizerReset | LearningRateRestarted)
    ]
    assert restart == [Merged, Reinitialized, OptimizerReset, LearningRateRestarted]
    assert recorder.of(Merged)[0].step == 8
    [finished] = recorder.of(TrainFinished)
    assert (finished.step, finished.restarts, finished.tokens_seen) == (12, 1, 12 * 4 * 32)
    assert (finished.peak_memory_bytes or 0) > 2**20  # of the process, on a CPU


@pytest.mark.slow
def test_validation_improves_and_the_reported_loss_is_finite(
    whole: TrainOnce, make_spec: MakeSpec
) -> None:
    recorder = whole(make_spec()).recorder
    first, last = recorder.of(Evaluated)
    assert (first.step, last.step) == (0, 12)
    assert first.perplexity == pytest.approx(300, rel=0.1)
    assert last.perplexity is not None
    assert last.perplexity < 250
    assert all(math.isfinite(loss) for loss in losses(recorder))


METHODS = ["full", "control", "lowrank", "lora", "relora", "galore", "fira", "apollo"]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_runs_from_the_same_spec(
    method: str, whole: TrainOnce, make_spec: MakeSpec
) -> None:
    recorder = whole(make_spec(method={"name": method})).recorder
    assert len(recorder.of(Merged)) == (1 if method == "relora" else 0)
    assert recorder.of(TrainFinished)[0].step == 12


@pytest.mark.slow
def test_the_exported_model_is_plain_and_scores_the_same(
    run: Run, make_spec: MakeSpec, cache: Path
) -> None:
    spec = make_spec(method={"frozen_dtype": "bf16"})
    recorder = run(spec)
    model = AutoModelForCausalLM.from_pretrained(run.workdir / "final").eval()
    tokenizer = AutoTokenizer.from_pretrained(run.workdir / "final")
    assert model.config.vocab_size == len(tokenizer)
    assert not any("lora" in name for name, _ in model.named_parameters())
    scored = score(spec, run.workdir / "final", cache)
    # fp32 arithmetic on both sides; the trained layers hold W in bf16, the merged ones in full
    assert scored == pytest.approx(recorder.of(TrainFinished)[0].loss, abs=2e-3)


@pytest.mark.slow
def test_a_run_from_pretrained_weights_reads_with_their_tokenizer(
    whole: TrainOnce, run: Run, make_spec: MakeSpec
) -> None:
    before = whole(make_spec())
    [ended] = before.recorder.of(TrainFinished)
    written = make_spec(training={"steps": 1}, method={"name": "full"}).model_dump(mode="json")
    del written["tokenizer"]
    written["model"] = {"pretrained": str(before.run.workdir / "final"), "init": "weights"}

    recorder = run(TrainSpec.model_validate(written))
    assert recorder.of(Evaluated)[0].loss == pytest.approx(ended.loss, abs=2e-3)  # bf16


@pytest.mark.slow
def test_the_folder_says_what_it_is(run: Run, make_spec: MakeSpec) -> None:
    run(make_spec(name="my run"))
    card = (run.workdir / "final" / "README.md").read_text()
    assert "# my run" in card
    assert "| restarts | 1, one every 4 steps |" in card
    document = json.loads((run.workdir / "final" / "relora.json").read_text())
    assert document["step"] == 12
    assert document["spec"]["method"] == make_spec().method.model_dump(mode="json")  # all of it


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_method_resumes_to_the_same_bits_and_exports_what_it_trained(
    method: str, run: Run, tmp_path: Path, cache: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(method={"name": method, "frozen_dtype": "fp32", "trainable_scaling": True})
    whole = Run(tmp_path / "whole", cache)
    recorder = whole(spec)
    assert losses(run(spec, stop_after=6)) + losses(run(spec)) == losses(recorder)
    assert_same_weights(whole.weights(), run.weights())
    scored = score(spec, run.workdir / "final", cache)
    assert scored == pytest.approx(recorder.of(TrainFinished)[0].loss, abs=1e-5)


@pytest.mark.slow
def test_a_control_says_how_near_it_comes_to_what_relora_trains(
    whole: TrainOnce, make_spec: MakeSpec
) -> None:
    [phase] = whole(make_spec(method={"name": "control"})).recorder.of(PhaseStarted)
    assert (phase.phase, phase.frozen_parameters) == ("full_rank", 0)
    relora = whole(make_spec()).recorder.of(PhaseStarted)[-1]
    assert phase.target_parameters == relora.trainable_parameters
    assert phase.trainable_parameters == pytest.approx(relora.trainable_parameters, rel=0.01)
    assert "of the 0.02M that ReLoRA trains" in str(phase)


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [2, 4, 7, 8, 11])
def test_a_stopped_run_resumes_to_the_same_bits(
    stop_after: int, whole: TrainOnce, run: Run, make_spec: MakeSpec
) -> None:
    spec = make_spec(method={"optimizer_reset": {"mode": "random", "ratio": 0.5}})
    expected = whole(spec)
    first = run(spec, stop_after=stop_after)
    assert first.of(TrainStopped)[0].step == stop_after
    second = run(spec)
    assert second.of(TrainStarted)[0].step == stop_after
    assert losses(first) + losses(second) == losses(expected.recorder)
    assert len(first.of(Merged) + second.of(Merged)) == 1
    assert_same_weights(expected.run.weights(), run.weights())


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [3, 8])
def test_a_mixture_resumes_to_the_same_bits_before_and_in_a_later_stage(
    stop_after: int, whole: TrainOnce, run: Run, make_spec: MakeSpec, corpus: Path, tmp_path: Path
) -> None:
    lines = corpus.read_text().splitlines(keepends=True)
    files = tmp_path / "law.jsonl", tmp_path / "flood.jsonl"
    for file, some in zip(files, (lines[:40], lines[40:]), strict=True):
        file.write_text("".join(some))
    sources = [
        {"uri": str(file), "name": file.stem, "weight": weight}
        for file, weight in zip(files, (3, 1), strict=True)
    ]
    stages = [{"from_step": 6, "weights": {"flood": 1}}]
    spec = make_spec(data={"train": sources, "stages": stages})
    recorder = whole(spec).recorder
    assert_resumes(spec, stop_after, whole, run)
    last = recorder.of(StepFinished)[-1]
    assert {source.name: source.tokens for source in last.sources} == {
        "law": 18 * 32,  # three quarters of the sequences of 6 steps
        "flood": 30 * 32,
    }
    assert last.epoch is None
    assert recorder.of(TrainStarted)[0].sources == last.sources
    of_sets, of_all = recorder.of(SetEvaluated)[-2:], recorder.of(Evaluated)[-1]
    assert [event.set for event in of_sets] == ["law", "flood"]
    assert of_all.loss == pytest.approx(0.75 * of_sets[0].loss + 0.25 * of_sets[1].loss)
    assert of_all.tokens == sum(event.tokens or 0 for event in of_sets)


@pytest.mark.slow
def test_a_run_that_ends_early_says_why_and_a_resumed_one_ends_at_the_same_step(
    whole: TrainOnce, run: Run, make_spec: MakeSpec
) -> None:
    """With so high a rate, the loss gets worse sooner or later."""
    spec = make_spec(
        training={"steps": 60, "stop_when": {"patience": 2}},
        optimizer={"learning_rate": 1.0},
        evaluation={"every": 3},
    )
    recorder = whole(spec).recorder
    [finished] = recorder.of(TrainFinished)
    assert finished.step < 60
    assert "was not better than" in (finished.stop_reason or "")
    assert finished.step == recorder.of(Evaluated)[-1].step == recorder.of(CheckpointSaved)[-1].step
    stopped = run(spec, stop_after=finished.step - 2)
    assert not stopped.of(TrainFinished)
    resumed = run(spec).of(TrainFinished)
    assert [(event.step, event.stop_reason) for event in resumed] == [
        (finished.step, finished.stop_reason)
    ]


@pytest.mark.slow
def test_the_best_checkpoint_is_kept_and_its_weights_are_exported(
    run: Run, make_spec: MakeSpec, tmp_path: Path
) -> None:
    spec = make_spec(
        evaluation={"every": 3},
        checkpoint={"every": 3, "keep_last": 1, "keep_best": {"mode": "max"}},
        export={"from": "best", "dtype": "fp32"},
    )
    recorder = run(spec)
    scores = {event.step: event.loss for event in recorder.of(Evaluated) if event.step > 0}
    best = max(scores, key=scores.__getitem__)  # the highest loss, for it falls in so short a run
    assert best < 12
    assert recorder.of(CheckpointSaved)[-1].best_step == best
    assert set(step_folders(run.workdir / "checkpoints")) == {best, 12}
    assert recorder.of(TrainFinished)[0].exported_step == best
    export_checkpoint(run.workdir, tmp_path / "best", step=best)
    assert_same_weights(load_file(tmp_path / "best" / "model.safetensors"), run.weights())


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [2, 6, 8])
def test_a_rate_of_the_factors_resumes_to_the_same_bits(
    stop_after: int, run: Run, tmp_path: Path, cache: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(optimizer={"factor_learning_rate": "auto"})
    whole = Run(tmp_path / "whole", cache)
    expected = whole(spec)
    both = [*run(spec, stop_after=stop_after).of(StepFinished), *run(spec).of(StepFinished)]
    assert [event.loss for event in both] == losses(expected)
    assert_same_weights(whole.weights(), run.weights())
    rates = [event.factor_learning_rate for event in both]
    assert rates == [event.factor_learning_rate for event in expected.of(StepFinished)]
    assert rates[:4] == 4 * [None]  # the warm start
    highest = math.sqrt(3 * 64 / 4) / (32 / 4)  # the ratio of the widest layer
    assert rates[4:] == pytest.approx([event.learning_rate * highest for event in both[4:]])


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [5, 6, 9])
def test_growing_cycles_resume_to_the_same_bits_inside_of_a_cycle_and_at_its_start(
    stop_after: int, run: Run, tmp_path: Path, cache: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(method={"warm_start_steps": 2, "reset_every": 3, "reset_growth": 1.5})
    whole = Run(tmp_path / "whole", cache)
    expected = whole(spec)
    assert [event.step for event in expected.of(Merged)] == [3, 7]
    assert losses(run(spec, stop_after=stop_after)) + losses(run(spec)) == losses(expected)
    assert_same_weights(whole.weights(), run.weights())


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [4, 7, 8])
@pytest.mark.parametrize("frozen_dtype", ["fp32", "bf16", "int8"])
def test_rolling_restarts_resume_to_the_same_bits_at_the_switch_in_a_cycle_and_at_a_restart(
    stop_after: int,
    frozen_dtype: str,
    run: Run,
    tmp_path: Path,
    cache: Path,
    make_spec: MakeSpec,
) -> None:
    spec = make_spec(method={"reset": "rolling", "reset_every": 8, "frozen_dtype": frozen_dtype})
    whole = Run(tmp_path / "whole", cache)
    expected = whole(spec)
    assert [(event.step, event.restart) for event in expected.of(Merged)] == [
        (6, 1),
        (8, 2),
        (10, 3),
    ]
    assert not expected.of(LearningRateRestarted)
    assert losses(run(spec, stop_after=stop_after)) + losses(run(spec)) == losses(expected)
    assert_same_weights(whole.weights(), run.weights())


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [4, 6, 8])
@pytest.mark.parametrize(
    "method",
    [
        {"factor_init": "orthogonal", "optimizer_reset": {"mode": "keep"}},
        {"factor_init": "gradient", "train_a": False, "optimizer_reset": {"mode": "rotate"}},
        {"reset": "half", "frozen_dtype": "int8"},
    ],
    ids=["keep", "rotate", "half"],
)
def test_chosen_directions_resume_to_the_same_bits_at_the_switch_in_a_cycle_and_at_a_restart(
    method: dict[str, Any],
    stop_after: int,
    run: Run,
    tmp_path: Path,
    cache: Path,
    make_spec: MakeSpec,
) -> None:
    spec = make_spec(method=method)
    whole = Run(tmp_path / "whole", cache)
    expected = whole(spec)
    assert losses(run(spec, stop_after=stop_after)) + losses(run(spec)) == losses(expected)
    assert_same_weights(whole.weights(), run.weights())


@pytest.mark.slow
def test_one_rate_for_factors_and_rest_trains_as_one_rate_of_the_phase(
    run: Run, tmp_path: Path, cache: Path, make_spec: MakeSpec
) -> None:
    one = make_spec(optimizer={"learning_rate": 3e-3, "low_rank_learning_rate": 3e-3})
    two = make_spec(optimizer={"learning_rate": 3e-3, "factor_learning_rate": 3e-3})
    whole = Run(tmp_path / "whole", cache)
    assert losses(run(two)) == losses(whole(one))
    assert_same_weights(whole.weights(), run.weights())


@pytest.mark.slow
def test_a_finished_run_started_again_only_exports_again(run: Run, make_spec: MakeSpec) -> None:
    run(make_spec())
    before = run.weights()
    again = run(make_spec())
    assert not again.of(StepFinished)
    assert again.of(TrainFinished)[0].step == 12
    assert_same_weights(run.weights(), before)


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [2, 6, 9])
def test_8_bit_optimizer_state_resumes_to_the_same_bits_too(
    stop_after: int, whole: TrainOnce, run: Run, make_spec: MakeSpec
) -> None:
    # wide enough for 8-bit states beside 32-bit ones: they begin at 4096 elements
    spec = make_spec(
        model={"config": {**TINY_LLAMA, "hidden_size": 64}},
        optimizer={"name": "adamw_8bit"},
        method={"rank": 64},
    )
    assert_resumes(spec, stop_after, whole, run)


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [4, 6])
@pytest.mark.parametrize("name", ["galore", "fira", "apollo"])
def test_a_subspace_resumes_to_the_same_bits_where_the_projection_is_new_and_where_it_is_old(
    name: str, stop_after: int, whole: TrainOnce, run: Run, make_spec: MakeSpec
) -> None:
    spec = make_spec(method={"name": name, "update_projection_every": 4})
    assert_resumes(spec, stop_after, whole, run)


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [2, 4, 6])
@pytest.mark.parametrize("name", ["galore", "apollo"])
def test_a_lean_warm_start_resumes_to_the_same_bits_within_it_at_the_switch_and_after_it(
    name: str, stop_after: int, whole: TrainOnce, run: Run, make_spec: MakeSpec
) -> None:
    spec = make_spec(method={"warm_start": name})
    assert_resumes(spec, stop_after, whole, run)


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [2, 4, 6])
@pytest.mark.parametrize("method", ["full", "relora"])
def test_muon_resumes_to_the_same_bits_too(
    method: str, stop_after: int, whole: TrainOnce, run: Run, make_spec: MakeSpec
) -> None:
    spec = make_spec(method={"name": method}, optimizer={"name": "muon"})
    assert_resumes(spec, stop_after, whole, run)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["galore", "fira", "apollo"])
def test_a_subspace_learns_at_full_rank_all_along(name: str, run: Run, make_spec: MakeSpec) -> None:
    recorder = run(make_spec(method={"name": name, "scale": 1.0}, training={"steps": 40}))
    [phase] = recorder.of(PhaseStarted)
    assert (phase.phase, phase.frozen_parameters) == ("full_rank", 0)
    assert losses(recorder)[-1] < losses(recorder)[0] - 1.0


@pytest.mark.slow
def test_dropout_resumes_to_the_same_bits_too(
    run: Run, tmp_path: Path, cache: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(method={"dropout": 0.3})
    expected = losses(Run(tmp_path / "whole", cache)(spec))
    assert losses(run(spec, stop_after=6)) + losses(run(spec)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("frozen_dtype", get_args(FrozenDtype))
def test_every_way_to_store_w_resumes_to_the_same_bits(
    frozen_dtype: str, run: Run, tmp_path: Path, cache: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(method={"warm_start_steps": 0, "frozen_dtype": frozen_dtype})
    whole = Run(tmp_path / "whole", cache)
    expected = losses(whole(spec))
    first = run(spec, stop_after=6)
    assert len(first.of(Merged)) == 1
    assert losses(first) + losses(run(spec)) == expected
    assert_same_weights(whole.weights(), run.weights())


@pytest.mark.slow
@pytest.mark.parametrize("frozen_dtype", ["fp8", "int8"])
def test_without_units_a_type_says_that_it_is_no_faster_and_trains_as_with_them(
    frozen_dtype: str,
    run: Run,
    tmp_path: Path,
    cache: Path,
    make_spec: MakeSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(integers, "has_int8_matmul", lambda _: False)
    exact = losses(run(make_spec(method={"frozen_dtype": "fp32", "variant": "branches"})))
    spec = make_spec(
        method={"frozen_dtype": frozen_dtype, "variant": "branches"},
        training={"precision": "bf16"},
    )
    recorder = Run(tmp_path / frozen_dtype, cache)(spec)
    (warned,) = recorder.of(Warned)
    assert warned.code == f"{frozen_dtype}_not_faster"
    assert "bf16 on cpu; bf16 is nearer to W" in warned.message
    assert losses(recorder) == pytest.approx(exact, rel=2e-2)
    assert losses(recorder) != exact


@pytest.mark.parametrize(
    ("change", "instead"),
    [
        ({"method": {"frozen_dtype": "nf4"}}, "int8"),
        ({"optimizer": {"name": "adamw_8bit"}}, "adamw"),
    ],
)
def test_without_bitsandbytes_what_needs_it_fails_before_the_data_is_read(
    change: dict[str, Any],
    instead: str,
    run: Run,
    make_spec: MakeSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as if it were not installed
    recorder = Recorder()
    message = rf"pip install -e '\.\[quantization\]' in relora's folder, or take {instead}"
    with pytest.raises(ModelError, match=message):
        train(make_spec(**change), run.workdir, recorder, lambda: False, cache=run.cache)
    assert not recorder.events


@pytest.mark.slow
def test_the_micro_batch_does_not_change_the_numbers(
    run: Run, tmp_path: Path, cache: Path, make_spec: MakeSpec
) -> None:
    one = losses(run(make_spec(training={"micro_batch_size": 4})))
    other = losses(Run(tmp_path / "small", cache)(make_spec(training={"micro_batch_size": 1})))
    assert other == pytest.approx(one, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [2, 6])
def test_a_resumed_run_takes_the_micro_batch_from_before_the_stop(
    stop_after: int,
    run: Run,
    tmp_path: Path,
    cache: Path,
    make_spec: MakeSpec,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def found(size: int) -> None:
        monkeypatch.setattr(stepper, "cpu_micro_batch", lambda *_: size)

    spec = make_spec(method={"name": "lora", "warm_start_steps": 0})
    found(4)
    expected = losses(Run(tmp_path / "whole", cache)(spec))
    first = losses(run(spec, stop_after=stop_after))
    found(1)  # as with less memory free
    assert first + losses(run(spec)) == expected


@pytest.mark.slow
def test_a_resumed_run_with_other_settings_of_memory_finds_its_own_micro_batch(
    run: Run, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def find(size: int, *_: int) -> int:
        sizes.append(size)
        return size

    monkeypatch.setattr(stepper, "cpu_micro_batch", find)
    method = {"name": "lora", "warm_start_steps": 0}
    run(make_spec(method=method), stop_after=2)
    run(make_spec(method=method), stop_after=4)
    assert len(sizes) == 1
    run(make_spec(method=method, training={"gradient_checkpointing": True}))
    assert len(sizes) == 2


@pytest.mark.slow
@pytest.mark.parametrize("recomputed", ["full", "selective"])
def test_gradient_checkpointing_does_not_change_the_numbers(
    recomputed: str, run: Run, tmp_path: Path, cache: Path, make_spec: MakeSpec
) -> None:
    method = {"dropout": 0.2}  # which the second forward pass has to draw alike
    kept = losses(run(make_spec(method=method)))
    spec = make_spec(method=method, training={"gradient_checkpointing": recomputed})
    assert losses(Run(tmp_path / "recomputed", cache)(spec)) == pytest.approx(kept, rel=1e-6)


@pytest.mark.slow
def test_sharding_with_one_process_says_that_it_shards_nothing(
    whole: TrainOnce, run: Run, make_spec: MakeSpec
) -> None:
    expected = losses(whole(make_spec()).recorder)
    recorder = run(make_spec(training={"parallelism": "fsdp"}))
    assert [event.code for event in recorder.of(Warned)] == ["not_sharded"]
    assert losses(recorder) == expected


@pytest.mark.slow
def test_bf16_is_close_to_fp32(whole: TrainOnce, run: Run, make_spec: MakeSpec) -> None:
    exact = losses(whole(make_spec()).recorder)
    rounded = losses(run(make_spec(training={"precision": "bf16"})))
    assert rounded == pytest.approx(exact, rel=1e-2)
    assert rounded != exact


@pytest.mark.slow
def test_checkpoints_and_exports_come_when_the_spec_says(run: Run, make_spec: MakeSpec) -> None:
    recorder = run(make_spec(export={"every": 6}))
    assert [event.step for event in recorder.of(CheckpointSaved)] == [5, 10, 12]
    assert AutoModelForCausalLM.from_pretrained(run.workdir / "merged" / "step-00000006")


@pytest.mark.slow
def test_another_spec_in_the_same_folder_is_refused(run: Run, make_spec: MakeSpec) -> None:
    run(make_spec(), stop_after=5)
    with pytest.raises(
        CheckpointError, match=r"another run: method\.rank: 4 in the check.*seed: 0 in"
    ):
        run(make_spec(method={"rank": 2}, training={"seed": 1}))


@pytest.mark.slow
def test_a_run_that_stays_not_finite_fails_with_its_weights_untouched(
    run: Run, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def overflow(*_: Any, **__: Any) -> torch.Tensor:
        return torch.tensor(math.inf, requires_grad=True)

    monkeypatch.setattr(CausalLM, "sum_of_losses", overflow)
    recorder = Recorder()
    spec = make_spec(training={"max_skipped_steps": 3})
    with pytest.raises(Diverged, match="not finite for 3 steps in a row, up to step 3"):
        train(spec, run.workdir, recorder, lambda: False, cache=run.cache)
    assert [event.code for event in recorder.of(Warned)] == ["step_skipped"] * 3


@pytest.mark.slow
def test_what_was_ignored_is_told_first(run: Run, make_spec: MakeSpec) -> None:
    recorder = run(make_spec(method={"name": "full"}, training={"steps": 1}))
    told = [event.message for event in recorder.events[:3] if isinstance(event, Warned)]
    assert [message.split()[0] for message in told] == [
        "method.rank",
        "method.warm_start_steps",
        "method.reset_every",
    ]


@pytest.mark.slow
def test_how_often_the_data_is_read_is_told_and_many_epochs_are_a_warning(
    run: Run, make_spec: MakeSpec, corpus: Path, tmp_path: Path
) -> None:
    """The data is so small that the token count is known only when it is prepared."""
    small = tmp_path / "small.jsonl"
    small.write_text("".join(corpus.read_text().splitlines(keepends=True)[:6]))
    data = {"train": {"uri": str(small)}, "validation": {"uri": str(corpus)}}
    training = {"steps": 300, "global_batch_size": 16}
    recorder = run(make_spec(data=data, training=training), stop_after=2)
    [started] = recorder.of(TrainStarted)
    assert started.epochs is not None
    assert started.epochs > 4
    [warning] = recorder.of(Warned)
    assert warning.code == "many_epochs"
    step = recorder.of(StepFinished)[-1]
    assert step.epoch == pytest.approx(started.epochs * step.step / 300)


@pytest.mark.slow
def test_layers_too_narrow_for_the_rank_are_told(run: Run, make_spec: MakeSpec) -> None:
    narrow = {**TINY_LLAMA, "num_key_value_heads": 1, "head_dim": 2, "num_attention_heads": 4}
    recorder = run(make_spec(model={"config": narrow}, training={"steps": 9}))
    [warning] = recorder.of(Warned)
    assert warning.code == "narrow_layers"
    assert warning.message == (
        "4 linear layers of the blocks are trained in full, for they have a side below method.rank "
        "(4): model.layers.0.self_attn.k_proj, model.layers.0.self_attn.v_proj, "
        "model.layers.1.self_attn.k_proj and 1 more"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": {"config": {**TINY_LLAMA, "vocab_size": 299}}},
            "the tokenizer has 300 tokens, the model only 299; take the model's own tokenizer",
        ),
        ({"data": {"sequence_length": 65}}, "sequence_length 65 is over the 64 positions"),
    ],
)
def test_a_model_that_does_not_fit_the_data_fails_before_training(
    change: dict[str, Any], message: str, run: Run, make_spec: MakeSpec
) -> None:
    recorder = Recorder()
    with pytest.raises(ModelError, match=message):
        train(make_spec(**change), run.workdir, recorder, lambda: False, cache=run.cache)
    assert not recorder.of(StepFinished)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"config": {"model_type": "no_such"}}}, "no model_type 'no_such'; there are "),
        ({"model": {"config": {**TINY_LLAMA, "hiden_size": 64}}}, "did you mean `hidden_size`"),
        ({"model": {"config": {"model_type": "mamba", "hiden_size": 64}}}, "`hidden_size`"),
        ({"method": {"rank": 33}}, "rank 33 is over the smaller side"),
        ({"method": {"name": "galore", "rank": 33}}, "rank 33 is over the smaller side"),
        (
            {"method": {"warm_start_steps": None, "warm_start_from": "/no/model"}},
            "method.warm_start_from: there is no file or folder '/no/model'",
        ),
    ],
)
def test_a_model_or_method_that_is_wrong_fails_before_the_data_is_read(
    change: dict[str, Any], message: str, run: Run, make_spec: MakeSpec
) -> None:
    recorder = Recorder()
    with pytest.raises(ModelError, match=message):
        train(make_spec(**change), run.workdir, recorder, lambda: False, cache=run.cache)
    assert {type(event) for event in recorder.events} <= {Warned}
