import pytest
import torch
from torch import Tensor

from relora_core.tasks.token_loss import (
    compiled_sum_of_cross_entropies,
    sum_of_cross_entropies,
)

needs_a_compiler = pytest.mark.usefixtures("compiler")
# torch 2.13 uses what it deprecates, where it first compiles, and hides the second by itself.
compiler_warns = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning",
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning",
)


def logits_and_targets(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 5 * torch.randn(2, 16, 1000, generator=generator)
    targets = torch.randint(0, 1000, (2, 17), generator=generator)[:, 1:]  # not contiguous
    return logits.to(dtype).requires_grad_(), targets


def test_it_is_minus_the_log_of_each_target_s_probability_summed() -> None:
    logits, targets = logits_and_targets(torch.float32)
    probabilities = logits.double().softmax(-1).gather(-1, targets.unsqueeze(-1))
    expected = -probabilities.log().sum()
    assert sum_of_cross_entropies(logits, targets).item() == pytest.approx(
        expected.item(), rel=1e-6
    )


@pytest.mark.slow
@needs_a_compiler
@compiler_warns
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_it_is_the_same_to_fp32_rounding_and_keeps_the_logits_alone(
    dtype: torch.dtype,
) -> None:
    logits, targets = logits_and_targets(dtype)
    expected = sum_of_cross_entropies(logits, targets)
    [gradient] = torch.autograd.grad(expected, logits)
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = compiled_sum_of_cross_entropies(logits, targets)
    [compiled_gradient] = torch.autograd.grad(loss, logits)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    rounding = 1e-6 if dtype == torch.float32 else 2**-8
    assert (compiled_gradient - gradient).norm() <= rounding * gradient.norm()
    assert [t.data_ptr() for t in kept.values() if t.numel() >= logits.numel()] == [
        logits.data_ptr()
    ]
