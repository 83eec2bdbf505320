"""Fused AdamW: one kernel for all parameters, which reads on the device whether to step."""

from torch.optim import AdamW

from relora_core.optim.parameter_groups import Groups
from relora_core.spec import BaseOptimizer


def build(groups: Groups, spec: BaseOptimizer) -> AdamW:
    return AdamW(groups, lr=spec.learning_rate, betas=spec.betas, eps=spec.eps, fused=True)
