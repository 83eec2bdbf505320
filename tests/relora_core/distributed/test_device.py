import pytest
import torch

from relora_core.distributed.device import device_of_rank
from relora_core.errors import DeviceError


def too_old() -> None:
    raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")


def test_without_a_gpu_it_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "_device_count_nvml", lambda: -1)  # no driver at all
    assert device_of_rank(0) == torch.device("cpu")


def test_each_rank_has_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of_rank(3) == torch.device("cuda", 3)


def test_a_gpu_that_torch_cannot_use_is_an_error_with_torch_s_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "_device_count_nvml", lambda: 8)
    monkeypatch.setattr(torch.cuda, "init", too_old)
    with pytest.raises(DeviceError, match=r"8 NVIDIA GPUs.*driver on your system is too old"):
        device_of_rank(0)


def test_a_torch_for_the_cpu_trains_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.cuda, "_device_count_nvml", lambda: 8)
    assert device_of_rank(0) == torch.device("cpu")
