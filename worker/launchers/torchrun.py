"""One node, one process for each GPU, under torchrun."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from worker.process import TiedProcess, inherited_environ
from worker.workdir import Workdir

LAST_BYTES, LAST_LINES = 16_000, 20
RANK_FAILED = "] failed (exitcode:"  # after this line, torchrun explains itself at length


def launch(
    workdir: Workdir, *, cache: Path, num_processes: int, secrets: Mapping[str, str]
) -> TiedProcess:
    """Start the trainer on `workdir.spec`, in the interpreter that the worker runs in.

    `secrets` are environment variables: nothing else may hold them.
    """
    return TiedProcess(
        command(workdir, cache=cache, num_processes=num_processes),
        environ={**environ(num_processes), **secrets},
        log=workdir.log,
    )


def command(workdir: Workdir, *, cache: Path, num_processes: int) -> list[str]:
    return [
        *(sys.executable, "-m", "torch.distributed.run"),
        *("--standalone", "--nproc-per-node", str(num_processes)),
        *("-m", "relora_core", "train", str(workdir.spec)),
        *("--workdir", str(workdir.root), "--cache", str(cache)),
        *("--staged", str(workdir.staged), "--supervised"),
    ]


def environ(num_processes: int) -> dict[str, str]:
    """Without a word from the operator the processes share the cores (torchrun gives one each)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    share = max(1, (cores or 1) // num_processes)
    return {"OMP_NUM_THREADS": str(share)} | inherited_environ()


def last_words(log: Path) -> str:
    """Return the last lines of what the trainer printed, and how torchrun saw it end."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LAST_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    failures = (number for number, line in enumerate(lines, start=1) if RANK_FAILED in line)
    end = next(failures, len(lines))
    return "\n".join(lines[:end][-LAST_LINES:])
