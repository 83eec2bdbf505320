"""A run that is killed at the worst moments, and started again, ends with the same bits."""

import logging
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from relora_core.checkpoint.manifest import verify
from relora_core.events import TrainStarted
from tests.relora_core.conftest import MakeSpec
from tests.relora_core.forks import Fork, forking
from tests.relora_core.processes import (
    LONG,
    LONGEST_RUN,
    assert_same_bits,
    events_in,
    steps_of,
    wait_for,
)

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SHORT = {"checkpoint": {"every": 3}}
SEED = 20261124

logger = logging.getLogger(__name__)


def assert_nothing_is_half_visible(workdir: Path) -> None:
    """What stands under its name is whole; the rest is hidden."""
    for folder in (workdir / "checkpoints").glob("[!.]*"):
        verify(folder)
    for model in workdir.glob("final"):
        assert {"config.json", "model.safetensors", "README.md", "relora.json"} <= {
            file.name for file in model.iterdir()
        }
    names = {path.name for path in workdir.iterdir() if not path.name.startswith(".")}
    assert names <= {"checkpoints", "events.jsonl", "final"}


def resumed_steps(workdir: Path) -> list[int]:
    return [event.step for event in events_in(workdir) if isinstance(event, TrainStarted)]


def test_killed_at_random_steps(fork: Fork, tmp_path: Path, make_spec: MakeSpec) -> None:
    spec = make_spec(**LONG)
    assert fork(spec, "whole").wait(LONGEST_RUN) == 0
    drawn = torch.randint(30, 350, (2,), generator=torch.Generator().manual_seed(SEED))
    logger.info("killed after the steps %s, drawn from the seed %s", drawn.tolist(), SEED)
    for step in sorted(drawn.tolist()):
        process = fork(spec)
        wait_for(lambda after=step: max(steps_of(tmp_path / "run"), default=0) >= after)  # type: ignore[misc]
        process.kill()
        process.wait()
        assert_nothing_is_half_visible(tmp_path / "run")
    assert fork(spec).wait(LONGEST_RUN) == 0
    begun = resumed_steps(tmp_path / "run")
    assert len(begun) == 3
    assert 0 < begun[1] <= begun[2]
    assert_same_bits(tmp_path / "whole", tmp_path / "run")


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
        pytest.param(
            "kill:relora_core.checkpoint.checkpointer:publish_folder:2",
            {3},
            id="checkpoint, rename",
        ),
        pytest.param(
            "kill:relora_core.lowrank.restart:reinitialize:1", {3, 6}, id="restart, merged"
        ),
        pytest.param(
            "kill:relora_core.export.hf_model:model_card:1", {12}, id="export, weights written"
        ),
        pytest.param(
            "kill:relora_core.export.hf_model:publish_folder:1", {12}, id="export, rename"
        ),
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
