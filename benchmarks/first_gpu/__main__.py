"""The first minutes of this project on one GPU: does it run, is it right, how fast is it.

    python -m benchmarks.first_gpu --out FOLDER

docs/gpu.md describes it. It needs a clone of the repository, nothing installed from it, and no
network: `python -m benchmarks.first_gpu.wheels FOLDER` downloads beforehand, on another machine,
what the trainer needs beside torch and transformers. Without a GPU it runs in a smallest form.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import invalidate_caches
from pathlib import Path

from benchmarks.first_gpu.driver import Driver
from benchmarks.first_gpu.origin import origin
from benchmarks.first_gpu.parts import STAGES

RESULTS = "first-gpu.json"
MINUTES = 9.0
# No network: the libraries of the Hub would wait for one.
OFFLINE = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    deadline = time.monotonic() + 60 * options.minutes
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ.update(OFFLINE)
    with tempfile.TemporaryDirectory(prefix="first-gpu-", dir=options.scratch) as name:
        scratch = Path(name)
        if options.wheels:
            _install(options.wheels, scratch / "site")
        known = origin(options.commit)
        driver = Driver(
            device="cuda" if known["card"] else "cpu",
            scratch=scratch,
            file=options.out / RESULTS,
            origin=known,
            deadline=deadline,
            slower=options.slower,
            tell=lambda line: print(line, flush=True),
        )
        stages = [
            [p for p in stage if not options.part or p.name in options.part] for stage in STAGES
        ]
        outcomes = driver.run([stage for stage in stages if stage])
    return int(any(outcome.status in {"failed", "timed_out"} for outcome in outcomes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m benchmarks.first_gpu", description=__doc__)
    names = [part.name for stage in STAGES for part in stage]
    parser.add_argument("--out", type=Path, required=True, help=f"folder for {RESULTS}")
    parser.add_argument("--wheels", type=Path, help="folder of wheels to use, without a network")
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="what has not ended is ended"
    )
    parser.add_argument("--part", choices=names, action="append", help="only this; may be repeated")
    parser.add_argument("--slower", type=float, default=1.0, help="factor of the parts' limits")
    parser.add_argument("--commit", help="of a copy without its history")
    parser.add_argument(
        "--scratch", type=Path, help="where the runs are; default: a temporary folder"
    )
    return parser


def _install(wheels: Path, site: Path) -> None:
    """Unpack the wheels of a folder into `site`, for this process and those that it starts."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    files = sorted(map(str, wheels.glob("*.whl")))
    subprocess.run([*pip, "--no-compile", "--target", str(site), *files], check=True)
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    sys.path.insert(0, str(site))
    invalidate_caches()


if __name__ == "__main__":
    sys.exit(main())
