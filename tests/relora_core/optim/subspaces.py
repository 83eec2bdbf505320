"""What the tests of GaLore, Fira and APOLLO share."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

ADAM: dict[str, Any] = {"lr": 0.01, "betas": (0.9, 0.95), "eps": 1e-8}

each_shape = pytest.mark.parametrize("shape", [(12, 20), (20, 12), (16, 16)], ids=str)

Matrix = np.ndarray[Any, np.dtype[np.float64]]


def gradients(shape: tuple[int, int], count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def trained(weight: nn.Parameter, optimizer: Optimizer, grads: list[Tensor]) -> Tensor:
    for gradient in grads:
        weight.grad = gradient.clone()
        optimizer.step()
    return weight.detach()


def wide(matrix: Tensor) -> Matrix:
    """A copy in fp64 with m <= n."""
    turned = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    copied: Matrix = turned.detach().double().numpy().copy()
    return copied
