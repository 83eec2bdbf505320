"""The log of a process, on its standard error: lines of text, or of JSON for a collector."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from jobs.settings import Settings

TEXT = "%(asctime)s %(levelname)s %(name)s %(message)s"

_work: dict[str, str | int] = {}  # of the process, which does one job at a time


@contextmanager
def working_for(*, job_id: str, attempt: int) -> Iterator[None]:
    """Name the job and the attempt in each line of JSON of this process, in all of its threads."""
    _work.update(job_id=job_id, attempt=attempt)
    try:
        yield
    finally:
        _work.clear()


class JsonLines(logging.Formatter):
    """Format a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_work,
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def log_to_stderr(settings: Settings) -> None:
    """Log as the settings say, everything from the level INFO on."""
    handler = logging.StreamHandler()
    is_json = settings.log_format == "json"
    handler.setFormatter(JsonLines() if is_json else logging.Formatter(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
