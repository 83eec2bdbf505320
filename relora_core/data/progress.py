"""Report the progress of data preparation.

The process that prepares the data writes its last report to a file beside the folder that it
fills. So the ranks and jobs of the node that wait for the folder can report the same progress.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from relora_core.data.sources import Tally
from relora_core.events import DataProgress, Emit
from relora_core.files import publish_file

PROGRESS_SECONDS = 5.0  # between two reports


class ProgressReport:
    """The progress of filling one folder. It emits at most one report in `PROGRESS_SECONDS`."""

    def __init__(
        self,
        folder: Path,
        begun: DataProgress,
        emit: Emit,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file = folder.with_name(f"{folder.name}.progress")
        self._begun = begun
        self._emit = emit
        self._clock = clock
        self._last = clock()

    def counted(self, texts: Iterable[str], tally: Tally) -> Iterator[str]:
        """Yield the same texts, and report the progress while they are read."""
        for number, text in enumerate(texts, start=1):
            self.tell(tally, documents=number)
            yield text

    def tell(self, tally: Tally, *, documents: int, tokens: int = 0) -> None:
        if self._is_due():
            known = self._begun.bytes_total is not None
            read = tally.bytes_read if known else None
            counts = {"documents": documents, "tokens": tokens, "bytes_read": read}
            event = self._begun.model_copy(update=counts | {"time": datetime.now(UTC)})
            publish_file(self._file, event.model_dump_json().encode())
            self._emit(event)

    def tell_of_another(self) -> None:
        """Emit the last report of another process that fills the folder."""
        if self._is_due():
            try:
                event = DataProgress.model_validate_json(self._file.read_bytes())
            except (FileNotFoundError, ValidationError):
                return
            told = {
                "split": self._begun.split,
                "source": self._begun.source,
                "time": datetime.now(UTC),
            }
            self._emit(event.model_copy(update=told))

    def end(self) -> None:
        self._file.unlink(missing_ok=True)

    def _is_due(self) -> bool:
        now = self._clock()
        due = now - self._last >= PROGRESS_SECONDS
        if due:
            self._last = now
        return due
