import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from relora_core.events import Merged, ProfileSaved, StepFinished, Warned
from relora_core.spec import TrainSpec
from relora_core.training.profile import MEMORY, OPERATORS, TRACE
from relora_core.training.train import train
from relora_core.workdir.files import MOST_PROFILED_STEPS, PROFILE
from tests.relora_core.conftest import MakeSpec, Recorder, assert_same_weights

pytestmark = pytest.mark.slow


class Run:
    """A run that is asked for a profile when it has taken some steps."""

    def __init__(self, workdir: Path, cache: Path) -> None:
        self.workdir = workdir
        self.cache = cache
        self.request = workdir / PROFILE

    def __call__(
        self, spec: TrainSpec, *, ask: str | None = None, at: int = 0, stop_at: int | None = None
    ) -> Recorder:
        recorder, asked = Recorder(), iter([ask] if ask else [])

        def stop_requested() -> bool:
            steps = [event.step for event in recorder.of(StepFinished)]
            taken = steps[-1] if steps else 0
            if taken == at and (text := next(asked, None)):
                self.request.write_text(text)
            return taken == stop_at

        train(spec, self.workdir, recorder, stop_requested, cache=self.cache)
        return recorder


@pytest.fixture
def run(tmp_path: Path, cache: Path) -> Run:
    return Run(tmp_path / "run", cache)


def trace_of(run: Run, event: ProfileSaved) -> list[dict[str, Any]]:
    with gzip.open(run.workdir / event.path / TRACE) as file:
        events: list[dict[str, Any]] = json.load(file)["traceEvents"]
    return events


def test_the_steps_asked_for_are_profiled_and_the_weights_stay_the_same(
    run: Run, make_spec: MakeSpec, tmp_path: Path, cache: Path
) -> None:
    spec = make_spec()
    recorder = run(spec, ask="3\n", at=6)
    (event,) = recorder.of(ProfileSaved)
    assert (event.from_step, event.step, event.path) == (6, 9, "profiles/step-00000006")
    assert str(event).startswith("step 9: profile of 3 steps")
    assert recorder.of(Merged)[0].step == 8  # a restart is among these steps

    names = [each.get("name", "") for each in trace_of(run, event)]
    assert sum(name == "aten::embedding" for name in names) >= 3
    assert {f"ProfilerStep#{step}" for step in (6, 7, 8)} <= {*names}
    table = (run.workdir / event.path / OPERATORS).read_text()
    assert "aten::mm" in table
    assert not (run.workdir / event.path / MEMORY).exists()  # only of a GPU
    assert not run.request.exists()
    files = (run.workdir / event.path).iterdir()
    assert event.bytes == sum(file.stat().st_size for file in files)

    other = Run(tmp_path / "other", cache)
    other(spec)
    final = "final/model.safetensors"
    assert_same_weights(load_file(other.workdir / final), load_file(run.workdir / final))


def test_a_profile_ends_with_the_run_if_that_has_fewer_steps_left(
    run: Run, make_spec: MakeSpec
) -> None:
    (event,) = run(make_spec(), ask="5", at=10).of(ProfileSaved)
    assert (event.from_step, event.step) == (10, 12)


def test_a_profile_that_a_stop_interrupts_is_made_after_it(run: Run, make_spec: MakeSpec) -> None:
    spec = make_spec()
    assert not run(spec, ask="4", at=2, stop_at=4).of(ProfileSaved)
    (event,) = run(spec).of(ProfileSaved)
    assert (event.from_step, event.step) == (4, 8)


@pytest.mark.parametrize("text", ["0", str(MOST_PROFILED_STEPS + 1), "all", ""])
def test_a_wrong_number_of_steps_is_a_warning(text: str, run: Run, make_spec: MakeSpec) -> None:
    recorder = run(make_spec(), ask=text or " ", at=10)
    [warning] = [each for each in recorder.of(Warned) if each.code == "profile_refused"]
    assert "write a number of steps from 1 to 50" in warning.message
    assert not recorder.of(ProfileSaved)
    assert not run.request.exists()
