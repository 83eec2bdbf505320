"""The trainer as its users and the worker start it: real processes, signals and kills."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from relora_core.__main__ import main
from relora_core.events import (
    AnyTrainEvent,
    CheckpointSaved,
    Merged,
    StepFinished,
    TrainFailed,
    TrainFinished,
    TrainStarted,
    TrainStopped,
    from_line,
)
from relora_core.spec import TrainSpec
from tests.relora_core.conftest import MakeSpec

pytestmark = pytest.mark.integration

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path, cache: Path) -> Iterator[Start]:
    """Start the trainer on `tmp_path / name`; what still runs at the end is killed."""
    started = []

    def begin(
        spec: TrainSpec, name: str = "run", *, processes: int = 0, supervised: bool = False
    ) -> subprocess.Popen[bytes]:
        file = tmp_path / f"{name}.yaml"
        file.write_text(yaml.safe_dump(spec.model_dump(mode="json")))
        torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        launcher = [*torchrun, "-m"] if processes else []
        process = subprocess.Popen(
            [sys.executable, "-m", *launcher, "relora_core", "train", str(file)]
            + ["--workdir", str(tmp_path / name), "--cache", str(cache)]
            + (["--supervised"] if supervised else []),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def events_in(workdir: Path) -> list[AnyTrainEvent]:
    file = workdir / "events.jsonl"
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [from_line(line) for line in lines]


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def steps_of(workdir: Path) -> dict[int, float]:
    return {
        event.step: event.loss for event in events_in(workdir) if isinstance(event, StepFinished)
    }


LONG: dict[str, Any] = {
    "training": {"steps": 400},
    "method": {"warm_start_steps": 100, "reset_every": 50},
    "checkpoint": {"every": 25},
}


def test_a_run_killed_anywhere_ends_with_the_same_bits(
    start: Start, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(**LONG)
    assert start(spec, "whole").wait(120) == 0
    for kill_after in (60, 210):
        process = start(spec)
        wait_for(lambda after=kill_after: max(steps_of(tmp_path / "run"), default=0) >= after)  # type: ignore[misc]
        process.kill()
        process.wait()
    assert start(spec).wait(120) == 0

    events = events_in(tmp_path / "run")
    resumed = [event.step for event in events if isinstance(event, TrainStarted)]
    assert len(resumed) == 3
    assert 0 < resumed[1] < resumed[2]
    assert steps_of(tmp_path / "run") == steps_of(tmp_path / "whole")
    for file in ("final", "checkpoints/step-00000400"):
        for one in sorted((tmp_path / "whole" / file).glob("*.safetensors")):
            whole, resumed_run = load_file(one), load_file(tmp_path / "run" / file / one.name)
            assert all(torch.equal(tensor, resumed_run[name]) for name, tensor in whole.items())


def test_two_processes_resume_what_one_began(
    start: Start, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(**LONG)
    process = start(spec)
    wait_for(lambda: max(steps_of(tmp_path / "run"), default=0) >= 60)
    process.kill()
    process.wait()
    assert start(spec, processes=2).wait(120) == 0
    events = events_in(tmp_path / "run")
    resumed = [event for event in events if isinstance(event, TrainStarted)][-1]
    assert resumed.step >= 50
    assert resumed.world_size == 2
    assert isinstance(events[-1], TrainFinished)


def test_two_processes_train_like_one_merges_included(
    start: Start, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec()
    one, two = start(spec, "one"), start(spec, "two", processes=2)
    assert (one.wait(120), two.wait(120)) == (0, 0)
    assert steps_of(tmp_path / "two") == pytest.approx(steps_of(tmp_path / "one"), rel=1e-5)
    merges = [
        [event.update_norm for event in events_in(tmp_path / name) if isinstance(event, Merged)]
        for name in ("one", "two")
    ]
    assert merges[0] == pytest.approx(merges[1], rel=1e-4)
    assert len(merges[0]) == 1


@pytest.mark.parametrize("how", ["signal", "file"])
def test_asked_to_stop_it_saves_and_leaves_cleanly(
    how: str, start: Start, tmp_path: Path, make_spec: MakeSpec
) -> None:
    process = start(make_spec(**{**LONG, "training": {"steps": 100_000}}))
    wait_for(lambda: len(steps_of(tmp_path / "run")) > 5)
    if how == "signal":
        process.send_signal(signal.SIGTERM)
    else:
        (tmp_path / "run" / "stop").touch()
    assert process.wait(30) == 0
    *_, saved, stopped = events_in(tmp_path / "run")
    assert isinstance(saved, CheckpointSaved)
    assert isinstance(stopped, TrainStopped)
    assert saved.step == stopped.step


@pytest.mark.parametrize("processes", [0, 2])
def test_a_run_whose_supervisor_is_gone_exits_at_once(
    processes: int, start: Start, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(**{**LONG, "training": {"steps": 100_000}})
    process = start(spec, processes=processes, supervised=True)
    wait_for(lambda: len(steps_of(tmp_path / "run")) > 5)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(30) != 0
    assert not isinstance(events_in(tmp_path / "run")[-1], TrainFinished | TrainStopped)


def test_a_run_that_cannot_work_says_why_in_its_last_event(
    start: Start, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(data={"train": {"uri": "/no/such/file.jsonl"}})
    assert start(spec).wait(60) == 1
    failed = events_in(tmp_path / "run")[-1]
    assert isinstance(failed, TrainFailed)
    assert (failed.code, failed.retryable) == ("data_error", False)
    assert "no file matches '/no/such/file.jsonl'" in failed.message


def test_a_wrong_spec_is_told_field_by_field(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"model": {"preset": "llama_9m"}, "training": {"stps": 3}}))
    assert main(["train", str(file), "--workdir", str(tmp_path / "run")]) == 2
    assert "data: required" in caplog.text
    assert "training.stps: unknown field; did you mean `steps`?" in caplog.text
    assert not (tmp_path / "run").exists()
