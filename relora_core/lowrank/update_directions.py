"""The singular values of the update s B A of a layer, from r by r matrices.

With A Aᵀ = H Hᵀ, A = H Q for a Q with orthonormal rows. So s B A has the singular values of s B H,
which are the roots of the eigenvalues of s² Hᵀ (Bᵀ B) H, an r by r matrix. All is computed in fp64,
for a product of two matrices squares their condition number. A sharded layer needs no communication
but sums of r by r matrices and A itself.
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
    a, b = full_tensor(layer.lora_a).double(), to_local(layer.lora_b).double()
    values, vectors = torch.linalg.eigh(a @ a.T)
    h = vectors * values.clamp(min=0).sqrt()  # (r, r)
    bb = sum_over_shards(b.T @ b, like=layer.lora_b)
    scale = torch.as_tensor(layer.scale, device=a.device).double()
    return torch.linalg.eigvalsh(scale.square() * (h.T @ bb @ h)).clamp(min=0)
