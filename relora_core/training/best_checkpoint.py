"""The best checkpoint of a run: keep it, and export its weights at the end."""

from dataclasses import dataclass
from pathlib import Path

from relora_core.checkpoint.checkpointer import Checkpoints
from relora_core.checkpoint.manifest import verify
from relora_core.distributed.world import World
from relora_core.errors import CheckpointError
from relora_core.events import Emit, Exported, Warned
from relora_core.export.from_checkpoint import load_model
from relora_core.export.hf_model import export
from relora_core.spec import TrainSpec
from relora_core.state import Counters
from relora_core.workdir.files import FINAL


@dataclass(frozen=True)
class BestCheckpoint:
    spec: TrainSpec
    checkpoints: Checkpoints
    workdir: Path
    world: World
    emit: Emit

    def note(self, counters: Counters) -> None:
        """Note in `counters` whether the checkpoint that is about to be saved is the best so far.

        It counts if its step was evaluated.
        """
        keep = self.spec.checkpoint.keep_best
        if keep is None or counters.evaluated_at != counters.step:
            return
        score, best = counters.metrics[keep.metric], counters.best_step_score
        if best is None or (score > best if keep.highest else score < best):
            counters.best_step, counters.best_step_score = counters.step, score

    def export(self, counters: Counters) -> int | None:
        """Export the final model from the best checkpoint. Return its step.

        Return None if the weights at the end are to be exported: the spec wants them, they are the
        best, or the best checkpoint cannot be read, which is a warning.
        """
        best = counters.best_step
        if self.spec.export.from_ == "last" or best in (None, counters.step):
            return None
        assert best is not None
        exported = self._export(best) if self.world.is_main else None
        is_done = self.world.broadcast(int(exported is not None))
        if exported is not None:
            self.emit(exported)
        return best if is_done else None

    def _export(self, step: int) -> Exported | None:
        try:
            checkpoint = self.checkpoints.at(step)
            verify(checkpoint.folder)
            metadata, model = load_model(checkpoint)
        except (CheckpointError, FileNotFoundError) as error:
            message = f"the last weights are exported, not those of step {step}: {error}"
            self.emit(Warned(code="best_checkpoint_unreadable", message=message))
            return None
        path, counters = self.workdir / FINAL, checkpoint.counters
        size = export(model, metadata.task, path, spec=self.spec, counters=counters)
        return Exported(step=step, path=FINAL, bytes=size)
