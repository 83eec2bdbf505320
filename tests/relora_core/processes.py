"""The trainer in processes of its own, as its users start it, and what it leaves behind."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from relora_core.events import AnyTrainEvent, StepFinished, from_line
from relora_core.spec import TrainSpec

Start = Callable[..., subprocess.Popen[bytes]]

LONGEST_RUN = 240  # seconds for a few steps: on busy cores torch's import alone takes a minute

# Steps enough to be killed in.
LONG: dict[str, Any] = {
    "training": {"steps": 400},
    "method": {"warm_start_steps": 100, "reset_every": 50},
    "checkpoint": {"every": 25},
}
ENDLESS = {**LONG, "training": {"steps": 100_000}}


@contextmanager
def starting(folder: Path, cache: Path) -> Iterator[Start]:
    """Start the trainer on `folder / name`; what still runs at the end is killed.

    What it prints is in `folder / NAME.log`.
    """
    started = []

    def start(
        spec: TrainSpec,
        name: str = "run",
        *,
        processes: int = 0,
        supervised: bool = False,
        fault: str | None = None,  # of `tests.relora_core.faults`
    ) -> subprocess.Popen[bytes]:
        file = folder / f"{name}.json"
        file.write_text(spec.model_dump_json())
        torchrun = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
        launcher = [*torchrun, "-m"] if processes else []
        program = ["tests.relora_core.faults", fault] if fault else ["relora_core"]
        with (folder / f"{Path(name).name}.log").open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *launcher, *program, "train", str(file)]
                + ["--workdir", str(folder / name), "--cache", str(cache)]
                + (["--supervised"] if supervised else []),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.communicate()


def wait_for(condition: Callable[[], bool], seconds: float = LONGEST_RUN) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def events_in(workdir: Path) -> list[AnyTrainEvent]:
    """But for a line that a full disk cut short."""
    file = workdir / "events.jsonl"
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [from_line(line) for line in lines if line.endswith(b"}")]


def steps_of(workdir: Path) -> dict[int, float]:
    """The loss of each step."""
    return {
        event.step: event.loss for event in events_in(workdir) if isinstance(event, StepFinished)
    }


def tensors_in(folder: Path) -> dict[str, torch.Tensor]:
    """Of a checkpoint or a model, in all its files."""
    return {
        f"{file.name}/{name}": tensor
        for file in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }


def assert_same_bits(one: Path, other: Path) -> None:
    """That two runs have the same losses, final model and last checkpoint."""
    assert steps_of(one) == steps_of(other)
    last = sorted(folder.name for folder in (one / "checkpoints").iterdir())[-1]
    for folder in ("final", f"checkpoints/{last}"):
        assert_same_tensors(one / folder, other / folder)


def assert_same_tensors(one: Path, other: Path) -> None:
    expected, found = tensors_in(one), tensors_in(other)
    assert expected.keys() == found.keys() != set()
    assert [n for n, tensor in expected.items() if not torch.equal(tensor, found[n])] == []
