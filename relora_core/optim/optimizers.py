"""Optimizers from the spec.

The module of an optimizer has its name and a function `build`; its fields and its facts are in
`relora_core.spec.optimizer`.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from relora_core.optim.parameter_groups import decay_groups
from relora_core.spec import BaseOptimizer


def build_optimizer(model: nn.Module, spec: BaseOptimizer) -> Optimizer:
    """The optimizer that the spec names, over what is trainable now.

    Raises `ModelError` if the package that the spec asks for is not installed.
    """
    module = import_module(f"relora_core.optim.{spec.name}")
    groups = decay_groups([p for p in model.parameters() if p.requires_grad], spec)
    optimizer: Optimizer = module.build(groups, spec)
    return optimizer


def state_by_name(model: nn.Module, optimizer: Optimizer) -> dict[str, dict[str, Any]]:
    named = model.named_parameters()
    return {name: optimizer.state[p] for name, p in named if p in optimizer.state}


def keep_state(kept: Mapping[str, dict[str, Any]], model: nn.Module, optimizer: Optimizer) -> None:
    """Parameters that are still trained go on with the moments that those of their name had."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name in kept:
            optimizer.state[parameter] = kept[name]


def step_if(finite: Tensor, optimizer: Optimizer) -> None:
    """Take the step if the flag is set; else weights, moments and step counts stay as they are.

    Fused AdamW reads the flag on the device, as it does for `torch.amp.GradScaler`. The others
    have to know first: a sync point.
    """
    if type(optimizer) is AdamW:  # not GaLore's, whose projected weights know of no flag
        optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        optimizer.step()
    elif finite:
        optimizer.step()


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
