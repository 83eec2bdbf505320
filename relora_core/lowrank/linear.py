"""The layers of the low-rank methods: a trained update, with a frozen weight or without one."""

import hashlib
import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from relora_core.distributed.dtensor import distribute_like, from_local, full_tensor, to_local
from relora_core.lowrank.frozen import build_frozen
from relora_core.lowrank.variant import is_merged
from relora_core.spec import Factors, LowRank

ALL = slice(None)  # of the components of B A: its rank-one terms, a column of B times a row of A


class LowRankUpdate(nn.Module):
    """The update s B A x, with s = alpha / r, times a trained gain if `trainable_scaling` is set.

    Shapes: x (..., d_in); A (r, d_in); B (d_out, r); gain (1,). All are fp32. The gain starts at
    exactly 1, so s starts at alpha / r, and the size of alpha / r does not affect how the gain
    learns. The gradient of the gain is nonzero wherever B A x is nonzero. So it cannot stop
    learning, unlike the tanh of a number that is reset to zero.
    """

    orthonormal: bool = False  # whether A starts with orthonormal rows, or Kaiming-uniform

    def __init__(self, d_out: int, d_in: int, method: Factors, *, device: torch.device) -> None:
        super().__init__()
        self.alpha_over_rank = method.alpha / method.rank
        self.dropout = nn.Dropout(method.dropout)
        self.lora_a = nn.Parameter(torch.empty(method.rank, d_in, device=device))
        self.lora_b = nn.Parameter(torch.zeros(d_out, method.rank, device=device))
        self.lora_gain = (
            nn.Parameter(torch.ones(1, device=device)) if method.trainable_scaling else None
        )

    @property
    def trained_factors(self) -> list[nn.Parameter]:
        return [factor for factor in (self.lora_a, self.lora_b) if factor.requires_grad]

    @property
    def scale(self) -> Tensor | float:
        if self.lora_gain is None:
            return self.alpha_over_rank
        return self.alpha_over_rank * full_tensor(self.lora_gain)

    def extra_repr(self) -> str:
        (rank, d_in), (d_out, _) = self.lora_a.shape, self.lora_b.shape
        return f"{d_in} -> {d_out}, rank={rank}, alpha / rank={self.alpha_over_rank:g}"

    def updated(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Return s B A x + bias, (..., d_out), in the type of autocast or of x."""
        low = F.linear(self.dropout(x), self.lora_a.to(x.dtype))  # (..., r): cheaper than d_out
        low = (low * self.scale).to(low.dtype)
        return F.linear(low, self.lora_b.to(low.dtype), bias)  # (..., d_out)

    @torch.no_grad()
    def update(self, components: slice = ALL) -> Tensor:
        """Return s B A in fp32, (d_out, d_in), or the part of it that is of some components."""
        b, a = to_local(self.lora_b)[:, components], full_tensor(self.lora_a)[components]
        return from_local(self.scale * (b.float() @ a.float()), like=self.lora_b)

    @torch.no_grad()
    def start(self, *, generator: Generator) -> None:
        """Draw A, clear B and set s to alpha / r. Then the update is zero, and B has a gradient."""
        _draw(self.lora_a, generator, orthonormal=self.orthonormal)
        self.lora_b.zero_()
        if self.lora_gain is not None:
            self.lora_gain.fill_(1)


class LowRankLinear(LowRankUpdate):
    """The layer y = W x + s B A x + bias, with W frozen.

    Source: arXiv 2307.05695, equation 2. Shapes: x (..., d_in); W (d_out, d_in), as stored.
    B starts at zero, so the update does too. `method.factor_init` says how A starts. A is not zero,
    so B has a gradient from the first step on. `method.variant` selects how the layer is computed
    (see `lowrank.variant`).
    """

    def __init__(
        self,
        weight: Tensor,  # (d_out, d_in)
        bias: nn.Parameter | None,
        method: LowRank,
        *,
        transposed: bool,
    ) -> None:
        d_out, d_in = weight.shape
        super().__init__(d_out, d_in, method, device=weight.device)
        self.orthonormal = method.factor_init != "random"
        self.lora_a.requires_grad = method.train_a
        self.transposed = transposed  # whether the plain layer stored W as (d_in, d_out)
        self.frozen = build_frozen(weight, method.frozen_dtype)
        self.bias = bias
        self.variant = method.variant

    def forward(self, x: Tensor) -> Tensor:
        if not self._is_merged(x):
            return self.frozen.linear(x) + self.updated(x, self.bias)  # (..., d_out)
        b = self.lora_b if self.lora_gain is None else self.lora_b * self.lora_gain
        y = self.frozen.merged(x, self.lora_a, b, self.alpha_over_rank)  # (..., d_out)
        return y if self.bias is None else y + self.bias.to(y.dtype)

    def _is_merged(self, x: Tensor) -> bool:
        d_out, d_in = self.frozen.d_out, self.frozen.d_in
        tokens = x.shape[:-1].numel()
        return is_merged(
            self.variant,
            tokens=tokens,
            d_in=d_in,
            d_out=d_out,
            dropout=self.dropout.p,
            as_stored=self.frozen.multiplies_as_stored(x),
        )

    @torch.no_grad()
    def merged(self) -> Tensor:
        """Return the weight of the plain layer that computes the same, fp32, (d_out, d_in)."""
        return self.frozen.exact() + self.update()

    def reinitialize(self, *, seed: int, restart: int, name: str) -> None:
        """Reinitialize the factors. The random draw is the same on every rank and every machine."""
        self.start(generator=_generator(seed, restart, name))

    @torch.no_grad()
    def renew(self, component: int, *, seed: int, restart: int, name: str) -> None:
        """Draw a row of A and clear its column of B. The scale stays: other components have it.

        With orthonormal rows, the new one is orthogonal to the others.
        """
        a = full_tensor(self.lora_a).clone()
        generator = _generator(seed, restart, name)
        if self.orthonormal:
            others = torch.cat([a[:component], a[component + 1 :]])
            row = torch.randn(1, a.shape[1], dtype=torch.float64, generator=generator)
            a[component] = _orthonormal_beside(others, row)
        else:
            a[component] = _kaiming_uniform(a[component : component + 1].shape, generator)
        _set(self.lora_a, a)
        to_local(self.lora_b)[:, component] = 0

    @torch.no_grad()
    def keep_directions(self, directions: Tensor) -> None:
        """Replace the first rows of a new A by these orthonormal ones, (k, d_in).

        They get the length of drawn rows. If those are orthonormal, they become orthogonal to
        `directions` too.
        """
        a, count = full_tensor(self.lora_a).clone(), len(directions)
        if self.orthonormal:
            a[:count], a[count:] = directions, _orthonormal_beside(directions, a[count:])
        else:
            a[:count] = directions / math.sqrt(3)  # a drawn row has this length, on average
        _set(self.lora_a, a)


class FactoredLinear(LowRankUpdate):
    """The layer y = s B A x + bias, without W. Source: arXiv 2307.05695, table 1, the row LoRA.

    Both factors start Kaiming-uniform: without W, a zero B would make the output zero.
    """

    def __init__(
        self,
        d_out: int,
        d_in: int,
        bias: nn.Parameter | None,
        method: Factors,
        *,
        transposed: bool,
        device: torch.device,
    ) -> None:
        super().__init__(d_out, d_in, method, device=device)
        self.transposed = transposed
        self.bias = bias

    def forward(self, x: Tensor) -> Tensor:
        return self.updated(x, self.bias)

    def merged(self) -> Tensor:
        return self.update()

    def initialize(self, *, seed: int, name: str) -> None:
        generator = _generator(seed, 0, name)
        self.start(generator=generator)
        _draw(self.lora_b, generator)


@torch.no_grad()
def _draw(factor: Tensor, generator: Generator, *, orthonormal: bool = False) -> None:
    draw = _orthonormal_rows if orthonormal else _kaiming_uniform
    _set(factor, draw(factor.shape, generator))


def _set(factor: Tensor, whole: Tensor) -> None:
    """Give a factor this value; a rank that holds a part of it takes that part."""
    to_local(factor).copy_(to_local(distribute_like(whole, like=factor)))


def _kaiming_uniform(shape: torch.Size, generator: Generator) -> Tensor:
    bound = 1 / math.sqrt(shape[1])  # kaiming_uniform_ with a = sqrt(5)
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)


def _orthonormal_rows(shape: torch.Size, generator: Generator) -> Tensor:
    """Return a matrix with orthonormal rows, all equally likely.

    It is computed in fp64, so that the rounding of another CPU seldom reaches the fp32 numbers.
    """
    rows, columns = shape
    normal = torch.randn(columns, rows, dtype=torch.float64, generator=generator)
    q, triangle = torch.linalg.qr(normal)
    return (q * triangle.diagonal().sign()).T.float()


def _orthonormal_beside(others: Tensor, rows: Tensor) -> Tensor:
    """Return the rows (m, n), made orthonormal and orthogonal to `others` (k, n); k + m <= n.

    It is computed on the CPU, as in `_orthonormal_rows`.
    """
    both = torch.cat([others.cpu().double(), rows.cpu().double()])
    q, triangle = torch.linalg.qr(both.T)
    return (q * triangle.diagonal().sign()).T[len(others) :].float()


def _generator(seed: int, restart: int, name: str) -> Generator:
    return Generator().manual_seed(_seed_of(seed, restart, name))


def _seed_of(seed: int, restart: int, name: str) -> int:
    digest = hashlib.sha256(f"{seed}/{restart}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1  # a generator takes 63 bits
