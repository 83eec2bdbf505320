"""Causal attention on a CPU as matrix products, for compiled models.

torch's kernel for attention multiplies small tiles, at a tenth of the speed that the same CPU
reaches in large products. Here the queries are divided into a few blocks. Each block is multiplied
with all keys that it sees, in large products, and the compiler fuses the softmax of a block. As in
FlashAttention (arXiv 2205.14135), forward keeps only the logarithm of each row's sum of
exponentials, and backward computes the probabilities again. Unlike there, the scores of a whole
block are in memory at once.

A product of bf16 numbers is rounded to bf16, which is too coarse for the argument of an
exponential. A second product recovers the rounding error: the rounded first product is subtracted
from it before it is rounded itself. The sum of both is as good as fp32.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

_BLOCKS = (512, 256, 128, 64)  # queries at once; larger is better while there are a few blocks
_MOST_BLOCKS = 8  # each block is compiled separately
_MOST_SCORES = 2**24  # in a block, over all sequences and heads: 150 MB at once in backward

_CPU = torch.cpu.get_capabilities()
# With AMX, torch's own kernel multiplies with AMX tiles.
_MULTIPLIES_BF16 = _CPU.get("avx512_bf16", False) and not _CPU.get("amx_bf16", False)


def faster_than_torch(query: Tensor, key: Tensor) -> bool:
    """Return whether to use `causal_attention`. It depends on the CPU, the types and the shapes."""
    if query.device.type != "cpu" or not torch.compiler.is_compiling():
        return False
    if query.dtype == torch.bfloat16 and not _MULTIPLIES_BF16:
        return False
    same = query.shape[0] == key.shape[0] and query.shape[2:] == key.shape[2:]  # but for the heads
    return same and bool(_block(query))


def causal_attention(
    query: Tensor, key: Tensor, value: Tensor, scale: float, *, mask: Tensor | None = None
) -> Tensor:
    """Return softmax(scale q k') v, where each query sees only keys up to its own position.

    With a mask, it sees only those of them for which the mask is true, at least one. Shapes: query,
    key (sequences, heads, length, d); value and result (sequences, heads, length, d_v); mask
    (sequences, 1, length, length), bool.
    """
    block = _block(query)
    rows = (tensor.flatten(0, 1) for tensor in (query, key, value))
    attended: Tensor = _CausalAttention.apply(*rows, mask, scale, block)  # type: ignore[no-untyped-call]
    return attended.view(*query.shape[:3], value.shape[-1])


def _block(query: Tensor) -> int:
    """Return the number of queries in a block, or 0 if there would be too many blocks."""
    sequences, heads, length, _ = query.shape
    most = min(max(256, length // 4), _MOST_SCORES // (sequences * heads * length))
    block = next((block for block in _BLOCKS if block <= most), 0)
    return block if block * _MOST_BLOCKS >= length else 0


class _CausalAttention(torch.autograd.Function):
    """Shapes: q, k, v and their gradients (n, length, d), with n sequences times heads."""

    @staticmethod
    def forward(  # noqa: PLR0913 - autograd passes no keywords
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, block: int
    ) -> Tensor:
        attended, logs = [], []
        for start, end in _ranges(q.shape[1], block):
            scores = _scores(q[:, start:end], k[:, :end], start, mask) * scale  # (n, block, end)
            largest = scores.amax(-1, keepdim=True)
            weights = (scores - largest).exp()
            total = weights.sum(-1, keepdim=True)
            weighted = torch.bmm(weights.to(v.dtype), v[:, :end])  # (n, block, d)
            attended.append((weighted / total).to(v.dtype))
            logs.append(largest + total.log())
        result, log_totals = torch.cat(attended, 1), torch.cat(logs, 1)
        ctx.scale, ctx.block = scale, block
        ctx.save_for_backward(q, k, v, mask, log_totals)
        return result

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None, None]:
        q, k, v, mask, log_totals = ctx.saved_tensors
        q_grads = []
        k_grad, v_grad = (torch.zeros_like(tensor, dtype=log_totals.dtype) for tensor in (k, v))
        for start, end in _ranges(q.shape[1], ctx.block):
            queries, grads = q[:, start:end], grad[:, start:end]
            scores = _scores(queries, k[:, :end], start, mask) * ctx.scale
            probabilities = (scores - log_totals[:, start:end]).exp()  # (n, block, end)
            p_grad = torch.bmm(grads, v[:, :end].mT)
            shift = (probabilities * p_grad).sum(-1, keepdim=True)  # (n, block, 1)
            s_grad = (probabilities * (p_grad - shift) * ctx.scale).to(q.dtype)
            q_grads.append(torch.bmm(s_grad, k[:, :end]))
            k_grad[:, :end] += torch.bmm(s_grad.mT, queries)
            v_grad[:, :end] += torch.bmm(probabilities.to(v.dtype).mT, grads)
        return torch.cat(q_grads, 1), k_grad.to(k.dtype), v_grad.to(v.dtype), None, None, None


def _ranges(length: int, block: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, block):
        yield start, min(start + block, length)


def _scores(queries: Tensor, keys: Tensor, start: int, mask: Tensor | None) -> Tensor:
    """Return q k' in fp32 or better, with minus infinity where a query does not see a key.

    Shapes: queries (n, block, d), from position `start` on; keys (n, end, d); mask
    (sequences, 1, length, length); result (n, block, end).
    """
    products = torch.bmm(queries, keys.mT)
    if products.dtype.itemsize < 4:
        rounded_away = torch.baddbmm(products, queries, keys.mT, beta=-1)
        products = products.float() + rounded_away.float()
    end = start + queries.shape[1]
    if mask is not None:  # it has the causal mask in it
        seen = mask[:, :, start:end, : keys.shape[1]]  # (sequences, 1, block, end)
        by_head = products.unflatten(0, (len(mask), -1))  # (sequences, heads, block, end)
        return by_head.masked_fill(~seen, -torch.inf).flatten(0, 1)
    query_positions = torch.arange(start, end)[:, None]
    return products.masked_fill(torch.arange(keys.shape[1]) > query_positions, -torch.inf)
