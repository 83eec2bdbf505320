"""Build the text of the lab from packages of Debian: `python -m benchmarks.lab.text`."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.lab.text.build import FOLDER, build
from benchmarks.lab.text.described import described
from benchmarks.lab.text.packages import PackagesError
from benchmarks.lab.text.sources import SOURCES


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.lab.text", description=__doc__)
    parser.add_argument(
        "--packages",
        type=Path,
        default=FOLDER / "packages",
        help="the folder of the .deb files; those that it lacks are downloaded with apt-get",
    )
    parser.add_argument(
        "--out", type=Path, default=FOLDER / "english" / "text", help="where the text goes"
    )
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        text = build(SOURCES, packages=options.packages, folder=options.out)
    except PackagesError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(described(text)))
    print(f"{text.bytes / 1e6:.1f} MB in {time.monotonic() - started:.0f} s, in {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
