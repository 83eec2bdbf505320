"""The build of the page from nothing, by which `make demo` takes longer."""

import os
import subprocess
import sys
import time
import venv
from pathlib import Path

from benchmarks.machine import ROOT


def build_seconds(folder: Path) -> float:
    """Build the page in a new clone of the last commit, with nothing in the cache of npm."""
    clone = folder / "clone"
    _run("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone))
    venv.create(clone / ".venv", with_pip=True)  # which `make demo` made before
    began = time.perf_counter()
    _run("make", "--no-print-directory", "dashboard", cwd=clone, npm_config_cache=folder / "npm")
    return time.perf_counter() - began


def _run(*command: str, cwd: Path | None = None, **environ: Path) -> None:
    changed = {**os.environ, **{name: str(path) for name, path in environ.items()}}
    subprocess.run(command, cwd=cwd, env=changed, check=True, stdout=sys.stderr)
