"""Optimizers from the spec."""

from torch import nn
from torch.optim import AdamW, Optimizer

from relora_core.spec import OptimizerSpec


def build_optimizer(model: nn.Module, spec: OptimizerSpec) -> Optimizer:
    """AdamW over what is trainable now; matrices decay, norms and biases do not."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": spec.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return AdamW(
        [group for group in groups if group["params"]],
        lr=spec.learning_rate,
        betas=spec.betas,
        eps=spec.eps,
        fused=True,
    )


def keep_state(old: Optimizer, new: Optimizer) -> None:
    """Parameters that are still trained go on with the moments that they had."""
    for group in new.param_groups:
        for parameter in group["params"]:
            if parameter in old.state:
                new.state[parameter] = old.state[parameter]


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
