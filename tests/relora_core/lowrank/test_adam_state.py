from typing import Any

import pytest
import torch
from torch import Tensor, nn

from relora_core.lowrank.adam_state import AdamState
from relora_core.optim.optimizers import build_optimizer
from relora_core.spec import OPTIMIZERS

SIZE = 5000  # over the 4096 from which on bitsandbytes keeps 8 bits; no whole number of blocks


def state_of(name: str, size: int = SIZE) -> dict[str, Any]:
    """After three steps."""
    torch.manual_seed(0)
    layer = nn.Linear(size, 1, bias=False)
    optimizer = build_optimizer(layer, OPTIMIZERS[name](name=name))
    for _ in range(3):
        layer.weight.grad = torch.randn(1, size)
        optimizer.step()
    return optimizer.state[layer.weight]


def decoded(state: dict[str, Any], number: int) -> Tensor:
    """As bitsandbytes itself reads the moment."""
    from bitsandbytes.functional import dequantize_blockwise

    return dequantize_blockwise(
        state[f"state{number}"],
        absmax=state[f"absmax{number}"],
        code=state[f"qmap{number}"],
        blocksize=256,
    )


def test_8_bit_moments_are_read_as_bitsandbytes_reads_them() -> None:
    state = state_of("adamw_8bit")
    assert state["state1"].dtype == torch.uint8
    view = AdamState(state)
    assert torch.equal(view.first.values(), decoded(state, 1))
    assert torch.equal(view.second.values(), decoded(state, 2))
    assert view.step == 3


def test_what_is_kept_of_8_bit_moments_is_scaled_without_a_second_rounding() -> None:
    state = state_of("adamw_8bit")
    keep = torch.arange(SIZE).view(1, SIZE) % 3 == 0
    for number, moment in enumerate((AdamState(state).first, AdamState(state).second), start=1):
        before = decoded(state, number)
        moment.prune(keep, scale=0.5)
        assert torch.equal(decoded(state, number)[keep], before[keep] * 0.5)
        assert not decoded(state, number)[~keep].any()  # exactly zero


def test_zeroed_codes_of_the_first_moment_would_be_large_and_negative() -> None:
    state = state_of("adamw_8bit")
    state["state1"].zero_()
    relative = decoded(state, 1).flatten()[:256] / state["absmax1"][0]
    assert relative.tolist() == pytest.approx([-0.993] * 256, abs=1e-3)


def test_quantizing_zeros_anew_would_not_clear_them_either() -> None:
    from bitsandbytes.functional import dequantize_blockwise, quantize_blockwise

    moment = torch.zeros(256)
    moment[0] = 1.0
    codes, blocks = quantize_blockwise(moment, code=state_of("adamw_8bit")["qmap1"], blocksize=256)
    nearest_to_zero = dequantize_blockwise(codes, blocks)[1]
    assert 0 < float(nearest_to_zero) < 1e-4


@pytest.mark.parametrize(
    ("name", "size"), [("adamw", SIZE), ("adamw_8bit", SIZE), ("adamw_8bit", 9)]
)
def test_every_edit_is_in_place_and_keeps_the_kind_of_the_state(name: str, size: int) -> None:
    state = state_of(name, size)
    before = dict(state)
    view = AdamState(state)
    view.first.clear()
    view.second.prune(torch.ones(1, size, dtype=torch.bool), scale=2.0)
    view.step = 1
    assert state.keys() == before.keys()
    assert all(state[key] is value for key, value in before.items() if isinstance(value, Tensor))
    assert type(state["step"]) is type(before["step"])
    assert (view.step, int(state["step"])) == (1, 1)
    assert not view.first.values().any()


def test_small_tensors_have_32_bit_moments() -> None:
    view = AdamState(state_of("adamw_8bit", 9))
    assert view.first.values().dtype == torch.float32
    assert (view.second.values() > 0).all()
