"""`python -m worker.init COMMAND...`: process 1 of the worker's image.

It passes signals on and reaps what a dead trainer leaves behind, as tini does. But process 1 holds
the environment of the container, with the credentials of the service, and tini shows its
environment to every process of its user: to the trainers, too.
"""

import os
import signal
import subprocess
import sys

from worker.launchers.process import forbid_inspection

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def main() -> int:
    """Return the exit code of the command; 128 and more is the signal that ended it."""
    forbid_inspection()
    command = subprocess.Popen(sys.argv[1:])
    for number in PASSED_ON:
        signal.signal(number, lambda received, _: os.kill(command.pid, received))
    while True:
        pid, status = os.wait()
        if pid == command.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
