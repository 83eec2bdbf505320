"""One node, one process for each GPU, under torchrun."""

import sys
from collections.abc import Mapping
from pathlib import Path

from worker.attempt.workdir import Workdir
from worker.launchers.process import TiedProcess

LAST_BYTES, LAST_LINES = 16_000, 20
RANK_FAILED = "] failed (exitcode:"  # after this line, torchrun explains itself at length


def launch(
    workdir: Workdir, *, cache: Path, num_processes: int, environ: Mapping[str, str]
) -> TiedProcess:
    """Start the trainer on `workdir.spec`, in the interpreter that the worker runs in."""
    return TiedProcess(
        command(workdir, cache=cache, num_processes=num_processes),
        environ=environ,
        cwd=workdir.empty,
        log=workdir.log,
    )


def command(workdir: Workdir, *, cache: Path, num_processes: int) -> list[str]:
    return [
        *(sys.executable, "-m", "worker.launchers.ranks"),
        *("--standalone", "--nproc-per-node", str(num_processes)),
        *("-m", "relora_core", "train", str(workdir.spec)),
        *("--workdir", str(workdir.root), "--cache", str(cache)),
        *("--staged", str(workdir.staged), "--supervised"),
    ]


def last_words(log: Path) -> str:
    """Return the last lines of what the trainer printed, and how torchrun saw it end."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - LAST_BYTES))
        is_cut = file.tell() > 0
        lines = file.read().decode(errors="replace").splitlines()
    if is_cut and len(lines) > 1:
        del lines[0]  # it may begin inside of a secret, which nobody would find to mask
    failures = (number for number, line in enumerate(lines, start=1) if RANK_FAILED in line)
    end = next(failures, len(lines))
    return "\n".join(lines[:end][-LAST_LINES:])
