"""The time to import the server application in a fresh interpreter."""

import json
import subprocess
import sys

_PROGRAM = """
import json, sys, time
began = time.perf_counter()
import service.server
seconds = time.perf_counter() - began
print(json.dumps([seconds, "torch" in sys.modules]))
"""


def import_server() -> tuple[float, bool]:
    """Return the seconds of the import, and whether it imported torch."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True
    )
    seconds, has_torch = json.loads(done.stdout)
    return seconds, has_torch
