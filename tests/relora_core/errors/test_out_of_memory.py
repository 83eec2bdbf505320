import pytest
import torch

from relora_core.errors import OutOfMemory
from relora_core.errors.out_of_memory import is_out_of_memory
from relora_core.errors.unexpected import as_train_error

CUBLAS = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError(CUBLAS)]
)
def test_a_full_memory_is_told_as_such_whoever_asked_for_it(error: Exception) -> None:
    assert is_out_of_memory(error)
    with pytest.raises(OutOfMemory, match="lower training"), as_train_error():
        raise error


@pytest.mark.parametrize(
    "error", [RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError(CUBLAS)]
)
def test_other_errors_are_not(error: Exception) -> None:
    assert not is_out_of_memory(error)
