"""The singular values and directions of the update s B A of a layer, from r by r matrices.

The energy of the update (`lowrank.directions`) is (B A)ᵀ B A in the row space of A. The roots of
its eigenvalues times s are the singular values of s B A, and its eigenvectors give the right
singular vectors. All is computed in fp64, for a product of two matrices squares their condition
number. Ranks of a sharded model exchange no more than A and r by r matrices.
"""

import torch
from torch import Tensor, nn

from relora_core.distributed.dtensor import sum_over_shards
from relora_core.lowrank.directions import directions_of
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
    energy = directions_of(layer).energy
    scale = torch.as_tensor(layer.scale, device=energy.device).double()
    return scale.square() * torch.linalg.eigvalsh(energy).clamp(min=0)


@torch.no_grad()
def used_directions(layer: LowRankLinear, count: int) -> Tensor:
    """Return the first right singular vectors of B A, (count, d_in), in whose span A is.

    They are orthonormal rows: the directions of x along which the update is largest.
    """
    update = directions_of(layer)
    vectors = torch.linalg.eigh(update.energy).eigenvectors.flip(1)[:, :count]  # (r, count)
    return (update.rows.T @ vectors).T.float()
