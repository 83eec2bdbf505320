import itertools
import json
import math
from collections.abc import Callable, Collection
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from relora_core.data.batch import Batch
from relora_core.data.loader import BatchLoader
from relora_core.data.prepare import prepare
from relora_core.errors import Diverged
from relora_core.events import (
    CheckpointDeleted,
    LossSpiked,
    Merged,
    PhaseStarted,
    Rewound,
    StepFinished,
    TrainFinished,
    TrainStarted,
    TrainStopped,
    Warned,
)
from relora_core.spec import TrainSpec
from relora_core.tasks.causal_lm import CausalLM
from relora_core.training import trainer
from relora_core.training.telemetry import Report
from relora_core.training.train import train
from tests.relora_core.conftest import MakeSpec, Recorder, assert_same_weights
from tests.relora_core.faults import poisoned
from tests.relora_core.forks import Fork
from tests.relora_core.processes import LONGEST_RUN, events_in

Poison = Callable[..., None]
healthy_loss = CausalLM.sum_of_losses
REWINDING = {"max_skipped_steps": 2}


def batches_of(spec: TrainSpec, cache: Path, positions: Collection[int]) -> set[tuple[int, ...]]:
    """The sequences that a run of this spec reads at these positions of its data."""
    data = prepare(spec, cache=cache, emit=lambda _: None)
    loader = BatchLoader(data.train, global_batch_size=spec.training.global_batch_size, seed=0)
    rows = [loader.batch(position).inputs.tolist() for position in positions]
    loader.close()
    return {tuple(row) for batch in rows for row in batch}


@pytest.fixture
def poison(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Poison:
    """Let the losses of what a run reads at these positions be `times` what they are."""

    def begin(spec: TrainSpec, positions: Collection[int], *, times: float = math.nan) -> None:
        loss = poisoned(batches_of(spec, cache, positions), times=times)
        monkeypatch.setattr(CausalLM, "sum_of_losses", loss)

    return begin


class Run:
    def __init__(self, workdir: Path, cache: Path) -> None:
        self.workdir = workdir
        self.cache = cache
        self.recorder = Recorder()

    def __call__(self, spec: TrainSpec, *, stop_at: int | None = None) -> Recorder:
        """Train; where the event is as `stop_at` says, ask to stop once."""
        self.recorder = Recorder()
        asked = iter([True])

        def stop_requested() -> bool:
            steps = self.recorder.of(StepFinished)
            there = stop_at is not None and bool(steps) and steps[-1].step == stop_at
            return there and next(asked, False)

        train(spec, self.workdir, self.recorder, stop_requested, cache=self.cache)
        return self.recorder

    def weights(self) -> dict[str, Tensor]:
        return load_file(self.workdir / "final" / "model.safetensors")


@pytest.fixture
def run(tmp_path: Path, cache: Path) -> Run:
    return Run(tmp_path / "run", cache)


@pytest.fixture
def other(tmp_path: Path, cache: Path) -> Run:
    return Run(tmp_path / "other", cache)


@pytest.mark.slow
@pytest.mark.parametrize("max_grad_norm", [1.0, None])
def test_a_skipped_step_leaves_rate_merge_and_reset_on_one_clock(
    max_grad_norm: float | None, run: Run, other: Run, make_spec: MakeSpec, poison: Poison
) -> None:
    """Faults 9 and 10 of the released code: the clocks part, or clipping raises first."""
    spec = make_spec(training={"max_grad_norm": max_grad_norm})
    healthy = other(spec)
    poison(spec, {5, 7})  # 7 is the step before the restart
    skipping = run(spec)
    assert [event.step for event in skipping.of(Warned)] == [6, 8]
    [finished] = skipping.of(TrainFinished)
    assert (finished.step, finished.skipped_steps) == (12, 2)
    rates = {event.step: event.learning_rate for event in healthy.of(StepFinished)}
    steps = skipping.of(StepFinished)
    assert [event.step for event in steps] == [1, 2, 3, 4, 5, 7, 9, 10, 11, 12]
    assert all(event.learning_rate == rates[event.step] for event in steps)
    assert [event.step for event in skipping.of(Merged)] == [8]


@pytest.mark.slow
def test_a_gradient_that_overflows_is_skipped_though_the_loss_is_finite(
    run: Run, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Overflow(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, loss: Tensor) -> Tensor:
            return loss.clone()

        @staticmethod
        def backward(_: Any, *gradients: Tensor) -> Tensor:
            return gradients[0] * math.inf

    calls = itertools.count()

    def loss(task: CausalLM, model: nn.Module, batch: Batch) -> Tensor:
        total = healthy_loss(task, model, batch)
        if not total.requires_grad:  # an evaluation
            return total
        return Overflow.apply(total) if next(calls) == 5 else total  # type: ignore[no-untyped-call]

    monkeypatch.setattr(CausalLM, "sum_of_losses", loss)
    recorder = run(make_spec(training={"micro_batch_size": 4}))
    [warning] = recorder.of(Warned)
    assert warning.step == 6
    assert recorder.of(TrainFinished)[0].skipped_steps == 1


@pytest.mark.slow
def test_a_rewind_undoes_the_steps_and_goes_on_with_other_data(
    run: Run, make_spec: MakeSpec, poison: Poison
) -> None:
    spec = make_spec(training=REWINDING)
    poison(spec, {8, 9})
    recorder = run(spec)
    [rewound] = recorder.of(Rewound)
    assert (rewound.from_step, rewound.to_step) == (10, 5)
    assert (rewound.passed_over_steps, rewound.number) == (5, 1)
    assert str(rewound) == (
        "rewind 1: from step 10 back to 5, on with other data; that of 5 steps is passed over"
    )
    assert [event.step for event in recorder.of(StepFinished)] == [*range(1, 9), *range(6, 13)]
    assert [event.step for event in recorder.of(Merged)] == [8, 8]
    [finished] = recorder.of(TrainFinished)
    assert (finished.step, finished.restarts, finished.skipped_steps) == (12, 1, 2)
    assert finished.tokens_seen == 12 * spec.tokens_per_step


@pytest.mark.slow
def test_the_steps_after_a_rewind_read_what_a_run_on_that_data_would(
    run: Run, other: Run, make_spec: MakeSpec, poison: Poison, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(training=REWINDING)
    poison(spec, {8, 9})
    run(spec)
    monkeypatch.undo()
    read = BatchLoader.batch
    monkeypatch.setattr(BatchLoader, "batch", lambda self, at: read(self, at if at < 5 else at + 5))
    other(spec)  # never in trouble
    assert_same_weights(run.weights(), other.weights())


@pytest.mark.slow
def test_a_rewind_over_the_switch_takes_the_low_rank_layers_out_again(
    run: Run, make_spec: MakeSpec, poison: Poison
) -> None:
    spec = make_spec(training=REWINDING, checkpoint={"every": 3})
    poison(spec, {4, 5})
    recorder = run(spec)
    assert [event.to_step for event in recorder.of(Rewound)] == [3]
    phases = [(event.step, event.phase) for event in recorder.of(PhaseStarted)]
    assert phases == [(0, "warm_start"), (4, "low_rank"), (4, "low_rank")]
    assert recorder.of(TrainFinished)[0].restarts == 1


@pytest.mark.slow
@pytest.mark.parametrize("killed_at", [7, 8, 10])
def test_a_run_killed_around_a_rewind_ends_with_the_same_bits(
    killed_at: int, run: Run, other: Run, make_spec: MakeSpec, poison: Poison
) -> None:
    """Killed at an event: it keeps what is on disk, and nothing that was in memory."""
    spec = make_spec(training={**REWINDING, "spike_window": 2}, checkpoint={"every": 3})
    poison(spec, {7, 8})
    expected = other(spec)
    assert [event.to_step for event in expected.of(Rewound)] == [6]

    class Killed(BaseException):
        pass

    before = Recorder()
    undone = killed_at != 7  # 7 is before the rewind; 8 and 10 come after it

    def until_killed(event: Any) -> None:
        before(event)
        there = isinstance(event, StepFinished) and event.step == killed_at
        if there and bool(before.of(Rewound)) is undone:
            raise Killed

    with pytest.raises(Killed):
        train(spec, run.workdir, until_killed, lambda: False, cache=run.cache)
    after = run(spec)
    assert after.of(TrainStarted)[0].step == (9 if killed_at == 10 else 6)
    assert_same_weights(run.weights(), other.weights())
    losses = {event.step: event.loss for event in expected.of(StepFinished)}
    assert all(losses[event.step] == event.loss for event in after.of(StepFinished)[1:])


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [7, 8])
def test_a_stop_shortly_before_does_not_change_where_a_rewind_leads(
    stop_at: int, run: Run, other: Run, make_spec: MakeSpec, poison: Poison
) -> None:
    spec = make_spec(training=REWINDING)
    poison(spec, {8, 9})
    other(spec)
    stopped = run(spec, stop_at=stop_at)
    assert stopped.of(TrainStopped)[0].step == stop_at
    resumed = run(spec)
    assert [(event.from_step, event.to_step) for event in resumed.of(Rewound)] == [(10, 5)]
    assert [event.step for event in resumed.of(CheckpointDeleted)][:1] == [stop_at]
    assert_same_weights(run.weights(), other.weights())


LATE = {**REWINDING, "log_every": 50}  # nothing but checkpoints has the results read


@pytest.mark.parametrize("positions", [{5, 8, 9}, {6, 10, 11}, {3, 4}])
def test_results_that_are_read_late_change_no_bit_and_no_number(
    positions: set[int],
    run: Run,
    other: Run,
    make_spec: MakeSpec,
    poison: Poison,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = make_spec(training=LATE, checkpoint={"every": 3})
    poison(spec, positions)
    monkeypatch.setattr(trainer, "UNREAD", 0)
    at_once = other(spec)
    monkeypatch.setattr(trainer, "UNREAD", 2)
    late = run(spec)
    assert len(late.of(Rewound)) == 1
    timeless = {"time", "pause_seconds", "seconds", "peak_memory_bytes"}
    timeless |= {each.name for each in fields(Report)}
    for kind in (Warned, Rewound, Merged, StepFinished, TrainFinished):
        expected, found = (
            [event.model_dump(exclude=timeless) for event in events.of(kind)]
            for events in (at_once, late)
        )
        assert found == expected, kind
    assert_same_weights(run.weights(), other.weights())


@pytest.mark.parametrize("stop_before", [6, 8, 9, 10])
def test_a_stop_amid_unread_results_does_not_change_where_a_rewind_leads(
    stop_before: int, run: Run, other: Run, make_spec: MakeSpec, poison: Poison
) -> None:
    spec = make_spec(training=LATE)
    poison(spec, {7, 8})
    expected = [(event.from_step, event.to_step) for event in other(spec).of(Rewound)]
    assert expected == [(9, 5)]
    begun = itertools.count()
    train(spec, run.workdir, run.recorder, lambda: next(begun) == stop_before, cache=run.cache)
    stopped = run.recorder
    resumed = run(spec)
    rewinds = [*stopped.of(Rewound), *resumed.of(Rewound)]
    assert [(event.from_step, event.to_step) for event in rewinds] == expected
    assert resumed.of(TrainFinished)[0].skipped_steps == 2
    assert_same_weights(run.weights(), other.weights())


def test_a_second_rewind_to_the_same_checkpoint_reads_on_where_the_first_failed(
    run: Run, make_spec: MakeSpec, poison: Poison
) -> None:
    spec = make_spec(training=REWINDING)
    poison(spec, {6, 7, 9, 10})  # 8 comes first after the rewind, as step 5
    recorder = run(spec)
    rewinds = [
        (event.from_step, event.to_step, event.passed_over_steps) for event in recorder.of(Rewound)
    ]
    assert rewinds == [(8, 5, 3), (8, 5, 3)]
    assert [event.number for event in recorder.of(Rewound)] == [1, 2]
    assert recorder.of(TrainFinished)[0].skipped_steps == 4


def test_a_damaged_checkpoint_is_passed_over_by_a_rewind_too(
    run: Run, make_spec: MakeSpec, poison: Poison
) -> None:
    spec = make_spec(training=REWINDING, checkpoint={"every": 2, "keep_last": 9})
    poison(spec, {9, 10})
    run(spec, stop_at=9)
    file = run.workdir / "checkpoints" / "step-00000008" / "model-00001.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    recorder = run(spec)
    assert [event.to_step for event in recorder.of(Rewound)] == [9]  # the stop's, still whole
    assert "checkpoint_damaged" in [event.code for event in recorder.of(Warned)]


@pytest.mark.parametrize(
    ("training", "checkpoint", "message"),
    [
        ({"on_divergence": "fail"}, 5, r"up to step 10 \(loss nan, .*or set training.on_diverg"),
        ({"max_rewinds": 0}, 5, "up to step 10 .*, after 0 rewinds; lower optimizer"),
        ({}, 50, "up to step 10 .*, and there is no checkpoint to go back to; lower optimizer"),
        ({"max_rewinds": 2}, 5, "up to step 7 .*, after 2 rewinds; lower optimizer"),
    ],
)
def test_where_no_rewind_is_left_the_run_fails_with_the_reason(
    training: dict[str, Any],
    checkpoint: int,
    message: str,
    run: Run,
    make_spec: MakeSpec,
    poison: Poison,
) -> None:
    spec = make_spec(training={**REWINDING, **training}, checkpoint={"every": checkpoint})
    poison(spec, range(8, 40))
    with pytest.raises(Diverged, match=f"not finite for 2 steps in a row, {message}"):
        run(spec)
    assert len(run.recorder.of(Rewound)) == (2 if training.get("max_rewinds") else 0)


def test_a_failed_run_may_be_resumed_with_rewinds(
    run: Run, make_spec: MakeSpec, poison: Poison
) -> None:
    spec = make_spec(training={**REWINDING, "on_divergence": "fail"})
    poison(spec, {8, 9})
    with pytest.raises(Diverged):
        run(spec)
    recorder = run(make_spec(training={**REWINDING, "on_divergence": "rewind"}))
    assert recorder.of(TrainStarted)[0].step == 5
    assert recorder.of(TrainFinished)


def test_a_spike_is_reported_and_its_step_taken_in_a_resumed_run_too(
    run: Run, other: Run, make_spec: MakeSpec, poison: Poison
) -> None:
    spec = make_spec(training={"spike_window": 4}, checkpoint={"every": 50})
    poison(spec, {10}, times=10)
    [expected] = other(spec).of(LossSpiked)
    assert expected.step == 11
    assert other.recorder.of(TrainFinished)[0].skipped_steps == 0
    run(spec, stop_at=9)
    [resumed] = run(spec).of(LossSpiked)
    assert resumed.model_dump(exclude={"time"}) == expected.model_dump(exclude={"time"})


@pytest.mark.slow
def test_all_ranks_rewind_together(
    fork: Fork, tmp_path: Path, cache: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(training=REWINDING)
    bad = sorted(batches_of(spec, cache, {8, 9}))
    (tmp_path / "bad.json").write_text(json.dumps(bad[::2]))  # of some ranks, not of all
    losses = []
    for processes in (1, 2):
        run = fork(spec, f"{processes}", processes=processes, fault=f"poison:{tmp_path}/bad.json")
        assert run.wait(LONGEST_RUN) == 0
        events = events_in(tmp_path / f"{processes}")
        assert [e.to_step for e in events if isinstance(e, Rewound)] == [5]
        losses.append([e.loss for e in events if isinstance(e, StepFinished)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
