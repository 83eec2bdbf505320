"""The cross-entropy of next tokens, eager or compiled.

With a usual vocabulary the logits are the largest tensor of a step, and in eager mode the loss
makes three more of their shape in fp32: a copy, its log-softmax and its gradient. Compiled, each
row is read once to be summed up and once to be differentiated: nothing of that shape is made but
the logits' own gradient, in the logits' type. All sums are in fp32 either way.
"""

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


def sum_of_cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """Summed over all targets, fp32: logits (..., vocabulary), targets (...)."""
    wide = logits.flatten(0, -2).to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(wide, targets.flatten(), reduction="sum")


def compiled_sum_of_cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """The same; compiled when it is first called."""
    return _compiled()(logits, targets)


@cache
def _compiled() -> Callable[[Tensor, Tensor], Tensor]:
    return torch.compile(sum_of_cross_entropies)
