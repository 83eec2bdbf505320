"""With the ratio, a step of the factors moves W as far as a step of full-rank Adam."""

import math
from functools import partial

import pytest
import torch

from relora_core.lowrank.linear import FactoredLinear, LowRankLinear, LowRankUpdate
from relora_core.lowrank.step_size import ratio_of_equal_steps
from relora_core.spec import FactorInit, LoraMethod, LowrankMethod
from tests.relora_core.conftest import ROOT

D_IN, D_OUT, RANK = 192, 160, 16


def frozen(
    d_in: int, *, rank: int, alpha: float, factor_init: FactorInit = "random"
) -> LowRankLinear:
    method = LoraMethod(rank=rank, alpha=alpha, frozen_dtype="fp32", factor_init=factor_init)
    layer = LowRankLinear(torch.zeros(D_OUT, d_in), None, method, transposed=False)
    layer.reinitialize(seed=1, restart=0, name="layer")
    return layer


def factored(d_in: int, *, rank: int, alpha: float) -> FactoredLinear:
    method = LowrankMethod(rank=rank, alpha=alpha)
    device = torch.device("cpu")
    layer = FactoredLinear(D_OUT, d_in, None, method, transposed=False, device=device)
    layer.initialize(seed=1, name="layer")
    return layer


def test_the_ratio_is_that_of_the_widths_the_rank_and_the_scale() -> None:
    assert ratio_of_equal_steps(frozen(48, rank=9, alpha=9.0)) == pytest.approx(4.0)
    assert ratio_of_equal_steps(frozen(48, rank=9, alpha=36.0)) == pytest.approx(1.0)
    assert ratio_of_equal_steps(frozen(192, rank=9, alpha=9.0)) == pytest.approx(8.0)
    assert ratio_of_equal_steps(
        frozen(144, rank=9, alpha=9.0, factor_init="orthogonal")
    ) == pytest.approx(4.0)
    assert ratio_of_equal_steps(factored(18, rank=9, alpha=9.0)) == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize("layer", [frozen, partial(frozen, factor_init="gradient"), factored])
def test_a_first_step_of_adam_moves_w_by_the_learning_rate_of_full_rank(layer: object) -> None:
    assert callable(layer)
    update: LowRankUpdate = layer(D_IN, rank=RANK, alpha=4.0)
    before = update.update()
    rate = 1e-6  # so small that the product of both steps does not count
    optimizer = torch.optim.AdamW(
        update.parameters(), lr=rate * ratio_of_equal_steps(update), weight_decay=0, eps=1e-30
    )
    torch.manual_seed(0)
    for factor in (update.lora_a, update.lora_b):
        factor.grad = torch.randn_like(factor)  # the step of an entry is its sign times the rate
    optimizer.step()
    moved = (update.update().double() - before.double()).square().mean().sqrt()
    assert float(moved) == pytest.approx(rate, rel=0.05)


def test_the_page_has_the_ratios_of_the_paper_s_models() -> None:
    page = (ROOT / "docs" / "method.md").read_text()
    for name, d_in in {"llama_60m": 512, "llama_130m": 768, "llama_1b": 2048}.items():
        ratio = ratio_of_equal_steps(frozen(d_in, rank=128, alpha=32.0))
        assert f"| `{name}` | 128 | 32 | {ratio:.1f} |" in page
