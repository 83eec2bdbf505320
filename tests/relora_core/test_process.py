"""The trainer as its users and the worker start it: real processes, signals and kills."""

import errno
import gc
import json
import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
import torch

from relora_core import process as program
from relora_core.__main__ import main
from relora_core.errors import UnexpectedError
from relora_core.events import (
    CheckpointSaved,
    DataPrepared,
    MemoryMeasured,
    TrainFailed,
    TrainFinished,
    TrainStopped,
)
from relora_core.training.train import train
from tests.relora_core.conftest import MakeSpec, Recorder
from tests.relora_core.forks import Fork
from tests.relora_core.processes import (
    ENDLESS,
    LONGEST_RUN,
    Start,
    events_in,
    steps_of,
    wait_for,
)

pytestmark = pytest.mark.integration


def assert_saved_and_stopped(workdir: Path) -> CheckpointSaved:
    """Check the last three events, and return the first of them."""
    *_, saved, memory, stopped = events_in(workdir)
    assert isinstance(memory, MemoryMeasured)
    assert isinstance(saved, CheckpointSaved)
    assert isinstance(stopped, TrainStopped)
    assert saved.step == stopped.step
    return saved


@pytest.mark.slow
def test_asked_by_a_signal_to_stop_it_saves_and_leaves_cleanly(
    start: Start, tmp_path: Path, make_spec: MakeSpec
) -> None:
    process = start(make_spec(**ENDLESS))
    wait_for(lambda: len(steps_of(tmp_path / "run")) > 5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONGEST_RUN) == 0
    assert_saved_and_stopped(tmp_path / "run")


@pytest.mark.slow
def test_asked_by_a_file_to_stop_it_saves_and_leaves_cleanly(
    fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    process = fork(make_spec(**ENDLESS))
    wait_for(lambda: len(steps_of(tmp_path / "run")) > 5)
    (tmp_path / "run" / "stop").touch()
    assert process.wait(LONGEST_RUN) == 0
    assert_saved_and_stopped(tmp_path / "run")


@pytest.mark.slow
@pytest.mark.parametrize(("log_every", "stops_at"), [(1, 7), (50, 8)])
def test_all_ranks_stop_at_the_step_at_which_they_hear_that_one_was_asked(
    log_every: int, stops_at: int, fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(training={"steps": 100, "log_every": log_every}, checkpoint={"every": 50})
    assert fork(spec, processes=2, fault="ask:7").wait(LONGEST_RUN) == 0
    assert assert_saved_and_stopped(tmp_path / "run").step == stops_at


@pytest.mark.slow
def test_a_run_whose_supervisor_is_gone_exits_at_once(
    fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    process = fork(make_spec(**ENDLESS), supervised=True)
    wait_for(lambda: len(steps_of(tmp_path / "run")) > 5)
    process.lose_supervisor()
    assert process.wait(LONGEST_RUN) == 3
    assert not isinstance(events_in(tmp_path / "run")[-1], TrainFinished | TrainStopped)


@pytest.mark.slow
def test_all_ranks_of_a_run_whose_supervisor_is_gone_exit_at_once(
    start: Start, tmp_path: Path, make_spec: MakeSpec
) -> None:
    process = start(make_spec(**ENDLESS), processes=2, supervised=True)
    wait_for(lambda: len(steps_of(tmp_path / "run")) > 5)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(LONGEST_RUN) != 0
    assert not isinstance(events_in(tmp_path / "run")[-1], TrainFinished | TrainStopped)


@pytest.mark.slow
def test_a_run_that_cannot_work_says_why_in_its_last_event(
    fork: Fork, tmp_path: Path, make_spec: MakeSpec
) -> None:
    spec = make_spec(data={"train": {"uri": "/no/such/file.jsonl"}})
    assert fork(spec).wait(LONGEST_RUN) == 1
    failed = events_in(tmp_path / "run")[-1]
    assert isinstance(failed, TrainFailed)
    assert (failed.code, failed.retryable) == ("data_error", False)
    assert "no file matches '/no/such/file.jsonl'" in failed.message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ZeroDivisionError("nobody thought of this"), "unexpected_error"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_error"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
    ],
)
def test_an_error_that_no_part_expects_is_told_as_one_of_ours(
    error: Exception,
    code: str,
    tmp_path: Path,
    make_spec: MakeSpec,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("relora_core.training.train.Timeline.of", fail)
    spec, cache = make_spec(), tmp_path / "cache"
    with pytest.raises(UnexpectedError) as raised:
        train(spec, tmp_path / "library", cache=cache)
    assert (raised.value.__cause__, raised.value.code) == (error, code)

    recorder = Recorder()
    run = partial(program._train, spec, tmp_path / "run", recorder, lambda: False)
    assert run(cache=cache, staged={}) == 1
    (failed,) = recorder.of(TrainFailed)
    assert (failed.code, failed.retryable) == (code, True)
    assert str(error) in failed.message
    assert "Traceback" in caplog.text


@pytest.mark.slow
def test_a_run_on_prepared_data_reads_none(
    tmp_path: Path, make_spec: MakeSpec, caplog: pytest.LogCaptureFixture
) -> None:
    spec, cache = make_spec(method={"name": "full"}, training={"steps": 1}), tmp_path / "cache"
    file = tmp_path / "spec.json"
    file.write_text(spec.model_dump_json())
    with caplog.at_level(logging.INFO):
        assert main(["prepare", str(file), "--cache", str(cache)]) == 0
    assert caplog.messages[-1].startswith(f"ready in {cache}: ")

    recorder = Recorder()
    train(spec, tmp_path / "run", recorder, cache=cache)
    assert [event.reused for event in recorder.of(DataPrepared)] == [True, True]


def test_data_that_cannot_be_prepared_is_told(
    tmp_path: Path, make_spec: MakeSpec, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "spec.json"
    file.write_text(make_spec(data={"train": {"uri": "/no/such.jsonl"}}).model_dump_json())
    assert main(["prepare", str(file), "--cache", str(tmp_path)]) == 1
    assert "no file matches '/no/such.jsonl'" in caplog.messages[-1]


def test_a_wrong_spec_is_told_field_by_field(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "spec.json"
    file.write_text(json.dumps({"model": {"preset": "llama_9m"}, "training": {"stps": 3}}))
    assert main(["train", str(file), "--workdir", str(tmp_path / "run")]) == 2
    assert "data: required" in caplog.text
    assert "training.stps: unknown field; did you mean `steps`?" in caplog.text
    assert not (tmp_path / "run").exists()


def test_the_help_shows_what_is_for_people_alone(capsys: pytest.CaptureFixture[str]) -> None:
    shown = {}
    for command in ((), ("train",), ("export",), ("estimate",)):
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        shown[command] = capsys.readouterr().out
    assert "generate" not in shown[()]
    for option in ("--staged", "--supervised"):
        assert option not in "".join(shown.values())
    assert "--workdir" in shown[("train",)]
    # as `relora estimate` names it
    assert "--utilization" in shown[("estimate",)]


@pytest.mark.parametrize("set_by_hand", [None, "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"])
def test_memory_of_a_gpu_grows_in_segments_unless_the_environment_says_otherwise(
    set_by_hand: str | None, make_spec: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment: dict[str, str] = {}
    if set_by_hand:
        environment[set_by_hand] = "max_split_size_mb:512"
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(program, "run", lambda *_, **__: 0)
    file = tmp_path / "spec.json"
    file.write_text(make_spec().model_dump_json())
    assert main(["train", str(file), "--workdir", str(tmp_path / "run")]) == 0
    allocator = {name: value for name, value in environment.items() if "ALLOC_CONF" in name}
    if set_by_hand:
        assert allocator == {set_by_hand: "max_split_size_mb:512"}
    else:
        assert allocator == {"PYTORCH_ALLOC_CONF": "expandable_segments:True"}


def test_what_is_loaded_to_train_is_left_out_of_garbage_collections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searching through it again and again took a quarter of the time of a start."""
    kept: list[list[int]] = []
    collecting: set[bool] = set()

    class Loaded(ModuleType):
        def __getattr__(self, name: str) -> object:
            kept.extend([1] for _ in range(1000))
            collecting.add(gc.isenabled())
            return getattr(program, name)

    monkeypatch.setitem(sys.modules, program.__name__, Loaded(program.__name__))
    frozen = gc.get_freeze_count()
    arguments = ["export", "--workdir", str(tmp_path), "--to", str(tmp_path / "model")]
    assert main(arguments) == 1
    assert collecting == {False}
    assert gc.isenabled()
    assert gc.get_freeze_count() >= frozen + len(kept)
