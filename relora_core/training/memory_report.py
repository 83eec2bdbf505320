"""Report the peak memory of each phase, beside the estimate, as an event and as JSON."""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from relora_core.distributed.world import World
from relora_core.events import Emit, MemoryMeasured, Phase, PhaseMemory
from relora_core.files import publish_file
from relora_core.workdir.files import REPORTS

REPORT = f"{REPORTS}/memory.json"
_PHASES = TypeAdapter(list[PhaseMemory])


@dataclass(frozen=True)
class _Begun:
    step: int
    phase: Phase
    micro_batch_size: int
    estimated: int | None


@dataclass
class MemoryReport:
    """The peaks of one attempt. Call `begin` when a phase is ready to train, and `end` after it."""

    workdir: Path
    world: World
    emit: Emit
    phases: list[PhaseMemory] = field(default_factory=list)
    _begun: _Begun | None = None

    @property
    def peak_bytes(self) -> int:
        """The highest peak so far, at least one of which has been measured."""
        return max(each.peak_bytes for each in self.phases)

    def begin(
        self, step: int, phase: Phase, *, micro_batch_size: int, estimated: int | None
    ) -> None:
        """Begin to measure. What came before, such as the probe of micro-batches, is forgotten."""
        self.world.reset_peak_memory()
        self._begun = _Begun(step, phase, micro_batch_size, estimated)

    def end(self, step: int) -> None:
        """Report the peak since `begin`, if that was called. All ranks call it."""
        begun, self._begun = self._begun, None
        if begun is None:
            return
        measured = PhaseMemory(
            phase=begun.phase,
            from_step=begun.step,
            step=step,
            micro_batch_size=begun.micro_batch_size,
            peak_bytes=self.world.peak_memory_bytes(),
            estimated_bytes=begun.estimated,
        )
        self.phases.append(measured)
        if self.world.is_main:
            publish_file(self.workdir / REPORT, _PHASES.dump_json(self.phases, indent=1))
        self.emit(MemoryMeasured(**measured.model_dump(), path=REPORT))
