"""What each restart cost and bought, as a run reports it."""

import json
import math
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from torch.linalg import LinAlgError  # type: ignore[attr-defined] # its stubs leave it out

from relora_core.events import (
    Evaluated,
    Merged,
    RestartReport,
    RestartReported,
    Rewound,
    SpectrumMeasured,
    StepFinished,
    Warned,
)
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec
from relora_core.tasks.causal_lm import CausalLM
from relora_core.training.restart_report import REPORT, RestartReports
from relora_core.training.train import train
from tests.relora_core.conftest import MakeSpec, Recorder
from tests.relora_core.faults import poisoned
from tests.relora_core.training.test_rewind import batches_of

WARM, EVERY, STEPS = 4, 8, 32  # the switch before step 4; restarts before 8, 16 and 24
TOKENS = 4 * 32  # in a step


@pytest.fixture
def spec(make_spec: MakeSpec) -> TrainSpec:
    return spec_of(make_spec)


def spec_of(make_spec: MakeSpec, **parts: Any) -> TrainSpec:
    method = {"warm_start_steps": WARM, "reset_every": EVERY, **parts.pop("method", {})}
    training = {"steps": STEPS, **parts.pop("training", {})}
    return make_spec(
        **{
            "method": method,
            "training": training,
            "schedule": {"restart_warmup_steps": 2, "warmup_steps": 2},
            "evaluation": {"every": 4},
            "spectrum": {"enabled": "auto"},
            **parts,
        }
    )


class Run:
    """A run in a folder, and what it reported."""

    def __init__(self, workdir: Path, cache: Path) -> None:
        self.workdir = workdir
        self.cache = cache
        self.recorder = Recorder()

    def __call__(self, spec: TrainSpec, *, stop_after: int | None = None) -> "Run":
        def stop_requested() -> bool:
            steps = self.recorder.of(StepFinished)
            return stop_after is not None and bool(steps) and steps[-1].step == stop_after

        train(spec, self.workdir, self.recorder, stop_requested, cache=self.cache)
        return self

    @property
    def told(self) -> list[RestartReport]:
        return [event.report for event in self.recorder.of(RestartReported)]

    @property
    def stored(self) -> list[RestartReport]:
        return [RestartReport(**one) for one in json.loads((self.workdir / REPORT).read_text())]


@pytest.fixture
def run(tmp_path: Path, cache: Path) -> Run:
    return Run(tmp_path / "run", cache)


@pytest.fixture(scope="module")
def whole(make_spec: MakeSpec, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that the others are compared with, left alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("relora_core.training.spectrum_report.picture", lambda _: b"no picture")
        return Run(tmp_path_factory.mktemp("whole"), cache)(spec_of(make_spec))


@pytest.fixture(autouse=True)
def no_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing of the spectrum, which takes a second."""
    monkeypatch.setattr("relora_core.training.spectrum_report.picture", lambda _: b"no picture")


def test_a_report_comes_when_the_cycle_of_its_restart_ends(whole: Run) -> None:
    assert [(one.restart, one.restart_step, one.step) for one in whole.told] == [
        (1, 8, 16),
        (2, 16, 24),
        (3, 24, 32),
    ]
    order = [
        (type(event), event.step)
        for event in whole.recorder.events
        if isinstance(event, SpectrumMeasured | RestartReported | Merged)
    ]
    for step in (16, 24):
        place = order.index((RestartReported, step))
        assert order[place - 1 : place + 2] == [
            (SpectrumMeasured, step),
            (RestartReported, step),
            (Merged, step),
        ]


def test_the_losses_are_means_of_the_steps_beside_the_restart(whole: Run) -> None:
    losses = [event.loss for event in whole.recorder.of(StepFinished)]  # one for each step
    for report, length in zip(whole.told, (4, 8, 8), strict=True):
        start, window = report.restart_step, math.ceil(length / 4)
        assert report.window == window
        assert report.loss_before == fmean(losses[start - window : start])
        assert report.loss_after == fmean(losses[start : start + window])
        assert report.loss_at_end == fmean(losses[report.step - window : report.step])
        means = [fmean(losses[k : k + window]) for k in range(start, report.step - window + 1)]
        before = fmean(losses[start - window : start])
        regained = [k for k, loss in enumerate(means) if loss <= before]
        assert report.steps_to_regain == (regained[0] if regained else None)


def test_the_validation_losses_are_those_of_the_evaluations_beside_the_restart(whole: Run) -> None:
    losses = {event.step: event.loss for event in whole.recorder.of(Evaluated)}
    for report in whole.told:
        start = report.restart_step
        assert report.validation_loss_before == losses[start]
        assert report.validation_loss_after == losses[start + 4]
        assert report.validation_loss_at_end == losses[report.step]


def test_the_warm_up_loses_the_tokens_of_the_rate_that_it_lacks(
    whole: Run, spec: TrainSpec
) -> None:
    timeline = Timeline.of(spec)
    for report in whole.told:
        steps = range(report.restart_step, report.restart_step + 2)
        lacked = [1 - timeline.learning_rate_at(k) / _unbroken(timeline, k) for k in steps]
        assert report.tokens_lost == round(sum(lacked) * TOKENS)
        assert 0 < report.tokens_lost < TOKENS  # it begins at half of the rate
        assert report.unit == "tokens"


def _unbroken(timeline: Timeline, step: int) -> float:
    return timeline.low_rank_learning_rate * timeline.envelope(step)


def test_without_a_warm_up_no_tokens_are_lost(run: Run, make_spec: MakeSpec) -> None:
    run(spec_of(make_spec, schedule={"restart_warmup_steps": 0}))
    assert [report.tokens_lost for report in run.told] == [0, 0, 0]


def test_the_rank_gained_is_what_the_spectrum_says(whole: Run) -> None:
    ranks = {e.step: e.effective_rank for e in whole.recorder.of(SpectrumMeasured)}
    for report in whole.told:
        assert report.rank_gained == pytest.approx(ranks[report.step] - ranks[report.restart_step])
        assert report.rank_gained is not None
        assert 1 < report.rank_gained <= 4


def test_the_angle_is_that_to_the_span_of_the_earlier_cycles(whole: Run) -> None:
    """The smaller width is 32, so the four directions of up to four cycles are compared with."""
    for earlier, report in enumerate(whole.told, start=1):
        assert report.overlap_by_chance is not None
        assert earlier * 4 / 64 < report.overlap_by_chance <= earlier * 4 / 32
        assert report.angle is not None
        assert 45 < report.angle < 90
        assert report.overlap is not None
        assert 0 < report.overlap < 1


def test_the_reports_are_a_file_beside_the_spectrum(whole: Run) -> None:
    assert whole.stored == whole.told
    event = whole.recorder.of(RestartReported)[-1]
    assert event.path == "reports/restarts.json"
    assert event.seconds > 0


def test_a_report_is_a_line_for_people(whole: Run) -> None:
    event = whole.recorder.of(RestartReported)[0]
    line = str(event)
    assert "\n" not in line
    assert line.startswith(f"restart 1 in hindsight: loss {event.loss_before:.4f} before")
    assert f"{event.tokens_lost} tokens lost to the warm-up" in line
    assert f"rank {event.rank_gained:+.1f}" in line
    assert f"{event.angle:.0f}° to the earlier cycles" in line


def test_without_the_spectrum_losses_are_reported_alone(run: Run, make_spec: MakeSpec) -> None:
    run(spec_of(make_spec, spectrum={"enabled": False}))
    for report in run.told:
        assert (report.rank_gained, report.angle, report.overlap) == (None, None, None)
        assert report.loss_after is not None
    assert not list((run.workdir / "checkpoints").rglob("directions-*"))


def test_without_evaluations_the_last_report_has_that_of_the_end(
    run: Run, make_spec: MakeSpec
) -> None:
    run(spec_of(make_spec, evaluation={"every": None}))
    found = [(one.validation_loss_before, one.validation_loss_after) for one in run.told]
    assert found[:2] == [(None, None)] * 2
    assert found[2] == (None, run.recorder.of(Evaluated)[-1].loss)


def test_rolling_restarts_are_reported_once_a_cycle(run: Run, make_spec: MakeSpec) -> None:
    run(spec_of(make_spec, method={"reset": "rolling"}))  # a renewal every second step from 6 on
    assert [(one.restart, one.restart_step, one.step) for one in run.told] == [
        (2, 8, 16),
        (6, 16, 24),
        (10, 24, 32),
    ]
    assert [one.tokens_lost for one in run.told] == [0, 0, 0]  # the rate does not warm up
    assert None not in {one.loss_after for one in run.told} | {one.angle for one in run.told}


def test_a_run_without_restarts_reports_none(run: Run, make_spec: MakeSpec) -> None:
    run(spec_of(make_spec, method={"name": "lora"}, training={"steps": 12}))
    assert run.told == []
    assert not (run.workdir / REPORT).exists()


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [3, 8, 9, 13, 16, 31])
def test_a_run_that_is_stopped_between_restart_and_report_reports_the_same(
    stop_after: int, whole: Run, spec: TrainSpec, run: Run, tmp_path: Path, cache: Path
) -> None:
    run(spec, stop_after=stop_after)
    elsewhere = Run(tmp_path / "elsewhere", cache)  # as on another machine: with this alone
    newest = f"checkpoints/step-{stop_after:08d}"
    shutil.copytree(run.workdir / newest, elsewhere.workdir / newest)
    elsewhere(spec)
    assert run.told + elsewhere.told == whole.told
    assert elsewhere.stored == whole.stored


@pytest.mark.slow
@pytest.mark.parametrize("frozen_dtype", ["bf16", "int8"])
def test_rounded_weights_are_reported_of_alike(
    frozen_dtype: str, whole: Run, run: Run, make_spec: MakeSpec
) -> None:
    run(spec_of(make_spec, method={"frozen_dtype": frozen_dtype}))
    for report, exact in zip(run.told, whole.told, strict=True):
        assert report.loss_at_end == pytest.approx(exact.loss_at_end, rel=1e-2)
        assert report.angle == pytest.approx(exact.angle, abs=2)
        assert report.tokens_lost == exact.tokens_lost


@pytest.mark.slow
def test_a_rewind_takes_back_what_is_reported_again(
    whole: Run, run: Run, spec: TrainSpec, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    """The run diverges right after the second restart, and goes back to before it."""
    rewinding = spec.training.model_copy(update={"on_divergence": "rewind", "max_skipped_steps": 2})
    loss = poisoned(batches_of(spec, cache, {17, 18}), times=math.nan)
    monkeypatch.setattr(CausalLM, "sum_of_losses", loss)
    run(spec.model_copy(update={"training": rewinding}))
    [rewound] = run.recorder.of(Rewound)
    assert rewound.to_step == 15
    assert [report.restart for report in run.told] == [1, 1, 2, 3]
    assert [report.restart for report in run.stored] == [1, 2, 3]
    assert run.told[0] == whole.told[0]
    assert run.stored[0] == run.told[1] != run.told[0]  # step 16 read other data


def test_a_failed_decomposition_costs_the_angle_and_not_the_run(
    run: Run, spec: TrainSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise LinAlgError("did not converge")

    monkeypatch.setattr("torch.linalg.eigh", fail)
    run(spec)
    assert [report.angle for report in run.told] == [None] * 3
    assert [event.code for event in run.recorder.of(Warned)] == ["no_angle"] * 3


def test_the_report_leaves_the_weights_as_they_would_be(
    whole: Run, run: Run, spec: TrainSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("before_step", "finish"):
        monkeypatch.setattr(RestartReports, name, lambda *_: None)
    run(spec)
    assert run.told == []
    alone, reported = (
        (one.workdir / "final" / "model.safetensors").read_bytes() for one in (run, whole)
    )
    assert alone == reported
