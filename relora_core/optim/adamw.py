"""Fused AdamW: one kernel for all parameters, which reads on the device whether to step."""

from torch import nn
from torch.optim import AdamW

from relora_core.optim.parameter_groups import Groups, parameter_groups
from relora_core.spec import BaseOptimizer


def build(model: nn.Module, spec: BaseOptimizer) -> AdamW:
    return of_groups(parameter_groups(model, spec), spec)


def of_groups(groups: Groups, spec: BaseOptimizer) -> AdamW:
    return AdamW(groups, lr=spec.learning_rate, betas=spec.betas, eps=spec.eps, fused=True)
