"""Export a merged model to a Hugging Face folder that `from_pretrained` can load."""

import copy
import json
from pathlib import Path

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel
from transformers.initialization import no_init_weights

from relora_core.distributed.dtensor import is_fsdp_model
from relora_core.distributed.world import SINGLE_PROCESS, World
from relora_core.export.model_card import model_card
from relora_core.files import new_folder
from relora_core.lowrank.inject import merged_tensors
from relora_core.spec import TrainSpec
from relora_core.state import Counters
from relora_core.tasks.task import TaskParts

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def export(
    model: PreTrainedModel,
    task: TaskParts,
    folder: Path,
    *,
    spec: TrainSpec,
    counters: Counters,
    world: World = SINGLE_PROCESS,
) -> int:
    """Write the merged model to `folder` atomically, and return its size in bytes.

    Every rank has to call it. The main rank writes, and the others return 0.
    """
    if not (world.is_main or is_fsdp_model(model)):
        return 0  # the main rank has the whole model too
    dtype = DTYPES[spec.export.dtype]
    state = world.gather_to_main(merged_tensors(model), dtype)
    if not world.is_main:
        return 0
    plain = _plain_model(state, model, dtype)
    card = model_card(
        spec,
        counters,
        parameters=plain.num_parameters(),
        auto_model=task.auto_model.__name__,
    )
    origin = {"step": counters.step, "spec": spec.model_dump(mode="json")}
    with new_folder(folder) as temporary:
        plain.save_pretrained(temporary)
        task.processor.save_pretrained(temporary)
        (temporary / "README.md").write_text(card, encoding="utf-8")
        (temporary / "relora.json").write_text(json.dumps(origin, indent=2))
    return sum(file.stat().st_size for file in folder.iterdir())


def merged_model(model: PreTrainedModel, dtype: torch.dtype) -> PreTrainedModel:
    """Return a plain model on the CPU that computes the same as `model`, with `dtype` weights."""
    state = SINGLE_PROCESS.gather_to_main(merged_tensors(model), dtype)
    return _plain_model(state, model, dtype)


def _plain_model(
    state: dict[str, Tensor], model: PreTrainedModel, dtype: torch.dtype
) -> PreTrainedModel:
    config = copy.deepcopy(model.config)  # building a model changes its config
    with no_init_weights():
        plain: PreTrainedModel = type(model)._from_config(config, dtype=dtype)
    plain.load_state_dict(state, strict=True, assign=True)
    plain.tie_weights()
    if hasattr(plain.config, "use_cache"):  # training turns the KV cache off
        plain.config.use_cache = True
    if plain.can_generate():
        settings = {**model.generation_config.to_dict(), "use_cache": True}
        plain.generation_config = GenerationConfig.from_dict(settings)
    return plain
