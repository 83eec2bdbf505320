"""What a report tells of the machine."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from relora_core.distributed.world import SINGLE_PROCESS
from relora_core.estimate import GPUS
from relora_core.estimate.shape_of import shape_of
from relora_core.estimate.token_flops import flops_of_phase, peak_flops
from relora_core.events import StepFinished
from relora_core.training.telemetry import StepClock, Telemetry
from relora_core.training.train import train
from tests.relora_core.conftest import MakeSpec, Recorder

PEAK = 1e12


@dataclass
class Watch:
    """A clock that a test turns."""

    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def clock(watch: Watch) -> StepClock:
    return StepClock(watch)


def take(clock: StepClock, watch: Watch, seconds: float, *, waiting: float = 0.0) -> None:
    with clock.step():
        with clock.waiting():
            watch.seconds += waiting
        watch.seconds += seconds - waiting


def test_the_steps_of_a_compiler_are_not_timed(clock: StepClock, watch: Watch) -> None:
    clock.expect_compiler(compiles=True)
    take(clock, watch, 90.0, waiting=5.0)
    for _ in range(4):
        take(clock, watch, 0.5, waiting=0.1)
    assert (clock.steps, clock.seconds) == (4, 2.0)
    assert clock.waited == pytest.approx(0.4)
    assert clock.steps_per_second == 2.0


def test_of_the_compilers_steps_alone_their_own_pace_is_told(
    clock: StepClock, watch: Watch
) -> None:
    clock.expect_compiler(compiles=True)
    take(clock, watch, 4.0)
    assert (clock.steps, clock.steps_per_second) == (0, 0.25)


def test_what_is_done_in_a_step_beside_training_is_not_timed(
    clock: StepClock, watch: Watch
) -> None:
    with clock.step():
        with clock.uncounted():
            watch.seconds += 30.0
        watch.seconds += 0.5
    with clock.uncounted():
        watch.seconds += 10.0
    assert clock.seconds == 0.5


def test_utilization_is_the_arithmetic_at_this_pace_over_the_peak(
    make_spec: MakeSpec, watch: Watch
) -> None:
    spec = make_spec()
    telemetry = Telemetry(spec, SINGLE_PROCESS, peak=PEAK)
    telemetry.clock = StepClock(watch)
    take(telemetry.clock, watch, 0.25, waiting=0.05)
    report = telemetry.report("low_rank", micro_batch=2)
    tokens = 4 * 4 * 32  # four steps a second, of four sequences
    flops = flops_of_phase(spec, shape_of(spec), "low_rank", micro_batch=2)
    assert report.tokens_per_second == tokens
    assert report.mfu == pytest.approx(tokens * flops.model / PEAK)
    assert report.hfu == pytest.approx(tokens * flops.executed / PEAK)
    assert report.step_seconds == pytest.approx(0.25)
    assert report.data_wait_seconds == pytest.approx(0.05)
    assert telemetry.clock.steps == 0


def test_a_cpu_has_no_known_peak_so_no_utilization(make_spec: MakeSpec, watch: Watch) -> None:
    telemetry = Telemetry(make_spec(), SINGLE_PROCESS)
    telemetry.clock = StepClock(watch)
    take(telemetry.clock, watch, 0.25)
    report = telemetry.report("low_rank", micro_batch=2)
    assert (report.mfu, report.hfu, report.gpu_utilization) == (None, None, None)


def test_the_peak_is_that_of_the_precision(make_spec: MakeSpec) -> None:
    h100 = GPUS["h100"]
    assert peak_flops(make_spec(training={"precision": "bf16"}), h100) == h100.bf16_flops
    assert peak_flops(make_spec(training={"precision": "fp32"}), h100) == h100.fp32_flops


@pytest.mark.slow
def test_a_run_reports_its_steps_its_waiting_and_its_memory(
    make_spec: MakeSpec, tmp_path: Path, cache: Path, recorder: Recorder
) -> None:
    train(make_spec(), tmp_path, recorder, cache=cache)
    reports = recorder.of(StepFinished)
    assert len(reports) == 12
    for report in reports:
        assert report.step_seconds is not None
        assert report.tokens_per_second == pytest.approx(4 * 32 / report.step_seconds)
        assert report.data_wait_seconds is not None
        assert 0 <= report.data_wait_seconds < report.step_seconds
        assert report.memory_allocated_bytes is not None
        assert report.memory_peak_bytes is not None
        assert 50e6 < report.memory_allocated_bytes <= report.memory_peak_bytes
        assert (report.mfu, report.gpu_utilization) == (None, None)


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_the_first_report_of_a_compiled_phase_does_not_count_the_compiler(
    make_spec: MakeSpec, tmp_path: Path, cache: Path, recorder: Recorder
) -> None:
    spec = make_spec(
        training={"compile": True, "steps": 8, "log_every": 2}, method={"name": "full"}
    )
    train(spec, tmp_path, recorder, cache=cache)
    first, *others = recorder.of(StepFinished)
    assert first.step_seconds is not None
    typical = sorted(each.step_seconds or 0.0 for each in others)[1]
    assert first.step_seconds < 20 * typical  # a compiler takes seconds, a step milliseconds
