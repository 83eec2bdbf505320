"""The machine of a measurement, and its fastest precision."""

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Literal

import torch
import transformers
from pydantic import BaseModel, ConfigDict

Precision = Literal["bf16", "fp32"]
ROOT = Path(__file__).parents[1]
_MATRIX_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8")
_BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


class Machine(BaseModel):
    model_config = ConfigDict(frozen=True)

    cpu: str
    flags: list[str]  # that affect the speed of matrix multiplication
    cores: int
    threads: int  # that torch uses
    memory_gib: float
    gpu: str | None
    python: str
    torch: str
    transformers: str
    commit: str  # followed by "+" if there were uncommitted changes
    load_average: float  # over the minute before: the load of other processes


def describe_machine() -> Machine:
    cpu = _cpu_info()
    return Machine(
        cpu=cpu.get("model name", platform.processor() or platform.machine()),
        flags=sorted(matrix_flags()),
        cores=len(os.sched_getaffinity(0)),
        threads=torch.get_num_threads(),
        memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3, 1),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        python=platform.python_version(),
        torch=torch.__version__,
        transformers=transformers.__version__,
        commit=_commit(),
        load_average=load_average(),
    )


def fastest_precision(flags: set[str]) -> Precision:
    """Return the fastest precision of a CPU with these flags.

    It is bf16 if the hardware multiplies bf16. Otherwise bf16 is slower than fp32.
    """
    return "bf16" if _BF16_FLAGS & flags else "fp32"


def matrix_flags() -> set[str]:
    return set(_cpu_info().get("flags", "").split()) & set(_MATRIX_FLAGS)


def load_average() -> float:
    """Return the mean number of running or waiting threads over the last minute."""
    return round(os.getloadavg()[0], 2)


def _cpu_info() -> dict[str, str]:
    """Return the properties of the first core, empty if there is no /proc."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return {}
    first = file.read_text().partition("\n\n")[0]
    return dict(re.findall(r"^(.+?)\s*: (.*)$", first, re.M))


def _commit() -> str:
    """Return the commit, followed by "+" if the code has uncommitted changes.

    Results and the pages that show them do not count: they change with every run.
    """
    commit = _git("rev-parse", "--short=12", "HEAD")
    code = (":!benchmarks/results", ":!docs/lab.md", ":!docs/performance.md", ":!docs/pictures")
    return commit + ("+" if _git("status", "--porcelain", "--", ".", *code) else "")


def _git(*arguments: str) -> str:
    try:
        result = subprocess.run(  # the git of the machine
            ["git", *arguments],  # noqa: S607
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return result.stdout.strip()
