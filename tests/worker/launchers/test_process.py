import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.fixtures.process_state import has_ended
from tests.worker.processes import wait_until
from worker import celery_worker, generator, init
from worker.celery_worker import CeleryWorker
from worker.launchers.process import TiedProcess, log_tail

# As under torchrun, the rank has its own session. A signal to its parent does not reach it.
PARENT = """
import subprocess, sys
rank = subprocess.Popen(
    [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
    start_new_session=True,
)
print("rank", rank.pid, flush=True)
rank.wait()
"""

pytestmark = pytest.mark.integration


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "trainer.log"


def start(program: str, log: Path) -> TiedProcess:
    cwd = log.parent / "empty"
    return TiedProcess([sys.executable, "-c", program], environ=os.environ, cwd=cwd, log=log)


def test_what_it_prints_is_in_its_log(log: Path) -> None:
    trainer = start("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)", log)
    wait_until(lambda: trainer.exit_code() is not None)

    assert trainer.exit_code() == 3
    assert sorted(log.read_text().split()) == ["err", "out"]
    trainer.kill()  # does nothing: the trainer has ended


def test_killed_it_takes_its_ranks_with_it(log: Path) -> None:
    trainer = start(PARENT, log)
    wait_until(lambda: "rank" in log.read_text())
    rank = int(log.read_text().split()[-1])
    assert not has_ended(rank)

    trainer.kill()

    assert trainer.exit_code() == 0
    assert has_ended(rank)


def test_one_that_does_not_go_by_itself_is_killed(log: Path) -> None:
    trainer = start("import time; time.sleep(60)", log)

    trainer.kill()

    assert trainer.exit_code() == -9


def test_it_starts_in_an_empty_folder(log: Path) -> None:
    (log.parent / "bait.txt").touch()
    trainer = start("import os; print(os.listdir())", log)
    wait_until(lambda: trainer.exit_code() is not None)
    trainer.kill()

    assert log.read_text() == "[]\n"


def test_of_a_long_log_only_the_end_is_shown(log: Path) -> None:
    log.write_text("".join(f"{number}\n" for number in range(100_000)))

    assert log_tail(log).splitlines() == [str(number) for number in range(99_980, 100_000)]


def test_no_line_is_shown_from_its_middle_on(log: Path) -> None:
    log.write_text("token=" + "hf_0123" * 3000 + "\nthe end\n")

    assert log_tail(log) == "the end"


# A process with a credential in its environment, which it hides or not. Its child runs as the same
# user and looks for the credential.
PARENT_WITH_A_CREDENTIAL = """
import ctypes, os, sys
from worker.launchers.process import PR_SET_DUMPABLE, forbid_inspection
if os.geteuid() == 0:  # root reads everything
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 1)  # as after an exec
if sys.argv[1] == "hidden":
    forbid_inspection()
if os.fork():
    os.wait()
else:
    for name in ("environ", "mem", "fd/0"):
        try:
            open(f"/proc/{os.getppid()}/{name}", "rb").close()
        except PermissionError:
            print("no", name)
        else:
            print("reads", name)
"""


@pytest.mark.parametrize(("how", "answer"), [("open", "reads"), ("hidden", "no")])
def test_a_child_reads_neither_the_environment_nor_the_memory_of_a_hidden_parent(
    how: str, answer: str
) -> None:
    said = subprocess.run(
        [sys.executable, "-c", PARENT_WITH_A_CREDENTIAL, how],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert said.stdout.splitlines() == [f"{answer} {file}" for file in ("environ", "mem", "fd/0")]


class Hidden(BaseException):
    """Ends a program as soon as it hides itself."""


@pytest.mark.parametrize(
    ("module", "begin"),
    [
        (celery_worker, lambda: object.__new__(CeleryWorker)._start()),
        (generator, generator.main),
        (init, init.main),
    ],
    ids=["worker", "generator", "init"],
)
def test_a_program_that_starts_others_hides_itself_before(
    module: ModuleType, begin: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hide() -> None:
        raise Hidden

    monkeypatch.setattr(module, "forbid_inspection", hide)
    monkeypatch.setattr(sys, "argv", [module.__name__])
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # a worker sets it
    with pytest.raises(Hidden):
        begin()
