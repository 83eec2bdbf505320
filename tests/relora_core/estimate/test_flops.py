from typing import get_args

import pytest

from relora_core.estimate.flops import executed_flops, flops_in_8_bits, model_flops
from relora_core.estimate.parameter_plan import factored, full_rank, low_rank
from relora_core.presets import MODELS
from relora_core.shapes import model_shape
from relora_core.spec import FullMethod, LowRank, LowrankMethod, Variant

LLAMA_60M = model_shape(MODELS["llama_60m"])
IN_BLOCKS = 8 * (4 * 512 * 512 + 3 * 512 * 1376)
ATTENTION = 12 * 8 * 512 * 512  # of 512 tokens, forward and backward
FACTORS = 8 * 128 * (4 * (512 + 512) + 3 * (512 + 1376))


def test_full_rank_takes_six_flops_for_each_weight_and_those_of_attention() -> None:
    expected = 6 * (IN_BLOCKS + 32100 * 512) + ATTENTION
    assert model_flops(LLAMA_60M, 512) == expected
    assert (
        executed_flops(full_rank(LLAMA_60M, FullMethod()), 512, sequences=1, recomputed=False)
        == expected
    )


def test_frozen_weights_have_no_gradient_and_factors_take_six_each() -> None:
    expected = 4 * IN_BLOCKS + 6 * FACTORS + 6 * 32100 * 512 + ATTENTION
    plan = low_rank(LLAMA_60M, LowRank(rank=128, variant="branches"))
    assert executed_flops(plan, 512, sequences=1, recomputed=False) == expected


def test_merged_factors_take_four_each_and_the_sum_costs_what_its_micro_batch_shares() -> None:
    plan = low_rank(LLAMA_60M, LowRank(rank=128, variant="merged"))
    sums = 4 * 128 * IN_BLOCKS / (16 * 512)
    expected = 4 * IN_BLOCKS + 4 * FACTORS + sums + 6 * 32100 * 512 + ATTENTION
    assert executed_flops(plan, 512, sequences=16, recomputed=False) == expected


def test_auto_is_never_dearer_than_either_way() -> None:
    for sequences in (1, 2, 16):
        auto, branches, merged = (
            executed_flops(
                low_rank(LLAMA_60M, LowRank(rank=128, variant=variant)),
                512,
                sequences=sequences,
                recomputed=False,
            )
            for variant in get_args(Variant)
        )
        assert auto <= min(branches, merged)


@pytest.mark.parametrize(("recomputed", "products"), [(False, 2), (True, 3)])
def test_all_products_with_frozen_weights_multiply_them_as_they_are_stored(
    products: int, *, recomputed: bool
) -> None:
    plan = low_rank(LLAMA_60M, LowRank(rank=128, frozen_dtype="int8"), as_stored=True)
    found = flops_in_8_bits(plan, tokens=10**6, recomputed=recomputed)
    assert found == 2 * products * IN_BLOCKS


@pytest.mark.parametrize(
    ("method", "as_stored"),
    [
        (LowRank(frozen_dtype="fp8"), False),
        (LowRank(frozen_dtype="fp8", variant="merged"), True),
    ],
)
def test_no_other_product_multiplies_w_as_it_is_stored(method: LowRank, *, as_stored: bool) -> None:
    plan = low_rank(LLAMA_60M, method, as_stored=as_stored)
    assert flops_in_8_bits(plan, tokens=10**6, recomputed=False) == 0


def test_factors_alone_take_the_place_of_the_weights() -> None:
    expected = 6 * FACTORS + 6 * 32100 * 512 + ATTENTION
    plan = factored(LLAMA_60M, LowrankMethod(rank=128))
    assert executed_flops(plan, 512, sequences=1, recomputed=False) == expected


def test_gradient_checkpointing_runs_the_blocks_forward_once_more() -> None:
    plan = full_rank(LLAMA_60M, FullMethod())
    once, again = (executed_flops(plan, 512, sequences=1, recomputed=r) for r in (False, True))
    assert again - once == 2 * IN_BLOCKS + ATTENTION / 3


@pytest.mark.parametrize(
    ("size", "ratio"), [("60m", 1.03), ("130m", 0.95), ("250m", 0.93), ("350m", 0.89), ("1b", 0.79)]
)
def test_low_rank_pays_in_larger_models(size: str, ratio: float) -> None:
    shape = model_shape(MODELS[f"llama_{size}"])
    low = executed_flops(
        low_rank(shape, LowRank(rank=128, variant="branches")), 512, sequences=1, recomputed=False
    )
    assert low / model_flops(shape, 512) == pytest.approx(ratio, abs=0.005)


def test_the_head_of_a_classifier_runs_once_an_image() -> None:
    few, many = (
        model_flops(model_shape({"model_type": "vit", "num_labels": n}), 197) for n in (2, 1002)
    )
    assert many - few == pytest.approx(6 * 768 * 1000 / 197)
