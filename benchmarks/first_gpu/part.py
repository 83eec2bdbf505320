"""The process of one part: `python -m benchmarks.first_gpu.part FUNCTION RESULTS SCRATCH DEVICE`.

The function yields its results as pairs of a name and a value. They are written as they come, so
that a part that is ended keeps what it had.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

Results = Iterator[tuple[str, Any]]


class PartFailed(Exception):
    """What was checked is not so. The message says what."""


@dataclass(frozen=True)
class Setting:
    """Where a part runs. On a CPU, all is as small as it can be."""

    device: str  # cuda or cpu
    scratch: Path  # of all parts

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"

    @property
    def cache(self) -> Path:
        """Prepared data, of all parts."""
        return self.scratch / "cache"


def write(file: Path, results: dict[str, Any]) -> None:
    """Write the results so that a reader sees them whole."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(results, default=str))
    new.replace(file)


def main(arguments: list[str]) -> None:
    function, file, scratch, device, *others = arguments
    module, _, name = function.partition(":")
    results: dict[str, Any] = {}
    parts: Results = getattr(import_module(module), name)(Setting(device, Path(scratch)), *others)
    for key, value in parts:
        results[key] = value
        write(Path(file), results)


if __name__ == "__main__":
    main(sys.argv[1:])
