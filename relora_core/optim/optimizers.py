"""Build and step the optimizer that the spec names.

The module of an optimizer has the optimizer's name and a function `build`. The fields and
properties of an optimizer are in `relora_core.spec.optimizer`.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from relora_core.spec import BaseOptimizer


def build_optimizer(model: nn.Module, spec: BaseOptimizer) -> Optimizer:
    """Return the optimizer of the spec for the parameters that are trainable now.

    Raise `ModelError` if the optimizer needs a package that is not installed.
    """
    module = import_module(f"relora_core.optim.{spec.name}")
    optimizer: Optimizer = module.build(model, spec)
    return optimizer


def state_by_name(model: nn.Module, optimizer: Optimizer) -> dict[str, dict[str, Any]]:
    named = model.named_parameters()
    return {name: optimizer.state[p] for name, p in named if p in optimizer.state}


def keep_state(kept: Mapping[str, dict[str, Any]], model: nn.Module, optimizer: Optimizer) -> None:
    """Give each trainable parameter the optimizer state in `kept` that has its name."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name in kept:
            optimizer.state[parameter] = kept[name]


def step_if(finite: Tensor, optimizer: Optimizer) -> None:
    """Take the step if `finite`; otherwise do not change weights, moments and step counts.

    Fused AdamW reads the flag on the device, as it does for `torch.amp.GradScaler`. For other
    optimizers the host has to read the flag first, which waits for the device.
    """
    if type(optimizer) is AdamW:  # not its subclass GaLore, whose projection ignores the flag
        optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
        optimizer.step()
    elif finite:
        optimizer.step()


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Set the rate of the next step. A and B get it times their ratio, if they have their own."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("lr_ratio", 1.0)


def factor_learning_rate(optimizer: Optimizer, learning_rate: float) -> float | None:
    """Return the rate of A and B beside `learning_rate`: the highest of all layers.

    Return None if they have no rate of their own.
    """
    ratios = [group["lr_ratio"] for group in optimizer.param_groups if "lr_ratio" in group]
    return learning_rate * max(ratios) if ratios else None
