"""Head and loss in chunks: the same numbers, without the logits of all tokens."""

import pytest
import torch
from torch import Tensor, nn

from relora_core.models import loss_chunks
from relora_core.tasks.head_loss import head_loss
from relora_core.tasks.token_loss import sum_of_cross_entropies
from tests.relora_core.estimate.live_memory import LiveMemory

VOCABULARY, WIDTH = 1000, 16


@pytest.fixture
def in_many_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_chunks, "CHUNK_BYTES", 10 * VOCABULARY * 4)  # 10 tokens in fp32


def example(
    *, bias: bool = False, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, nn.Linear, Tensor]:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, 16, WIDTH, generator=generator, dtype=dtype).requires_grad_()
    head = nn.Linear(WIDTH, VOCABULARY, bias=bias, dtype=dtype)
    nn.init.normal_(head.weight, generator=generator)
    targets = torch.randint(0, VOCABULARY, (2, 17), generator=generator)[:, 1:]  # not contiguous
    return hidden, head, targets


def gradients(loss: Tensor, hidden: Tensor, head: nn.Linear) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss / 32, [hidden, *head.parameters()])


@pytest.mark.usefixtures("in_many_chunks")
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-13), (torch.float32, 1e-6)])
def test_loss_and_gradients_are_those_of_all_logits_at_once(
    bias: bool,  # noqa: FBT001
    dtype: torch.dtype,
    rounding: float,
) -> None:
    hidden, head, targets = example(bias=bias, dtype=dtype)
    expected = sum_of_cross_entropies(head(hidden), targets)
    loss = head_loss(hidden, head, targets, compiled=False)
    assert loss.item() == pytest.approx(expected.item(), rel=rounding)
    theirs = gradients(expected, hidden, head)
    for mine, other in zip(gradients(loss, hidden, head), theirs, strict=True):
        assert (mine - other).norm() <= 10 * rounding * other.norm()


@pytest.mark.usefixtures("in_many_chunks")
def test_without_gradients_the_score_is_the_same() -> None:
    hidden, head, targets = example()
    loss = head_loss(hidden, head, targets, compiled=False)
    with torch.no_grad():
        score = head_loss(hidden, head, targets, compiled=False)
    assert score.item() == pytest.approx(loss.item(), rel=1e-6)
    assert not score.requires_grad


def test_a_head_that_is_not_trained_gets_no_gradient() -> None:
    hidden, head, targets = example()
    head.requires_grad_(False)
    head_loss(hidden, head, targets, compiled=False).backward()
    assert hidden.grad is not None
    assert head.weight.grad is None


def test_under_autocast_the_products_are_in_bf16_and_the_gradient_of_the_head_in_fp32() -> None:
    hidden, head, targets = example()
    with torch.autocast("cpu", torch.bfloat16):
        loss = head_loss(hidden, head, targets, compiled=False)
        logits = head(hidden)
    assert logits.dtype == torch.bfloat16
    assert loss.item() == pytest.approx(sum_of_cross_entropies(logits, targets).item(), rel=1e-6)
    exact = gradients(sum_of_cross_entropies(head(hidden), targets), hidden, head)
    for mine, theirs in zip(gradients(loss, hidden, head), exact, strict=True):
        assert mine.dtype == torch.float32
        assert (mine - theirs).norm() <= 2**-6 * theirs.norm()


@pytest.mark.usefixtures("in_many_chunks")
def test_the_logits_of_all_tokens_are_never_there() -> None:
    _, head, _ = example()
    hidden = torch.randn(4, 100, WIDTH, requires_grad=True)
    with LiveMemory() as meter:
        head_loss(hidden, head, torch.zeros(4, 100).long(), compiled=False).backward()
    assert meter.peak < 400 * VOCABULARY * 4 / 3


def test_the_head_s_gradient_adds_up_without_a_second_tensor_of_its_size() -> None:
    hidden, head = torch.randn(1, 4, 64, requires_grad=True), nn.Linear(64, 20_000, bias=False)
    with LiveMemory() as meter, torch.autocast("cpu", torch.bfloat16):
        head_loss(hidden, head, torch.zeros(1, 4).long(), compiled=False).backward()
    in_fp32, in_bf16 = 4, 2  # the gradient; the head, to multiply with
    assert meter.peak < 1.2 * (in_fp32 + in_bf16) * head.weight.numel()


@pytest.mark.filterwarnings(  # torch's own compiler
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning",
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning",
)
@pytest.mark.usefixtures("compiler")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_it_is_the_same_to_rounding(dtype: torch.dtype) -> None:
    hidden, head, targets = example()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        eager = head_loss(hidden, head, targets, compiled=False)
        compiled = head_loss(hidden, head, targets, compiled=True)
    assert compiled.item() == pytest.approx(eager.item(), rel=1e-6)
    rounding = 1e-6 if dtype == torch.float32 else 2**-8
    for mine, theirs in zip(
        gradients(compiled, hidden, head), gradients(eager, hidden, head), strict=True
    ):
        assert (mine - theirs).norm() <= rounding * theirs.norm()


def test_its_backward_runs_once() -> None:
    hidden, head, targets = example()
    loss = head_loss(hidden, head, targets, compiled=False)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
