"""The AdamW of bitsandbytes, which keeps the moments of larger tensors in 8 bits."""

from torch import nn
from torch.optim import Optimizer

from relora_core.lowrank.bitsandbytes_extra import require_bitsandbytes
from relora_core.optim.parameter_groups import parameter_groups
from relora_core.spec import BaseOptimizer


def build(model: nn.Module, spec: BaseOptimizer) -> Optimizer:
    require_bitsandbytes("optimizer.name adamw_8bit", instead="adamw")
    from bitsandbytes.optim.adamw import AdamW8bit

    groups = parameter_groups(model, spec)
    optimizer: Optimizer = AdamW8bit(groups, lr=spec.learning_rate, betas=spec.betas, eps=spec.eps)
    return optimizer
