"""The method control: a smaller full-rank model with as many parameters as ReLoRA trains.

It is the row Control in the paper (arXiv 2307.05695). It answers a question: does ReLoRA need its
large frozen weights, or is a model with only as many parameters as ReLoRA trains equally good?
"""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from transformers import PreTrainedConfig, PreTrainedModel

from relora_core.errors import ModelError
from relora_core.events import AnyTrainEvent
from relora_core.lowrank.inject import inject
from relora_core.methods.method import Method, enter_phase
from relora_core.methods.width import mlp_size, narrowed, possible_widths
from relora_core.models.build import AutoModel
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec
from relora_core.spec.method import ControlMethod, LoraMethod
from relora_core.state import TrainState


@dataclass(frozen=True)
class ControlShape:
    """The narrower config, its number of parameters and the number that it should match."""

    config: PreTrainedConfig
    parameters: int
    target: int  # the parameters that ReLoRA trains in its low-rank phase


def build(_spec: TrainSpec, method: ControlMethod, _timeline: Timeline) -> Method:
    return Control(method)


class Control(Method):
    def __init__(self, method: ControlMethod) -> None:
        self.method = method
        self.target: int | None = None

    def config(self, config: PreTrainedConfig, auto_model: AutoModel, /) -> PreTrainedConfig:
        shape = control_shape(config, self.method, auto_model)
        self.target = shape.target
        return shape.config

    def before_step(self, state: TrainState) -> list[AnyTrainEvent]:
        if state.counters.phase is not None:
            return []
        return [enter_phase(state, "full_rank", target=self.target)]


def control_shape(
    config: PreTrainedConfig, method: ControlMethod, auto_model: AutoModel
) -> ControlShape:
    """Return the narrower config whose parameters are closest to what ReLoRA trains on `config`.

    The width changes in steps. The MLP is proportional to the width, and its size is then adjusted
    to reduce the remaining difference. Parameters are counted on real models on the meta device.
    Raise `ModelError` if no narrower model fits.
    """
    widths = possible_widths(config)
    target = _trained_by_relora(_without_memory(config, auto_model), method)

    @cache
    def count(hidden: int, more_mlp: int = 0) -> int:
        narrow = narrowed(config, hidden, more_mlp=more_mlp)
        return _parameters(_without_memory(narrow, auto_model))

    if not widths or target >= _parameters(_without_memory(config, auto_model)):
        raise ModelError(
            f"no model is narrower than this {config.model_type} and as large as what ReLoRA trains"
            f" of it ({target:,} parameters); lower method.rank or take method full"
        )
    hidden = _closest(widths, target, count)
    more_mlp = 0
    if mlp_size(config) is not None:
        more_mlp = round((target - count(hidden)) / (count(hidden, 1) - count(hidden)))
    shape = narrowed(config, hidden, more_mlp=more_mlp)
    return ControlShape(shape, count(hidden, more_mlp), target)


def _closest(widths: range, target: int, count: Callable[[int], int]) -> int:
    """Return the width whose count is nearest to the target. Counts grow with the width."""
    above = bisect_left(widths, target, key=count)
    return min(widths[max(0, above - 1) : above + 1], key=lambda width: abs(count(width) - target))


def _trained_by_relora(model: PreTrainedModel, method: ControlMethod) -> int:
    """Return the number of trainable parameters after the targets became low-rank."""
    inject(
        model,
        LoraMethod(rank=method.rank, target_modules=method.target_modules, frozen_dtype="fp32"),
    )
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _without_memory(config: PreTrainedConfig, auto_model: AutoModel) -> PreTrainedModel:
    with torch.device("meta"):
        model: PreTrainedModel = auto_model.from_config(config)
    return model


def _parameters(model: PreTrainedModel) -> int:
    return sum(p.numel() for p in model.parameters())
