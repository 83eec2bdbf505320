"""Export a merged model from any checkpoint. The run need not be active, and no data is needed."""

from collections.abc import Iterable
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedModel
from transformers.utils import GENERATION_CONFIG_NAME

from relora_core.checkpoint.checkpointer import Checkpoint, read_checkpoint
from relora_core.checkpoint.manifest import verify
from relora_core.errors import CheckpointError, ExportError
from relora_core.errors.unexpected import as_train_error
from relora_core.events import Exported
from relora_core.export.checkpoint_files import CheckpointMetadata
from relora_core.export.hf_model import DTYPES, export
from relora_core.methods import build_method
from relora_core.optim.timeline import Timeline
from relora_core.progress_bars import no_progress_bars
from relora_core.spec import TrainSpec, read_accepted
from relora_core.workdir.files import CHECKPOINTS, step_folders


@as_train_error()
def export_checkpoint(
    workdir: Path, folder: Path, *, step: int | None = None, dtype: str | None = None
) -> Exported:
    """Write the model of a step, by default the newest checkpoint, to `folder`.

    `dtype` overrides the spec's `export.dtype`. Raise `CheckpointError` if the checkpoint is
    missing or damaged, and `ExportError` if the folder is not empty or the dtype is not known. All
    other errors are raised as a `TrainError` too.
    """
    if dtype is not None and dtype not in DTYPES:
        raise ExportError(f"there is no dtype {dtype!r} to export in; take {', '.join(DTYPES)}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ExportError(f"{folder} is not empty; name a new folder")
    checkpoint = _find(workdir, step)
    metadata, model = load_model(checkpoint)
    spec, counters = metadata.spec, checkpoint.counters
    if dtype is not None:
        spec = _with_dtype(spec, dtype)
    with no_progress_bars():
        size = export(model, metadata.task, folder, spec=spec, counters=counters)
    return Exported(step=counters.step, path=str(folder), bytes=size)


def load_model(checkpoint: Checkpoint) -> tuple[CheckpointMetadata, PreTrainedModel]:
    """Return the model of a checkpoint, on the CPU and with the layers of its phase."""
    metadata, config = CheckpointMetadata.read(checkpoint.folder)
    spec = metadata.spec
    model = metadata.task.auto_model.from_config(config, dtype=torch.float32)
    if (checkpoint.folder / GENERATION_CONFIG_NAME).is_file():  # older checkpoints have none
        model.generation_config = GenerationConfig.from_pretrained(checkpoint.folder)
    build_method(spec, Timeline.of(spec)).shape(model, checkpoint.counters.phase)
    checkpoint.load_model(model)
    return metadata, model.eval()


def _find(workdir: Path, step: int | None) -> Checkpoint:
    folders = step_folders(workdir / CHECKPOINTS)
    if not folders:
        raise CheckpointError(f"{workdir} has no checkpoints")
    step = max(folders) if step is None else step
    if step not in folders:
        raise CheckpointError(
            f"{workdir} has no checkpoint of step {step}; there are {_listed(folders)}"
        )
    try:
        verify(folders[step])
    except CheckpointError as error:
        others = sorted(folders.keys() - {step})
        advice = f"; there are also {_listed(others)}" if others else ""
        raise CheckpointError(f"{error}{advice}") from error
    return read_checkpoint(folders[step])


def _listed(steps: Iterable[int]) -> str:
    return ", ".join(str(step) for step in steps)


def _with_dtype(spec: TrainSpec, dtype: str) -> TrainSpec:
    document = spec.model_dump(mode="json")
    return read_accepted(TrainSpec, {**document, "export": {**document["export"], "dtype": dtype}})
