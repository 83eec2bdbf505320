"""How the frozen weight W is stored, and how an update is added to it without loss.

The storage type cannot hold every sum: in bf16, an update a thousandth of W's size loses
78% of its entries to rounding. So what the type cannot hold is kept as a residual, in fp32
and off the device, and carried into the next merge: W + residual is always the fp32 sum.
"""

import torch
from torch import Tensor, nn

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class FrozenWeight(nn.Module):
    """W (d_out, d_in) in its storage type; no gradient reaches it."""

    def __init__(self, weight: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.stored = nn.Parameter(
            torch.empty(weight.shape, dtype=dtype, device=weight.device), requires_grad=False
        )
        self.residual: Tensor | None = None  # (d_out, d_in), fp32, on the CPU
        self._store(weight.detach().float())

    def forward(self, dtype: torch.dtype) -> Tensor:
        return self.stored.to(dtype)  # (d_out, d_in)

    @torch.no_grad()
    def exact(self) -> Tensor:
        """W with nothing rounded away, fp32, (d_out, d_in)."""
        weight = self.stored.float()
        if self.residual is not None:
            weight = weight + self.residual.to(weight.device)
        return weight

    @torch.no_grad()
    def add(self, update: Tensor) -> None:
        """W += update, summed in fp32; `update` is (d_out, d_in)."""
        self._store(self.exact() + update.float())

    @torch.no_grad()
    def _store(self, weight: Tensor) -> None:
        self.stored.copy_(weight)
        if self.stored.dtype != torch.float32:
            self.residual = (weight - self.stored.float()).cpu()
