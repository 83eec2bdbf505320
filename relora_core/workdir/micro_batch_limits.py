"""Remember the micro-batch sizes that were too large, for the next attempt in this workdir."""

import json
from dataclasses import dataclass
from pathlib import Path

from relora_core.events import Phase
from relora_core.files import publish_file
from relora_core.workdir.files import MICRO_BATCHES


@dataclass(frozen=True)
class MicroBatchLimits:
    """The sizes that the next attempt may use, after this rank ran out of memory.

    With several ranks, one that runs out of memory cannot go on with a smaller micro-batch, because
    the others already wait for its gradients. The next attempt can. Each rank has a file of its
    own.
    """

    workdir: Path
    rank: int

    @property
    def _file(self) -> Path:
        return self.workdir / MICRO_BATCHES / f"rank-{self.rank}.json"

    def record(self, fit: str, phase: Phase, at_most: int) -> None:
        """Let the next attempt use at most this size in this phase.

        `fit` names the processes, device and settings for which this holds.
        """
        limits = {**self._of(fit), phase: at_most}
        publish_file(self._file, json.dumps({"fit": fit, "at_most": limits}).encode())

    def at_most(self, fit: str, phase: Phase) -> int | None:
        """Return the largest size to use in this phase, or None if there is no limit."""
        return self._of(fit).get(phase)

    def _of(self, fit: str) -> dict[Phase, int]:
        if not self._file.exists():
            return {}
        written = json.loads(self._file.read_bytes())
        limits: dict[Phase, int] = written["at_most"] if written["fit"] == fit else {}
        return limits
