"""Where a number comes from: the card, its driver, the versions and the commit."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "torch",
    "triton",
    "transformers",
    "huggingface_hub",
    "tokenizers",
    "safetensors",
    "datasets",
    "pyarrow",
    "numpy",
    "pydantic",
    "zstandard",
    "bitsandbytes",
    "nvidia-ml-py",
    "pytest",
)
ROOT = Path(__file__).parents[2]
_GPU = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]


def origin(commit: str | None = None) -> dict[str, object]:
    """Return what every result names. `commit` is given where the copy has no history."""
    return {
        "card": _first_line(_GPU),  # name, driver, memory; None: no GPU
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "commit": commit or _commit(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    named = (line.partition(": ")[2] for line in lines if line.startswith("model name"))
    return next(named, platform.machine())


def _commit() -> str:
    commit = _first_line(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"])
    changed = _first_line(["git", "-C", str(ROOT), "status", "--porcelain"])
    return f"{commit or 'unknown'}{'+' if commit and changed else ''}"


def _first_line(command: list[str]) -> str | None:
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    lines = answer.stdout.splitlines()
    return lines[0].strip() if answer.returncode == 0 and lines else None
