from pathlib import Path
from threading import Thread

import pytest

from relora_core.errors import WorkdirInUse
from relora_core.events import StepFinished
from relora_core.training.train import train
from relora_core.workdir.lock import only_trainer
from tests.relora_core.conftest import MakeSpec
from tests.relora_core.forks import Fork
from tests.relora_core.processes import ENDLESS, LONGEST_RUN, events_in, steps_of, wait_for


def ask_for(workdir: Path, refused: list[str], *, is_main: bool = True) -> None:
    """Ask in another thread, as another process would."""

    def ask() -> None:
        try:
            with only_trainer(workdir, is_main=is_main):
                pass
        except WorkdirInUse as error:
            refused.append(str(error))

    thread = Thread(target=ask)
    thread.start()
    thread.join()


def test_a_workdir_is_held_until_its_trainer_ends(tmp_path: Path) -> None:
    refused: list[str] = []
    with only_trainer(tmp_path / "run", is_main=True):
        with only_trainer(tmp_path / "run", is_main=True):
            pass
        ask_for(tmp_path / "run", refused)
        ask_for(tmp_path / "run", refused, is_main=False)
    ask_for(tmp_path / "run", refused)
    assert refused == [
        f"another process trains in {tmp_path / 'run'}; wait for it to end or stop it, or take "
        "another workdir"
    ]


@pytest.mark.slow
@pytest.mark.integration
def test_a_second_trainer_leaves_the_first_one_s_run_alone_and_a_killed_one_holds_nothing(
    fork: Fork, tmp_path: Path, cache: Path, make_spec: MakeSpec
) -> None:
    spec, workdir = make_spec(**ENDLESS), tmp_path / "run"
    first = fork(spec)
    wait_for(lambda: bool(steps_of(workdir)))
    assert fork(spec).wait(LONGEST_RUN) == 1
    with pytest.raises(WorkdirInUse):
        train(spec, workdir, cache=cache)
    first.kill()
    steps = [event.step for event in events_in(workdir) if isinstance(event, StepFinished)]
    assert steps == list(range(1, len(steps) + 1))
    again = fork(spec)
    wait_for(lambda: len(steps_of(workdir)) > len(steps))
    assert again.runs
