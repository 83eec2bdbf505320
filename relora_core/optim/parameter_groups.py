"""Parameter groups: matrices have weight decay, norms and biases have none."""

from typing import Any

from torch import nn

from relora_core.spec import BaseOptimizer

Groups = list[dict[str, Any]]


def decay_groups(trainable: list[nn.Parameter], spec: BaseOptimizer) -> Groups:
    """Divide the trainable parameters into groups with and without weight decay."""
    groups: Groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": spec.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]
