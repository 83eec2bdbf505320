"""A file that a process touches while it works, so that a probe can see that it does not hang."""

import logging

from jobs.outages import log_failure
from jobs.settings import Settings

logger = logging.getLogger(__name__)


def show_life(settings: Settings, process: str) -> None:
    """Touch the file of the process. A failure is logged: only the probe may end the process."""
    file = settings.alive_file(process)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError as error:
        log_failure(logger, f"touch {file}", error)
