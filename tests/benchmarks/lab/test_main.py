"""The program: what it runs, and how it is stopped."""

import signal
import subprocess
import sys

import pytest

from benchmarks.lab.__main__ import main

PROGRAM = """
import signal, sys, time
import benchmarks.lab.__main__ as lab

def run(*arguments, **options):
    try:
        print("running", flush=True)
        time.sleep(1000)
    finally:
        print("the service has ended", flush=True)

signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell starts a job in the background
lab.run, lab.write_page = run, print
sys.exit(lab.main(["quick"]))
"""


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_lab_in_the_background_ends_with_its_service_when_asked(number: signal.Signals) -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as lab:
        assert lab.stdout is not None
        assert lab.stdout.readline() == "running\n"
        lab.send_signal(number)
        rest = lab.stdout.read()
    assert lab.returncode == 130
    assert "the service has ended" in rest
    assert "stopped; the same command goes on" in rest


def test_experiments_of_different_texts_are_not_run_together(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["quick", "s"])
    assert "different texts" in capsys.readouterr().err


def test_an_experiment_that_is_not_declared_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["tiny"])
    assert "no such experiment: tiny" in capsys.readouterr().err
