"""Try the GPUs of this node, in seconds: a program of its own, so that no GPU memory stays in use.

Each GPU multiplies matrices whose product is known and reads back what it wrote into its memory.
Several GPUs also sum a tensor over all of them (NCCL). The last line of the standard error says
what is wrong.
"""

import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_SIDE = 1024  # of the matrices
_LARGEST = 8  # of their whole numbers: bf16 and TF32 hold them, and fp32 their sums, exactly
_NUMBERS = 1 << 25  # that are written into the memory: 256 MiB

Multiply = Callable[[Tensor, Tensor], Tensor]
AllReduce = Callable[[list[Tensor]], None]


def main() -> None:
    """Try all GPUs. The first argument is how many the driver lists."""
    count = torch.cuda.device_count()
    if count != int(sys.argv[1]):
        sys.exit(f"torch finds {count} GPUs, the driver {sys.argv[1]}")
    # so that no partial sum is rounded to bf16, and each product is exact
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    devices = [torch.device("cuda", number) for number in range(count)]
    if problem := problem_of(devices, all_reduce=torch.cuda.nccl.all_reduce):
        sys.exit(problem)


def problem_of(
    devices: Sequence[torch.device], *, all_reduce: AllReduce, multiply: Multiply = torch.matmul
) -> str | None:
    """Return what is wrong with the first device that fails, or None."""
    for number, device in enumerate(devices):
        if not _multiplies(device, multiply):
            return f"GPU {number} computes a wrong product"
        if not _remembers(device):
            return f"GPU {number} does not keep what is written into its memory"
    if len(devices) > 1 and not _sums(devices, all_reduce):
        return f"the sum over {len(devices)} GPUs is wrong"
    return None


def _multiplies(device: torch.device, multiply: Multiply) -> bool:
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.randint(-_LARGEST, _LARGEST + 1, (_SIDE, _SIDE), generator=generator).double()
        for _ in range(2)
    )
    exact = a @ b
    return all(
        torch.equal(multiply(a.to(device, dtype), b.to(device, dtype)).cpu(), exact.to(dtype))
        for dtype in (torch.float32, torch.bfloat16)
    )


def _remembers(device: torch.device) -> bool:
    written = torch.arange(_NUMBERS, dtype=torch.int64, device=device)
    return int(written.sum()) == _NUMBERS * (_NUMBERS - 1) // 2


def _sums(devices: Sequence[torch.device], all_reduce: AllReduce) -> bool:
    tensors = [torch.full((_SIDE,), 2.0**n, device=each) for n, each in enumerate(devices)]
    all_reduce(tensors)
    total = 2.0 ** len(devices) - 1  # of each number; no other subset of the GPUs has this sum
    return all(bool((tensor == total).all()) for tensor in tensors)


if __name__ == "__main__":
    main()
