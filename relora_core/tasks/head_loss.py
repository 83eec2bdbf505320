"""The cross-entropy of next tokens, with head and loss computed in chunks of tokens.

With a usual vocabulary, the logits are the largest tensor of a step, and their gradient has the
same size. So the logits of all tokens never exist at once. The loss is one number, so its gradient
is known up to a factor in the forward pass. Each chunk of tokens goes through the head, and its
loss is computed and differentiated at once. Only the gradients of the head's input and weight are
kept (as in Liger Kernel, arXiv 2410.10989, section 3.2). No product is computed twice.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relora_core.models.loss_chunks import number_of_chunks
from relora_core.tasks.token_loss import compiled_sum_of_cross_entropies, sum_of_cross_entropies

_Score = Callable[[Tensor, Tensor], Tensor]
_ROWS_AT_ONCE = 1024  # rows of the head's gradient in a block, on a CPU


def head_loss(hidden: Tensor, head: nn.Linear, targets: Tensor, *, compiled: bool) -> Tensor:
    """Return the sum of the losses of all targets, fp32 (or wider).

    Shapes: hidden (n, length, d); targets (n, length). Products run in the type of autocast or of
    `hidden`. All sums are in fp32.
    """
    hidden, targets = hidden.flatten(0, 1), targets.flatten()  # (M, d), (M,)
    if torch.is_autocast_enabled(hidden.device.type):
        hidden = hidden.to(torch.get_autocast_dtype(hidden.device.type))
    score = compiled_sum_of_cross_entropies if compiled else sum_of_cross_entropies
    if not torch.is_grad_enabled():
        return _score_alone(hidden, head, targets, score)
    loss: Tensor = _HeadLoss.apply(  # type: ignore[no-untyped-call] # torch's, without types
        hidden, head.weight, head.bias, targets, score
    )
    return loss


def _score_alone(hidden: Tensor, head: nn.Linear, targets: Tensor, score: _Score) -> Tensor:
    matrix = head.weight.to(hidden.dtype)
    chunks = _chunks(hidden, targets, outputs=head.out_features)
    return torch.stack([score(_logits(x, matrix, head.bias), t) for x, t in chunks]).sum()


class _HeadLoss(torch.autograd.Function):
    """The loss in chunks. Forward computes the gradients, and backward multiplies them by a factor.

    Backward works in place, so it can run only once.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,  # (M, d)
        weight: Tensor,  # (vocabulary, d)
        bias: Tensor | None,  # (vocabulary,)
        targets: Tensor,  # (M,)
        score: _Score,
    ) -> Tensor:
        losses: list[Tensor] = []
        gradients: list[Tensor] = []
        of_weight, of_bias = (
            torch.zeros_like(parameter) if wanted and parameter is not None else None
            for parameter, wanted in zip((weight, bias), ctx.needs_input_grad[1:3], strict=True)
        )
        matrix = weight.to(hidden.dtype)
        for x, chosen in _chunks(hidden, targets, outputs=len(weight)):
            loss, gradient = _differentiated(score, _logits(x, matrix, bias), chosen)
            losses.append(loss)
            gradients.append(gradient @ matrix)  # (m, d)
            if of_weight is not None:
                _add_product(of_weight, gradient, x)
            if of_bias is not None:
                of_bias += gradient.sum(0, dtype=of_bias.dtype)
        ctx.save_for_backward(torch.cat(gradients), of_weight, of_bias)
        return torch.stack(losses).sum()

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        # in place: a copy of the head's gradient would be as large as the head
        scaled = [None if kept is None else kept.mul_(factor) for kept in ctx.saved_tensors]
        return *scaled, None, None


def _add_product(total: Tensor, gradient: Tensor, x: Tensor) -> None:
    """Add gradient (m, vocabulary) transposed times x (m, d) to total (vocabulary, d).

    A CPU does this in blocks of rows that stay in its caches. Otherwise the whole product, which
    is as large as the head, would be written to memory in the type of x and read again to be added.
    A GPU does it at once, because it would wait for the launches of so many small kernels.
    """
    rows = len(total) if total.is_cuda else _ROWS_AT_ONCE
    for part, of_part in zip(total.split(rows), gradient.split(rows, dim=1), strict=True):
        part += of_part.T @ x


def _differentiated(score: _Score, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss of a chunk and its gradient with respect to the logits, (m, vocabulary)."""
    with torch.enable_grad():
        loss = score(logits.requires_grad_(), targets)
    [gradient] = torch.autograd.grad(loss, logits)
    return loss.detach(), gradient


def _logits(x: Tensor, matrix: Tensor, bias: Tensor | None) -> Tensor:
    return F.linear(x, matrix, None if bias is None else bias.to(x.dtype))  # (m, vocabulary)


def _chunks(hidden: Tensor, targets: Tensor, *, outputs: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Divide the tokens into chunks of nearly equal size: kernels are compiled for a size."""
    count = number_of_chunks(len(hidden) * outputs, itemsize=hidden.itemsize, on_gpu=hidden.is_cuda)
    return zip(hidden.chunk(count), targets.chunk(count), strict=True)
