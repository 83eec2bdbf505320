"""Download the wheels that a machine with torch and transformers lacks, to carry them there.

    python -m benchmarks.first_gpu.wheels FOLDER --python 3.12

The versions are those of constraints.txt. They come without what they require: torch,
transformers, numpy, pyarrow and pandas are there.
"""

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
NEEDED = (
    *("pydantic", "pydantic_core", "annotated-types", "typing-inspection", "typing_extensions"),
    *("datasets", "dill", "multiprocess", "xxhash", "zstandard"),
    *("pytest-timeout",),
)
QUANTIZATION = ("bitsandbytes",)
# The platforms of wheels that a current Linux takes; pip matches the numbers exactly.
GLIBC = (5, 12, 17, 24, 27, 28, 31, 34)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.first_gpu.wheels", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python", default="3.12", help="of the machine with the GPU")
    parser.add_argument("--machine", default="x86_64", help="its processor, as uname -m says it")
    parser.add_argument("--quantization", action="store_true", help="bitsandbytes too: 60 MB")
    options = parser.parse_args(arguments)
    names = [*NEEDED, *(QUANTIZATION if options.quantization else ())]
    platforms = [f"manylinux_2_{minor}_{options.machine}" for minor in GLIBC]
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
        *("--only-binary=:all:", "--implementation", "cp", "--python-version", options.python),
        *(part for platform in platforms for part in ("--platform", platform)),
        *("--dest", str(options.folder), *pinned(names)),
    ]
    return subprocess.run(command).returncode


def pinned(names: Sequence[str]) -> Iterator[str]:
    """Yield the requirements, with the versions of constraints.txt."""
    text = CONSTRAINTS.read_text()
    for name in names:
        found = re.search(rf"^{re.escape(name)}==\S+$", text, re.M)
        assert found is not None, f"{name} is in constraints.txt"
        yield found[0]


if __name__ == "__main__":
    sys.exit(main())
