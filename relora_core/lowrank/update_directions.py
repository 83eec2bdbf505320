"""The singular values and directions of the update s B A of a layer, from r by r matrices.

With A = H Qᵀ for a Q with orthonormal columns, s B A has the singular values of s B H. They are
the roots of the eigenvalues of s² (B H)ᵀ B H. Q times its eigenvectors are the right singular
vectors of s B A. All is computed in fp64, for a product of two matrices squares their condition
number. Ranks of a sharded model exchange no more than A and r by r matrices.
"""

import torch
from torch import Tensor, nn

from relora_core.distributed.dtensor import full_tensor, sum_over_shards, to_local
from relora_core.lowrank.inject import low_rank_layers
from relora_core.lowrank.linear import LowRankLinear


@torch.no_grad()
def visible_rank(model: nn.Module) -> float:
    """Return in how many directions the update changes W visibly, as a mean over the layers.

    A direction with the singular value s counts s² / (s² + t²), where t² is the mean square of the
    singular values of W. The sum is between 0, for no update, and the rank of the update. (Ridge
    regression knows it as the effective number of parameters.) All processes have to call it.
    """
    ranks = [_visible_rank(layer) for _, layer in low_rank_layers(model)]
    return float(torch.stack(ranks).mean())


def _visible_rank(layer: LowRankLinear) -> Tensor:
    rows = layer.frozen(torch.float32).double()
    weight = sum_over_shards(rows.square().sum(), like=layer.lora_b)
    typical = weight / min(layer.frozen.d_out, layer.frozen.d_in)
    squares = squared_singular_values(layer)
    return (squares / (squares + typical)).sum()


@torch.no_grad()
def squared_singular_values(layer: LowRankLinear) -> Tensor:
    """Return the squares of the singular values of s B A, fp64 (r,), the smallest first."""
    gram, _ = _gram(layer)
    scale = torch.as_tensor(layer.scale, device=gram.device).double()
    return scale.square() * torch.linalg.eigvalsh(gram).clamp(min=0)


@torch.no_grad()
def used_directions(layer: LowRankLinear, count: int) -> Tensor:
    """Return the first right singular vectors of B A, (count, d_in), in whose span A is.

    They are orthonormal rows: the directions of x along which the update is largest.
    """
    gram, q = _gram(layer)
    vectors = torch.linalg.eigh(gram).eigenvectors.flip(1)[:, :count]  # (r, count)
    return (q @ vectors).T.float()


def _gram(layer: LowRankLinear) -> tuple[Tensor, Tensor]:
    """Return (B H)ᵀ B H, (r, r), and Q, (d_in, r), with A = H Qᵀ and orthonormal columns of Q."""
    q, triangle = torch.linalg.qr(full_tensor(layer.lora_a).T.double())
    b = to_local(layer.lora_b).double()
    return triangle @ sum_over_shards(b.T @ b, like=layer.lora_b) @ triangle.T, q
