"""The directions of inputs that cycles of low-rank updates use: the row spaces of their B A.

The row space of B A (d_out, d_in) is that of A, where B has full rank. The principal angles
between it and the span of the earlier cycles tell whether a cycle learns in new directions.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from relora_core.distributed.dtensor import full_tensor, sum_over_shards, to_local
from relora_core.lowrank.cycle import kept_directions
from relora_core.lowrank.linear import LowRankLinear

_SAME = 1e-3  # sine of the angle below which two directions count as one


@dataclass(frozen=True)
class Directions:
    """The row space of an update B A, and the share of its squared norm in each direction."""

    rows: Tensor  # (r, d_in), orthonormal, fp64
    energy: Tensor  # (r, r): rows (B A)^T B A rows^T


@dataclass(frozen=True)
class Overlap:
    """How the row space of an update lies to the span of those of earlier updates."""

    angle: float  # degrees; its squared cosine is the mean over the principal angles
    share: float  # of the squared norm of B A that is in the span
    by_chance: float  # the mean squared cosine of random directions: dim(span) / d_in


@torch.no_grad()
def directions_of(layer: LowRankLinear) -> Directions:
    """Return the directions of the layer's update. Every rank has to call it."""
    a, b = full_tensor(layer.lora_a).double(), to_local(layer.lora_b).double()
    gram = sum_over_shards(b.T @ b, like=layer.lora_b)  # (r, r)
    q, triangle = torch.linalg.qr(a.T)  # A = triangle^T q^T
    return Directions(rows=q.T, energy=triangle @ gram @ triangle.T)


@torch.no_grad()
def compare(new: Directions, earlier: Tensor) -> Overlap:
    """Compare an update with the span of the rows of `earlier`, (m, d_in), each of norm 1.

    Raise `LinAlgError` if a decomposition fails.
    """
    earlier = earlier.to(new.rows)
    values, vectors = torch.linalg.eigh(earlier @ earlier.T)  # (m,), (m, m)
    own = values > _SAME**2
    basis = vectors[:, own].T @ earlier / values[own].sqrt().unsqueeze(1)  # orthonormal rows
    inside = new.rows @ basis.T  # (r, dim)
    squares = inside @ inside.T  # (r, r): of the cosines
    rank, d_in = new.rows.shape
    cosine = math.sqrt(min(1.0, float(squares.trace()) / rank))
    energy = float(new.energy.trace())
    share = float((squares * new.energy).sum()) / energy if energy else 0.0
    return Overlap(angle=math.degrees(math.acos(cosine)), share=share, by_chance=len(basis) / d_in)


def with_directions(earlier: Tensor | None, new: Directions) -> Tensor:
    """Return what the next cycle is compared with, (m, d_in), fp32 on the CPU."""
    rank, d_in = new.rows.shape
    rows = new.rows.float().cpu()
    both = rows if earlier is None else torch.cat([earlier, rows])
    return both[-kept_directions(rank, d_in) :].clone()
