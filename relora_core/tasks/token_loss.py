"""The cross-entropy of next tokens, eager or compiled.

With a usual vocabulary, the logits are the largest tensor of a step. In eager mode, the loss makes
three more tensors of their shape in fp32: a copy, its log-softmax and its gradient. If it is
compiled, each row is read once for the sum and once for the gradient. Then the only other tensor of
that shape is the gradient, in the type of the logits. All sums are in fp32 in both cases.
"""

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


def sum_of_cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the sum over all targets, fp32 (): logits (..., vocabulary), targets (...)."""
    wide = logits.flatten(0, -2).to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(wide, targets.flatten(), reduction="sum")


def compiled_sum_of_cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the same as `sum_of_cross_entropies`, compiled at the first call."""
    return _compiled()(logits, targets)


@cache
def _compiled() -> Callable[[Tensor, Tensor], Tensor]:
    return torch.compile(sum_of_cross_entropies)
