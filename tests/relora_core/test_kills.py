"""A run that a kill or a full disk ends, and that is started again, ends with the same bits."""

import shutil
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from relora_core import process as program
from relora_core.checkpoint.manifest import verify
from relora_core.events import TrainFailed, TrainStarted
from relora_core.training.train import train
from relora_core.workdir.event_log import run_log
from relora_core.workdir.files import step_folders
from tests.fixtures.disks import MakeDisk, resize
from tests.relora_core.conftest import MakeSpec
from tests.relora_core.forks import Fork, forking
from tests.relora_core.processes import (
    LONGEST_RUN,
    assert_same_bits,
    events_in,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SHORT = {"checkpoint": {"every": 3}}


def assert_nothing_is_half_visible(workdir: Path) -> None:
    """What stands under its name is whole; the rest is hidden."""
    for folder in (workdir / "checkpoints").glob("[!.]*"):
        verify(folder)
    for model in workdir.glob("final"):
        assert {"config.json", "model.safetensors", "README.md", "relora.json"} <= {
            file.name for file in model.iterdir()
        }
    names = {path.name for path in workdir.iterdir() if not path.name.startswith(".")}
    assert names <= {"checkpoints", "events.jsonl", "final", "reports"}


def resumed_steps(workdir: Path) -> list[int]:
    return [event.step for event in events_in(workdir) if isinstance(event, TrainStarted)]


@pytest.fixture(scope="module")
def whole(
    tmp_path_factory: pytest.TempPathFactory, cache: Path, make_spec: MakeSpec
) -> Iterator[Path]:
    """The run of `SHORT`, left alone."""
    folder = tmp_path_factory.mktemp("left-alone")
    with forking(folder, cache) as fork:
        assert fork(make_spec(**SHORT), "whole").wait(LONGEST_RUN) == 0
        yield folder / "whole"


@pytest.mark.parametrize(
    ("fault", "resumes_at"),
    [
        pytest.param(
            "kill:relora_core.checkpoint.checkpointer:save_file:3", {3}, id="checkpoint, first file"
        ),
        pytest.param(
            "kill:relora_core.checkpoint.checkpointer:write_manifest:2",
            {3},
            id="checkpoint, manifest",
        ),
        pytest.param("kill:relora_core.files:publish_folder:2", {3}, id="checkpoint, rename"),
        pytest.param(
            "kill:relora_core.lowrank.restart:reset_optimizer_state:1",
            {3, 6},
            id="restart, merged and drawn anew",
        ),
        pytest.param(
            "kill:relora_core.export.hf_model:model_card:1", {12}, id="export, weights written"
        ),
        pytest.param("kill:relora_core.files:publish_folder:5", {12}, id="export, rename"),
    ],
)
def test_killed_in_the_middle(
    fault: str, resumes_at: set[int], fork: Fork, tmp_path: Path, whole: Path, make_spec: MakeSpec
) -> None:
    spec, workdir = make_spec(**SHORT), tmp_path / "run"
    assert fork(spec, fault=fault).wait(LONGEST_RUN) == -signal.SIGKILL
    assert_nothing_is_half_visible(workdir)
    assert not (workdir / "final").exists()
    assert fork(spec).wait(LONGEST_RUN) == 0
    first, second = resumed_steps(workdir)
    assert first == 0
    assert second in resumes_at  # a write in the background may be done by then, or not
    assert_nothing_is_half_visible(workdir)
    assert list((workdir / "checkpoints").glob(".*")) == []
    assert_same_bits(whole, workdir)


def test_killed_while_it_replaces_its_final_model(
    fork: Fork, tmp_path: Path, whole: Path, make_spec: MakeSpec
) -> None:
    spec, workdir = make_spec(**SHORT), tmp_path / "run"
    shutil.copytree(whole, workdir)
    assert fork(spec, fault="kill:shutil:rmtree:3").wait(LONGEST_RUN) == -signal.SIGKILL
    assert_nothing_is_half_visible(workdir)
    assert fork(spec).wait(LONGEST_RUN) == 0
    assert_same_bits(whole, workdir)


def test_a_disk_that_something_else_fills_ends_the_run_and_loses_nothing(
    fork: Fork, tmp_path: Path, whole: Path, make_spec: MakeSpec, make_disk: MakeDisk
) -> None:
    spec, disk = make_spec(**SHORT), make_disk(size="8m")
    name, workdir = f"{disk.name}/run", disk / "run"
    second_save = "relora_core.checkpoint.checkpointer:save_file:3"

    assert fork(spec, name, fault=f"fill:{disk}:{second_save}").wait(LONGEST_RUN) == 1
    assert_nothing_is_half_visible(workdir)
    printed = (tmp_path / "run.log").read_text()  # no event can be written
    assert "training failed (disk_error): " in printed
    assert "look whether the disk is full" in printed

    (disk / "filler").unlink()
    assert fork(spec, name).wait(LONGEST_RUN) == 0
    assert resumed_steps(workdir) == [0, 3]
    assert_same_bits(whole, workdir)


def test_a_checkpoint_that_finds_no_room_ends_the_run_and_leaves_room_to_say_so(
    whole: Path, cache: Path, make_spec: MakeSpec, make_disk: MakeDisk
) -> None:
    spec, disk = make_spec(**SHORT), make_disk(size="1m")
    workdir = disk / "run"

    with run_log(workdir, is_main=True) as emit:
        run = partial(program._train, spec, workdir, emit, lambda: False)
        assert run(cache=cache, staged={}) == 1
    assert_nothing_is_half_visible(workdir)
    failed = events_in(workdir)[-1]
    assert isinstance(failed, TrainFailed)
    assert (failed.code, failed.retryable) == ("disk_error", True)
    assert "look whether the disk is full" in failed.message

    newest = max(step_folders(workdir / "checkpoints"))
    resize(disk, size="16m")
    train(spec, workdir, cache=cache)
    assert resumed_steps(workdir) == [0, newest]
    assert_same_bits(whole, workdir)
