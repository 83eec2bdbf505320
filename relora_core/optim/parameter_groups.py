"""Parameter groups: by weight decay, and by learning rate where A and B have their own.

Matrices have weight decay, norms and biases have none. `lr_ratio` of a group of factors is their
learning rate divided by that of all other groups.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from torch import nn

from relora_core.lowrank.linear import LowRankUpdate
from relora_core.lowrank.step_size import ratio_of_equal_steps
from relora_core.spec import BaseOptimizer

Groups = list[dict[str, Any]]


def parameter_groups(
    model: nn.Module, spec: BaseOptimizer, *, without: Iterable[nn.Parameter] = ()
) -> Groups:
    """Return the groups of the parameters that are trainable now, except those in `without`."""
    factors = _factors(model, spec) if spec.factor_learning_rate is not None else {}
    chosen = {*without, *(parameter for group in factors.values() for parameter in group)}
    others = [p for p in model.parameters() if p.requires_grad and p not in chosen]
    return [
        *decay_groups(others, spec),
        *(
            {"params": parameters, "weight_decay": spec.weight_decay, "lr_ratio": ratio}
            for ratio, parameters in factors.items()
        ),
    ]


def decay_groups(trainable: list[nn.Parameter], spec: BaseOptimizer) -> Groups:
    """Divide the trainable parameters into groups with and without weight decay."""
    groups: Groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": spec.weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]


def _factors(model: nn.Module, spec: BaseOptimizer) -> dict[float, list[nn.Parameter]]:
    """Return the trained A and B by the ratio of their learning rate to that of the rest."""
    factors: dict[float, list[nn.Parameter]] = defaultdict(list)
    for layer in model.modules():
        if isinstance(layer, LowRankUpdate):
            factors[_ratio(layer, spec)] += layer.trained_factors
    return factors


def _ratio(layer: LowRankUpdate, spec: BaseOptimizer) -> float:
    rate = spec.factor_learning_rate
    assert rate is not None
    return ratio_of_equal_steps(layer) if rate == "auto" else rate / spec.learning_rate
