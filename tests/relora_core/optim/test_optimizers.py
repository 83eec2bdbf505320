import math
import sys

import pytest
import torch
from torch import nn

from relora_core.errors import ModelError
from relora_core.optim.optimizers import build_optimizer, set_learning_rate, step_if
from relora_core.spec import OPTIMIZERS, Adamw8bitOptimizer, AdamwOptimizer


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(100, 80), nn.LayerNorm(80))


@pytest.mark.parametrize("name", ["adamw", "adamw_8bit"])
def test_the_rate_of_a_step_is_what_was_set_and_only_matrices_decay(name: str) -> None:
    layers = model()
    spec = OPTIMIZERS[name](name=name, weight_decay=0.5)
    optimizer = build_optimizer(layers, spec)
    set_learning_rate(optimizer, 0.125)
    before = [parameter.detach().clone() for parameter in layers.parameters()]
    for parameter in layers.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    for parameter, old in zip(layers.parameters(), before, strict=True):
        kept = 1 - 0.125 * 0.5 if parameter.ndim == 2 else 1.0
        # the first step of Adam is the learning rate itself, up to epsilon
        torch.testing.assert_close(parameter.detach(), kept * old - 0.125, rtol=0, atol=1e-6)


def bits(layers: nn.Module, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """Weights, moments and step counts."""
    states = [optimizer.state[p].values() for p in layers.parameters()]
    values = [torch.as_tensor(value).clone() for state in states for value in state]
    return [*(p.detach().clone() for p in layers.parameters()), *values]


def assert_equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> None:
    assert len(one) == len(other) > 2
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


@pytest.mark.parametrize("name", ["adamw", "adamw_8bit"])
def test_a_step_that_is_not_finite_changes_no_bit_and_the_next_is_as_without_it(name: str) -> None:
    layers = [model(), model()]
    spec = OPTIMIZERS[name](name=name, weight_decay=0.5)
    optimizers = [build_optimizer(each, spec) for each in layers]

    def step(number: int, *, gradient: float) -> None:
        for parameter in layers[number].parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        step_if(torch.tensor(gradient).isfinite(), optimizers[number])

    step(0, gradient=0.25)
    before = bits(layers[0], optimizers[0])
    step(0, gradient=math.nan)
    assert_equal(bits(layers[0], optimizers[0]), before)
    step(0, gradient=0.5)
    for gradient in (0.25, 0.5):
        step(1, gradient=gradient)
    assert_equal(bits(layers[0], optimizers[0]), bits(layers[1], optimizers[1]))


def test_a_step_on_condition_is_the_plain_step_to_the_bit() -> None:
    layers = [model(), model()]
    optimizers = [build_optimizer(each, AdamwOptimizer()) for each in layers]
    for each in layers:
        for parameter in each.parameters():
            parameter.grad = torch.full_like(parameter, 0.125)
    step_if(torch.tensor(True), optimizers[0])
    optimizers[1].step()
    assert_equal(bits(layers[0], optimizers[0]), bits(layers[1], optimizers[1]))


def test_adamw_is_fused() -> None:
    assert build_optimizer(model(), AdamwOptimizer()).defaults["fused"] is True


def test_without_bitsandbytes_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)  # as if it were not installed
    with pytest.raises(ModelError, match=r"pip install -e '\.\[quantization\]'"):
        build_optimizer(model(), Adamw8bitOptimizer(name="adamw_8bit"))


def test_adamw_8bit_waits_for_the_device_once_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    from bitsandbytes.optim import optimizer as of_bitsandbytes

    waited: list[object] = []
    monkeypatch.setattr(of_bitsandbytes, "sync_gpu", waited.append)  # after each parameter
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append("step"))
    layers = model()
    optimizer = build_optimizer(layers, Adamw8bitOptimizer(name="adamw_8bit"))
    for parameter in layers.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert waited == ["step"]
    assert vars(of_bitsandbytes)["sync_gpu"] == waited.append  # as it was
