"""Attention as products against attention as defined."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from relora_core.models import cpu_attention
from relora_core.models.cpu_attention import causal_attention, faster_than_torch


def rows(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> list[Tensor]:
    """Queries, keys, values and a gradient."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator).to(dtype) for _ in range(4)]


def results(attend: object, q: Tensor, k: Tensor, v: Tensor, grad: Tensor) -> list[Tensor]:
    """What is attended, and the three gradients."""
    leaves = [tensor.clone().requires_grad_() for tensor in (q, k, v)]
    assert callable(attend)
    attended = attend(*leaves)
    attended.backward(grad)
    return [attended.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


def as_products(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return causal_attention(q, k, v, scale=0.3)


def as_torch_does(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3)


@pytest.mark.parametrize("length", [1, 7, 64, 100, 300])
def test_it_is_attention_and_so_are_its_gradients(
    length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_attention, "_MOST_SCORES", 2 * 3 * 64 * length)  # blocks of 64
    given = rows(2, 3, length, 5)
    pairs = zip(results(as_products, *given), results(as_torch_does, *given), strict=True)
    for ours, expected in pairs:
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_with_a_mask_each_query_sees_only_what_the_mask_shows() -> None:
    documents = torch.randint(0, 3, (2, 1, 150)).sort().values
    mask = (documents[..., None] == documents[..., None, :]).tril()  # (2, 1, 150, 150)
    given = rows(2, 3, 150, 5)

    def ours(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return causal_attention(q, k, v, 0.3, mask=mask)

    def as_defined(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.3)

    for found, expected in zip(results(ours, *given), results(as_defined, *given), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_values_may_be_of_another_width() -> None:
    q, k, _, _ = rows(2, 3, 70, 4)
    _, _, v, grad = rows(2, 3, 70, 6, seed=1)
    pairs = zip(
        results(as_products, q, k, v, grad), results(as_torch_does, q, k, v, grad), strict=True
    )
    for ours, expected in pairs:
        torch.testing.assert_close(ours, expected, rtol=1e-12, atol=1e-12)


def test_scores_of_any_size_do_not_overflow() -> None:
    q, k, v, _ = rows(1, 2, 65, 8, dtype=torch.float32)
    attended = as_products(1e4 * q, k, v)
    torch.testing.assert_close(attended, as_torch_does(1e4 * q, k, v))


@pytest.mark.parametrize("spread", [1, 4, 16])  # of the scores: flat to peaked attention
def test_in_bf16_it_is_as_exact_as_torchs_kernel(spread: int) -> None:
    q, k, v, grad = rows(1, 4, 300, 64, dtype=torch.bfloat16)
    given = (q * spread, k, v, grad)
    exact = results(as_torch_does, *(tensor.double() for tensor in given))

    def errors(attend: object) -> list[float]:
        pairs = zip(results(attend, *given), exact, strict=True)
        return [float((ours - true).norm() / true.norm()) for ours, true in pairs]

    for ours, torchs in zip(errors(as_products), errors(as_torch_does), strict=True):
        assert ours < max(torchs, 0.0035)  # numbers rounded to bf16 are off by 0.0017 on average


def test_forward_keeps_no_scores_for_backward() -> None:
    kept: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    q, k, v, _ = (tensor.requires_grad_() for tensor in rows(1, 2, 128, 4))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        as_products(q, k, v)
    assert {tuple(tensor.shape) for tensor in kept} == {(2, 128, 4), (2, 128, 1)}


def taken(shape: tuple[int, ...], dtype: torch.dtype = torch.float32, device: str = "cpu") -> bool:
    """Whether a compiled model takes it for queries and keys of this shape."""
    queries = torch.empty(shape, dtype=dtype, device=device)
    answer = torch.compile(lambda: faster_than_torch(queries, queries), backend="eager")()
    torch.compiler.reset()
    return bool(answer)


def test_it_is_taken_on_cpus_while_the_scores_of_a_few_blocks_fit() -> None:
    assert taken((8, 16, 512, 64))
    assert taken((2, 16, 2048, 64))
    assert not taken((8, 16, 4096, 64))  # blocks would be so small that there are over eight
    assert not taken((8, 16, 512, 64), device="meta")


def test_without_a_compiler_torchs_kernel_is_taken() -> None:
    queries = torch.empty(8, 16, 512, 64)
    assert not faster_than_torch(queries, queries)


def test_bf16_is_taken_where_the_processor_multiplies_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for multiplies in (True, False):
        monkeypatch.setattr(cpu_attention, "_MULTIPLIES_BF16", multiplies)
        assert taken((8, 16, 512, 64), torch.bfloat16) is multiplies
        assert taken((8, 16, 512, 64), torch.float32)
