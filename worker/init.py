"""`python -m worker.init COMMAND...`: process 1 (PID 1) of the worker's image.

It forwards signals and reaps orphaned processes of dead trainers, as tini does. But process 1 has
the environment of the container, which contains the credentials of the service. With tini, every
process of the same user could read that environment, trainers too. This process hides it.
"""

import os
import signal
import subprocess
import sys

from worker.launchers.process import forbid_inspection

PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


def main() -> int:
    """Run the command. Return its exit code, or 128 plus the number of the signal that ended it."""
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
