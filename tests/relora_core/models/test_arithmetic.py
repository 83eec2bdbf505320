import os
from collections.abc import Iterator

import pytest
import torch

from relora_core.models.arithmetic import arithmetic
from relora_core.spec import TrainingSpec

MATMUL = torch.backends.cuda.matmul


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    yield
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


def test_sums_are_in_fp32_during_a_run_and_as_before_after_it() -> None:
    before = MATMUL.allow_bf16_reduced_precision_reduction
    with arithmetic(TrainingSpec(steps=1)):
        assert MATMUL.allow_bf16_reduced_precision_reduction is False
        assert not torch.are_deterministic_algorithms_enabled()
    assert MATMUL.allow_bf16_reduced_precision_reduction == before is True


def test_a_deterministic_run_uses_deterministic_kernels_alone() -> None:
    with arithmetic(TrainingSpec(steps=1, deterministic=True)):
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    assert not torch.are_deterministic_algorithms_enabled()


def test_after_an_error_too() -> None:
    with (
        pytest.raises(ValueError, match="of the run"),
        arithmetic(TrainingSpec(steps=1, deterministic=True)),
    ):
        raise ValueError("of the run")
    assert not torch.are_deterministic_algorithms_enabled()
