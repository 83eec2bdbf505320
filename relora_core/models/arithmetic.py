"""How a GPU computes during a run: sums in fp32, and always in the same order if asked to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from relora_core.spec import TrainingSpec

# The workspace with which cuBLAS always chooses the same kernels. It is read at the first product.
_CUBLAS_WORKSPACE = ":4096:8"


@contextmanager
def arithmetic(spec: TrainingSpec) -> Iterator[None]:
    """Compute as the spec says, and as before after the run.

    Parts of a long product of bf16 numbers are added in fp32, not in bf16 as cuBLAS may do: the
    gradients of factors are such products, over all tokens. With `training.deterministic`, torch
    uses deterministic kernels alone, and raises an error where an operation has none.
    """
    matmul = torch.backends.cuda.matmul
    reduced = matmul.allow_bf16_reduced_precision_reduction
    deterministic = torch.are_deterministic_algorithms_enabled()
    memory = torch.utils.deterministic
    filled: bool = memory.fill_uninitialized_memory  # type: ignore[attr-defined] # a property
    matmul.allow_bf16_reduced_precision_reduction = False
    if spec.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", _CUBLAS_WORKSPACE)
        torch.use_deterministic_algorithms(True)
        memory.fill_uninitialized_memory = False  # type: ignore[attr-defined] # nothing reads it
    try:
        yield
    finally:
        matmul.allow_bf16_reduced_precision_reduction = reduced
        torch.use_deterministic_algorithms(deterministic)
        memory.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
