"""Load a warm start: weights of an earlier run or of any Hugging Face model.

The low-rank phase begins with these weights.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import AutoTokenizer, PreTrainedModel, PreTrainedTokenizerFast

from relora_core.checkpoint.checkpointer import read_checkpoint
from relora_core.checkpoint.manifest import verify
from relora_core.distributed.world import World
from relora_core.errors import CheckpointError, ModelError
from relora_core.errors.failures import reason
from relora_core.events import WarmStarted
from relora_core.export.from_checkpoint import load_model
from relora_core.lowrank.inject import merged_tensors
from relora_core.models.build import AutoModel
from relora_core.models.meta_parameters import has_weights
from relora_core.spec.file_uris import existing_path, is_missing
from relora_core.tasks.task import Task
from relora_core.workdir.files import CHECKPOINTS, STATE, checkpoint_path, step_folders

# The config's keys that change neither the weights nor the function that the model computes.
MAY_CHANGE_ON_RESUME = {
    "_name_or_path",
    "architectures",
    "bos_token_id",
    "dtype",
    "eos_token_id",
    "initializer_range",
    "max_position_embeddings",  # where positions are weights, their shape is checked
    "pad_token_id",
    "transformers_version",
    "use_cache",
}


@dataclass(frozen=True)
class Earlier:
    """A plain model that was trained before, with its config and tokenizer."""

    state: dict[str, Tensor]
    config: dict[str, Any]
    tokenizer: object  # None if the model has no tokenizer


def check_warm_start(source: str) -> None:
    """Raise `ModelError` if `source` is a folder that does not exist or has no model.

    A name on the Hub is not a folder.
    """
    folder = _folder(source)
    if is_missing(str(folder)):
        raise ModelError(f"method.warm_start_from: there is no file or folder {str(folder)!r}")
    known = (STATE, CHECKPOINTS, "config.json")
    if folder.is_dir() and not any((folder / name).exists() for name in known):
        raise ModelError(
            f"method.warm_start_from {str(folder)!r} is neither a Hugging Face model (it has no "
            "config.json) nor a checkpoint (no state.json) nor a workdir (no checkpoints)"
        )


def load_warm_start(model: PreTrainedModel, source: str, task: Task, world: World) -> WarmStarted:
    """Load the weights that `method.warm_start_from` names into the plain model of a spec.

    If the model of this rank has no weights, leave it so: the main rank sends them. Raise
    `ModelError` if they cannot be found or do not fit the spec.
    """
    folder = _folder(source)
    checkpoint = _find_checkpoint(folder, world)
    warm_started = WarmStarted(source=source, checkpoint=checkpoint.name if checkpoint else None)
    if not has_weights(model):
        return warm_started
    earlier = (
        _hugging_face(str(folder), task.auto_model) if checkpoint is None else _ours(checkpoint)
    )
    misfit = _misfit(model, task, earlier)
    if misfit is not None:
        raise ModelError(
            f"method.warm_start_from {source!r} does not fit this spec: {misfit}; write the `model`"
            " and `tokenizer` that it was trained with. For a folder with a config.json, "
            "{pretrained: FOLDER, init: random} as `model` and {pretrained: FOLDER} as `tokenizer` "
            "are those"
        )
    model.load_state_dict(earlier.state)
    return warm_started


def _folder(source: str) -> Path:
    return Path(existing_path(source)).expanduser()


def _ours(folder: Path) -> Earlier:
    """Load a checkpoint of relora. Merge low-rank layers in the full precision of W + residual."""
    metadata, model = load_model(read_checkpoint(folder))
    return Earlier(dict(merged_tensors(model)), model.config.to_dict(), metadata.task.processor)


def _hugging_face(name: str, auto_model: AutoModel) -> Earlier:
    model: PreTrainedModel
    report: Mapping[str, Any]
    try:
        model, report = auto_model.from_pretrained(name, dtype="float32", output_loading_info=True)
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot load method.warm_start_from {name!r}: {reason(error)}") from error
    if report["missing_keys"]:  # transformers would initialize them at random
        missing = ", ".join(sorted(report["missing_keys"]))
        raise ModelError(f"method.warm_start_from {name!r} lacks the weights {missing}")
    tokenizer = None
    with suppress(OSError, ValueError):  # a model may have no tokenizer
        tokenizer = AutoTokenizer.from_pretrained(name)
    return Earlier(model.state_dict(), model.config.to_dict(), tokenizer)


def _misfit(model: PreTrainedModel, task: Task, earlier: Earlier) -> str | None:
    """Return why the weights do not fit the model, or None if they fit."""
    mine = model.config.to_dict()
    changed = [
        f"{key} is {earlier.config.get(key)!r} there and {mine.get(key)!r} here"
        for key in sorted((mine.keys() | earlier.config.keys()) - MAY_CHANGE_ON_RESUME)
        if mine.get(key) != earlier.config.get(key)
    ]
    if changed:
        return "; ".join(changed)
    state = model.state_dict()
    for name in state.keys() | earlier.state.keys():
        here, there = state.get(name), earlier.state.get(name)
        if here is None or there is None or here.shape != there.shape:
            return f"{name} is of another shape"
    tokenizers = (task.processor, earlier.tokenizer)
    vocabularies = [t.get_vocab() for t in tokenizers if isinstance(t, PreTrainedTokenizerFast)]
    if len(vocabularies) == 2 and vocabularies[0] != vocabularies[1]:
        return "its tokenizer has other tokens, or the same in another order"
    return None


def _find_checkpoint(folder: Path, world: World) -> Path | None:
    """Return the folder itself if it is a checkpoint, or the newest whole checkpoint of a workdir.

    Return None if the folder is neither. The main rank searches alone, so that all ranks take the
    same checkpoint while another run writes new ones.
    """
    if (folder / STATE).is_file():
        _check_whole(folder, world)
        return folder
    if not (folder / CHECKPOINTS).is_dir():
        return None
    step = world.broadcast(_newest_whole(folder / CHECKPOINTS) if world.is_main else -1)
    if step < 0:
        raise ModelError(f"method.warm_start_from {str(folder)!r} has no checkpoint that verifies")
    return folder / checkpoint_path(step)


def _newest_whole(folder: Path) -> int:
    """Return the step of the newest checkpoint that verifies, or -1 if there is none."""
    for step, checkpoint in reversed(step_folders(folder).items()):
        with suppress(CheckpointError):
            verify(checkpoint)
            return step
    return -1


def _check_whole(folder: Path, world: World) -> None:
    try:
        if world.is_main:
            verify(folder)
    except CheckpointError as error:
        raise ModelError(f"method.warm_start_from cannot be used: {error}") from error
