"""The training tasks: data, model class, loss and scores of each.

To add a task, add a value to `TrainSpec.task`, a module here and a case in `build_task`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

from transformers import AutoImageProcessor, AutoTokenizer

from relora_core.data.prepare import prepare
from relora_core.data.tokenizer import prompt_tokenizer, token_ids
from relora_core.events import Emit
from relora_core.models.build import AutoModel
from relora_core.spec import NoTokenizer, TrainSpec
from relora_core.tasks.causal_lm import CausalLM
from relora_core.tasks.image_classification import ImageClassification
from relora_core.tasks.task import Processor, Task, TaskParts


def build_task(
    spec: TrainSpec,
    *,
    cache: Path,
    emit: Emit,
    staged: Mapping[str, str] | None = None,
    resumed: Path | None = None,
) -> Task:
    """Prepare the data of the spec, or find it in the cache. Raise `DataError` if it is not usable.

    `staged` maps the URIs of remote sources to the local URIs of their copies on this node.
    `resumed` is the checkpoint from which the run resumes; its tokenizer is used, not a new one.
    """
    match spec.task:
        case "causal_lm":
            data = prepare(spec, cache=cache, emit=emit, staged=staged, resumed=resumed)
            return CausalLM.of(spec, data)
        case "image_classification":
            return ImageClassification.of(spec, cache=cache, emit=emit)
        case _:
            assert_never(spec.task)


@dataclass(frozen=True)
class LoadedParts:
    processor: Processor
    auto_model: AutoModel


def load_parts(spec: TrainSpec, folder: Path) -> TaskParts:
    """Return the parts of a task whose processor was saved in this folder."""
    match spec.task:
        case "causal_lm":
            if isinstance(spec.tokenizer, NoTokenizer):
                return LoadedParts(token_ids(spec.tokenizer, spec.model), CausalLM.auto_model)
            tokenizer: Any = AutoTokenizer.from_pretrained(folder)
            return LoadedParts(prompt_tokenizer(tokenizer), CausalLM.auto_model)
        case "image_classification":
            processor = AutoImageProcessor.from_pretrained(folder)
            return LoadedParts(processor, ImageClassification.auto_model)
        case _:
            assert_never(spec.task)
