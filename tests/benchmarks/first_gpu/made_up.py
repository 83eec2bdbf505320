"""Parts that end in each way that a part can; their processes import them from here."""

import subprocess
import sys
import time

from benchmarks.first_gpu.part import PartFailed, Results, Setting


def fine(setting: Setting) -> Results:
    yield "device", setting.device
    yield "speed", 3.5


def fails(_: Setting) -> Results:
    yield "first", 1
    raise PartFailed("two losses differ")


def dies(_: Setting) -> Results:
    yield "first", 1
    sys.exit(3)


def hangs(_: Setting) -> Results:
    """Hang, and so does a process that it starts."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield "child", child.pid
    time.sleep(600)


def meets(setting: Setting, mine: str, other: str) -> Results:
    """Wait for another part of the same stage."""
    (setting.scratch / mine).touch()
    while not (setting.scratch / other).exists():
        time.sleep(0.05)
    yield "met", other
