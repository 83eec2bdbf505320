"""An estimate costs little to make, whatever the spec says."""

import time
from typing import Any

import pytest

from relora_core.errors import ModelError
from relora_core.estimate import estimate
from relora_core.estimate.parameter_plan import low_rank
from relora_core.shapes import model_shape
from relora_core.spec import LowRank, TrainSpec

SMALL_LLAMA = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"steps": 100, "global_batch_size": 7_207_200}},
        {"model": {"config": {"model_type": "llama", **SMALL_LLAMA, "num_hidden_layers": 1000}}},
    ],
)
def test_a_huge_batch_or_a_thousand_blocks_take_no_longer_than_a_blink(
    changes: dict[str, Any],
) -> None:
    spec = TrainSpec.model_validate(
        {
            "model": {"config": {"model_type": "llama", **SMALL_LLAMA}},
            "data": {"train": {"uri": "/data"}},
            "method": {"name": "relora", "rank": 4},
            "training": {"steps": 100},
            **changes,
        }
    )
    started = time.process_time()
    estimate(spec)
    assert time.process_time() - started < 1


def test_a_pattern_that_names_one_block_is_low_rank_in_that_block_alone() -> None:
    shape = model_shape({"model_type": "llama", **SMALL_LLAMA, "num_hidden_layers": 8})
    plan = low_rank(shape, LowRank(rank=4, target_modules=["*.3.self_attn.q_proj"]))
    assert [target.names for target in plan.targets] == [["model.layers.3.self_attn.q_proj"]]
    assert plan.frozen == 64 * 64
    assert plan.total == shape.parameters + 4 * (64 + 64)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers must be a whole number from 1 to 1000"),
        ({"hidden_size": 10**400}, "hidden_size must be a whole number from 1 to 10000000"),
        ({"num_attention_heads": 5}, "hidden_size 64 does not divide over num_attention_heads 5"),
        ({"num_key_value_heads": 3}, "num_attention_heads 4 does not divide over num_key_value"),
    ],
)
def test_sizes_that_no_model_has_are_refused_at_once(config: dict[str, Any], reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        model_shape({"model_type": "llama", **SMALL_LLAMA, **config})
