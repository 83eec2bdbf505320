"""The check of GPUs, on devices of the CPU: it finds what computes or adds wrongly."""

import pytest
import torch
from torch import Tensor

from worker.node import gpu_check
from worker.node.gpu_check import problem_of
from worker.node.health import gpu_problem

CPU = torch.device("cpu")


def added(tensors: list[Tensor]) -> None:
    """As NCCL sums over all devices, in place."""
    total = torch.stack(tensors).sum(dim=0)
    for tensor in tensors:
        tensor.copy_(total)


def added_without_the_last(tensors: list[Tensor]) -> None:
    added(tensors[:-1])


def flipped(a: Tensor, b: Tensor) -> Tensor:
    """A product with one wrong number in a million."""
    product = a @ b
    product[700, 3] += 1 if product.dtype == torch.float32 else 64
    return product


@pytest.fixture(autouse=True)
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "_NUMBERS", 1 << 16)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_devices_that_compute_and_add_correctly_are_well(count: int) -> None:
    assert problem_of([CPU] * count, all_reduce=added) is None


def test_one_wrong_number_of_a_product_is_found() -> None:
    found = problem_of([CPU, CPU], all_reduce=added, multiply=flipped)
    assert found == "GPU 0 computes a wrong product"


def test_memory_that_loses_a_number_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    arange = torch.arange

    def forgetful(*arguments: int, **options: torch.dtype | torch.device) -> Tensor:
        written: Tensor = arange(*arguments, **options)  # type: ignore[call-overload]
        written[5] = 0
        return written

    monkeypatch.setattr(torch, "arange", forgetful)
    found = problem_of([CPU], all_reduce=added)
    assert found == "GPU 0 does not keep what is written into its memory"


def test_a_gpu_that_is_left_out_of_a_sum_is_found() -> None:
    found = problem_of([CPU] * 3, all_reduce=added_without_the_last)
    assert found == "the sum over 3 GPUs is wrong"


def test_one_gpu_needs_no_sum() -> None:
    assert problem_of([CPU], all_reduce=lambda _: pytest.fail("no sum")) is None


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_the_gpus_of_this_machine_are_well() -> None:
    assert gpu_problem(torch.cuda.device_count()) is None
