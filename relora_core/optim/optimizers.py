"""Optimizers from the spec."""

from collections.abc import Mapping
from typing import Any, assert_never

from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from relora_core.lowrank.bitsandbytes_extra import require_bitsandbytes
from relora_core.spec import OptimizerSpec


def build_optimizer(model: nn.Module, spec: OptimizerSpec) -> Optimizer:
    """AdamW over what is trainable now; matrices decay, norms and biases do not.

    Raises `ModelError` if the package that the spec asks for is not installed.
    """
    groups = decay_groups([p for p in model.parameters() if p.requires_grad], spec)
    match spec.name:
        case "adamw":
            return AdamW(groups, lr=spec.learning_rate, betas=spec.betas, eps=spec.eps, fused=True)
        case "adamw_8bit":
            return _adamw_8bit(groups, spec)
        case _:
            assert_never(spec.name)


def decay_groups(trainable: list[nn.Parameter], spec: OptimizerSpec) -> list[dict[str, Any]]:
    """Divide what is trained into parameter groups with and without weight decay."""
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": spec.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _adamw_8bit(groups: list[dict[str, Any]], spec: OptimizerSpec) -> Optimizer:
    require_bitsandbytes("optimizer.name adamw_8bit", instead="adamw")
    from bitsandbytes.optim.adamw import AdamW8bit

    optimizer: Optimizer = AdamW8bit(groups, lr=spec.learning_rate, betas=spec.betas, eps=spec.eps)
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
