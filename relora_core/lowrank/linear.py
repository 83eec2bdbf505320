"""The layer of ReLoRA: a frozen weight and a trainable low-rank update."""

import hashlib
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relora_core.lowrank.frozen import DTYPES, FrozenWeight
from relora_core.spec import LowRank


class LowRankLinear(nn.Module):
    """y = W x + (alpha / r) B A x + bias, with W frozen.

    Source: arXiv 2307.05695, equation 2. Shapes: x (..., d_in); W (d_out, d_in);
    A (r, d_in); B (d_out, r). A and B are fp32, W is as stored. A starts Kaiming-uniform and
    B zero, so the update is zero and B has a gradient from the first step on.
    """

    def __init__(
        self,
        weight: Tensor,  # (d_out, d_in)
        bias: nn.Parameter | None,
        method: LowRank,
        *,
        transposed: bool,
    ) -> None:
        super().__init__()
        d_out, d_in = weight.shape
        self.transposed = transposed  # whether the plain layer stored W as (d_in, d_out)
        self.scale = method.alpha / method.rank
        self.frozen = FrozenWeight(weight, DTYPES[method.frozen_dtype])
        self.bias = bias
        self.dropout = nn.Dropout(method.dropout)
        self.lora_a = nn.Parameter(torch.empty(method.rank, d_in, device=weight.device))
        self.lora_b = nn.Parameter(torch.zeros(d_out, method.rank, device=weight.device))

    def forward(self, x: Tensor) -> Tensor:
        # autocast casts the operands of a linear layer itself; W is then best left as stored
        autocast = torch.is_autocast_enabled(x.device.type)
        weight = self.frozen(self.frozen.stored.dtype if autocast else x.dtype)
        low = F.linear(self.dropout(x), self.lora_a) * self.scale  # (..., r): cheaper than d_out
        return F.linear(x, weight, self.bias) + F.linear(low, self.lora_b)  # (..., d_out)

    @torch.no_grad()
    def update(self) -> Tensor:
        """(alpha / r) B A in fp32, (d_out, d_in)."""
        return self.scale * (self.lora_b.float() @ self.lora_a.float())

    @torch.no_grad()
    def merged(self) -> Tensor:
        """The weight of the plain layer that computes the same, fp32, (d_out, d_in)."""
        return self.frozen.exact() + self.update()

    @torch.no_grad()
    def reinitialize(self, *, seed: int, restart: int, name: str) -> None:
        """Draw A anew and clear B. The draw is the same on every rank and every machine."""
        bound = 1 / math.sqrt(self.lora_a.shape[1])  # kaiming_uniform_ with a = sqrt(5)
        generator = torch.Generator().manual_seed(_seed_of(seed, restart, name))
        drawn = torch.empty(self.lora_a.shape).uniform_(-bound, bound, generator=generator)
        self.lora_a.copy_(drawn)
        self.lora_b.zero_()


def _seed_of(seed: int, restart: int, name: str) -> int:
    digest = hashlib.sha256(f"{seed}/{restart}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1  # a generator takes 63 bits
