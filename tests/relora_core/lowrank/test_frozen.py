import sys
from typing import get_args

import pytest
import torch
from torch import Tensor

from relora_core.distributed.world import World
from relora_core.errors import ModelError
from relora_core.lowrank.frozen import FrozenWeight, build_frozen
from relora_core.lowrank.frozen import weight as weight_module
from relora_core.lowrank.frozen.weight import without_residuals
from relora_core.spec import FrozenDtype

DTYPES: tuple[FrozenDtype, ...] = get_args(FrozenDtype)
ROWS, COLUMNS = 64, 192


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def weight() -> Tensor:
    return random(ROWS, COLUMNS, seed=0)


def update(restart: int) -> Tensor:
    """Of rank 4 and a thousandth of the weight's size: what bf16 mostly rounds away."""
    factors = random(ROWS, 4, seed=2 * restart + 1) @ random(4, COLUMNS, seed=2 * restart + 2)
    return factors * 0.5e-3


def stored(frozen: FrozenWeight) -> Tensor:
    return frozen(torch.float32)


@pytest.mark.parametrize("dtype", DTYPES)
def test_after_any_number_of_restarts_w_is_the_fp32_sum_to_the_bit(dtype: FrozenDtype) -> None:
    reference, frozen = weight(), build_frozen(weight(), dtype)
    for restart in range(51):
        assert torch.equal(frozen.exact(), reference), restart
        reference = reference + update(restart)
        frozen.add(update(restart))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_fp32_sum_itself_stays_within_rounding_of_the_true_one(dtype: FrozenDtype) -> None:
    true, frozen = weight().double(), build_frozen(weight(), dtype)
    for restart in range(50):
        true += update(restart).double()
        frozen.add(update(restart))
    assert float((frozen.exact() - true).abs().max()) < 50 * 2**-24 * float(true.abs().max())


@pytest.mark.parametrize(
    ("dtype", "after_5", "after_25", "after_50"),
    [
        ("bf16", 0.75, 0.75, 0.75),
        ("int8", 1.0, 1.05, 1.08),
        ("nf4", 1.15, 1.65, 2.1),
        ("fp8", 0.97, 0.97, 0.97),
    ],
)
def test_the_naive_way_loses_or_distorts_the_same_updates(
    dtype: FrozenDtype, after_5: float, after_25: float, after_50: float
) -> None:
    """Dequantize, add, quantize: the error of the change of W, as a share of that change.

    In bf16 three quarters are lost, in fp8 nearly all; int8 and nf4 lose it all, and drift with the
    restarts.
    """
    start = stored(build_frozen(weight(), dtype))
    naive, wanted, errors = start, torch.zeros_like(start), []
    for restart in range(50):
        wanted += update(restart)
        naive = stored(build_frozen(naive + update(restart), dtype))
        errors.append(float((naive - start - wanted).norm() / wanted.norm()))
    assert errors[4] > after_5
    assert errors[24] > after_25
    assert errors[49] > after_50


@pytest.mark.parametrize(
    ("dtype", "step"), [("bf16", 2e-3), ("int8", 8e-3), ("nf4", 0.1), ("fp8", 3e-2)]
)
def test_what_is_stored_is_as_near_to_the_exact_weight_after_fifty_merges_as_before(
    dtype: FrozenDtype, step: float
) -> None:
    frozen = build_frozen(weight(), dtype)
    errors = []
    for restart in range(51):
        errors.append(float((stored(frozen) - frozen.exact()).norm() / frozen.exact().norm()))
        frozen.add(update(restart))
    assert max(errors) < min(1.05 * errors[0], step)
    assert torch.equal(stored(frozen), stored(build_frozen(frozen.exact(), dtype)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [192, 96, 33, 1])
def test_a_row_is_stored_by_itself_so_that_ranks_may_share_the_rows(
    dtype: FrozenDtype, columns: int
) -> None:
    values = weight()[:, :columns]
    whole, part = build_frozen(values, dtype), build_frozen(values[10:23], dtype)
    of_whole = dict(whole.named_parameters())
    for name, tensor in part.named_parameters():
        assert of_whole[name].shape[0] == ROWS
        assert torch.equal(tensor, of_whole[name][10:23])
    rows = update(0)[:, :columns]
    whole.add(rows)
    part.add(rows[10:23])
    assert torch.equal(part.exact(), whole.exact()[10:23])
    assert build_frozen(values[:0], dtype).exact().shape == (0, columns)


@pytest.mark.parametrize("dtype", DTYPES)
def test_only_what_is_stored_is_on_the_device_and_none_of_it_is_trained(
    dtype: FrozenDtype,
) -> None:
    frozen = build_frozen(weight(), dtype)
    on_device = sum(p.nbytes for p in frozen.parameters()) / weight().numel()
    off_device = 0 if frozen.residual is None else frozen.residual.nbytes / weight().numel()
    assert (on_device, off_device) == {
        "fp32": (4, 0),
        "bf16": (2, 2),
        "int8": (1 + 4 / COLUMNS, 4),
        "nf4": (1 / 2 + 4 / 64, 4),
        "fp8": (1 + 4 / COLUMNS, 4),
    }[dtype]
    assert not any(p.requires_grad for p in frozen.parameters())
    assert frozen.residual is None or frozen.residual.device.type == "cpu"


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_transposed_weight_is_stored_by_rows_too(dtype: FrozenDtype) -> None:
    frozen = build_frozen(weight().T.contiguous().T, dtype)
    assert torch.equal(frozen.exact(), weight())
    assert all(p.is_contiguous() for p in frozen.parameters())


def test_in_fp32_too_what_is_stored_is_a_copy() -> None:
    given = weight()
    frozen = build_frozen(given, "fp32")
    frozen.add(update(0))
    assert torch.equal(given, weight())


def bit_patterns() -> Tensor:
    """Random ones, ties of bf16, numbers around zero, denormals, the largest, infinity, NaN."""
    signed = torch.tensor([0, 1, 2, 0x7FFF, 0x8000, 0x8001, 0x18000, 0x3F808000, 0x3F818000])
    special = torch.tensor([0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x7F800000, 0x7FC00000])
    magnitudes = torch.cat([signed, special])
    drawn = torch.randint(-(2**31), 2**31, (2**16,), generator=torch.Generator().manual_seed(0))
    return torch.cat([magnitudes, magnitudes - 2**31, drawn]).to(torch.int32).unsqueeze(0)


def test_a_bf16_and_16_bits_more_are_a_fp32_to_the_bit() -> None:
    bits = bit_patterns()
    frozen = build_frozen(bits.view(torch.float32), "bf16")
    assert frozen.residual is not None
    assert frozen.residual.dtype == torch.int16
    assert torch.equal(frozen.exact().view(torch.int32), bits)


def test_bf16_storage_rounds_to_the_nearest_and_ties_away_from_zero() -> None:
    values = torch.tensor([[1 + 2**-8, -1 - 2**-8, 1 + 2**-9, 1 + 3 * 2**-9, 3.0, -0.0]])
    expected = torch.tensor([[1 + 2**-7, -1 - 2**-7, 1.0, 1 + 2**-7, 3.0, -0.0]])
    assert torch.equal(stored(build_frozen(values, "bf16")), expected)


def test_int8_has_one_scale_for_each_row_and_rounds_to_the_nearest() -> None:
    values = torch.tensor([[127.0, -127.0, 1.4, 1.6, 0.0], [0.0] * 5, [2.54, 0.009, 0.011, 0, 1]])
    expected = torch.tensor([[127.0, -127, 1, 2, 0], [0.0] * 5, [2.54, 0, 0.02, 0, 1]])
    assert torch.allclose(stored(build_frozen(values, "int8")), expected)


def test_fp8_has_a_power_of_two_for_each_row_and_four_bits_of_each_number() -> None:
    values = torch.tensor([[448.0, -30, 1.0625, 1.1875, 0], [0.0] * 5, [449.0, 2**-7, 1, 3, -17]])
    expected = torch.tensor([[448.0, -30, 1, 1.25, 0], [0.0] * 5, [448.0, 2**-7, 1, 3, -16]])
    frozen = build_frozen(values, "fp8")
    assert torch.equal(stored(frozen), expected)
    assert frozen.get_parameter("scales").flatten().tolist() == [1, 2**-126, 2]


def test_nf4_is_one_fp32_product_of_a_level_and_a_scale_so_the_same_on_every_device() -> None:
    from bitsandbytes.functional import get_4bit_type

    frozen = build_frozen(weight(), "nf4")
    codes, scales = frozen.get_parameter("codes"), frozen.get_parameter("scales")
    pairs = torch.stack([codes >> 4, codes & 15], dim=-1).view(ROWS, COLUMNS)
    levels = get_4bit_type("nf4", device="cpu")[pairs.int()]
    assert torch.equal(stored(frozen), levels * scales.repeat_interleave(64, dim=1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0.0, 1e-45, 1e-42, 1e-38, 1e30])
def test_rows_of_any_size_are_exact(dtype: FrozenDtype, size: float) -> None:
    values = weight() * size
    frozen = build_frozen(values, dtype)
    assert torch.equal(frozen.exact(), values)
    assert bool(stored(frozen).isfinite().all())


def test_without_bitsandbytes_nf4_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(ModelError, match=r"nf4 needs .* pip install -e '\.\[quantization\]'"):
        build_frozen(weight(), "nf4")


def test_on_a_gpu_a_loaded_residual_waits_in_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = build_frozen(weight(), "int8")
    residual = frozen.residual
    assert residual is not None
    pinned: list[torch.Tensor] = []

    def pin_memory(tensor: torch.Tensor) -> torch.Tensor:
        pinned.append(tensor)
        return tensor

    monkeypatch.setattr(weight_module, "is_gpu", lambda _: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    monkeypatch.setattr(weight_module, "offload_to_disk", pytest.fail)
    frozen.residual = residual
    assert frozen.residual is pinned[0] is residual


class Main(World):
    """The main rank as another one sees it: its numbers come in the order of sending."""

    def copy_from_main(self, values: torch.Tensor) -> torch.Tensor:
        return values.copy_(OF_MAIN.pop(0))


OF_MAIN: list[torch.Tensor] = []


@pytest.mark.parametrize("dtype", ["bf16", "int8", "nf4", "fp8"])
def test_a_replica_takes_w_from_the_main_rank_and_keeps_no_residual(dtype: FrozenDtype) -> None:
    values = weight()
    main = build_frozen(values, dtype)
    with without_residuals():
        replica = build_frozen(values, dtype)
    assert replica.residual is None
    replica.replicate(Main(1, 2, torch.device("cpu")))
    main.replicate(World(0, 1, torch.device("cpu")))
    for restart in range(3):
        main.add(update(restart))
        OF_MAIN.extend(parameter.clone() for parameter in main.parameters())
        replica.add(update(restart))
        assert OF_MAIN == []
        for mine, theirs in zip(replica.parameters(), main.parameters(), strict=True):
            assert torch.equal(mine, theirs)
    assert replica.residual is None
    assert main.residual is not None
    assert build_frozen(values, dtype).residual is not None


def test_a_rank_that_had_a_residual_frees_it_when_it_becomes_a_replica() -> None:
    frozen = build_frozen(weight(), "bf16")
    frozen.replicate(World(1, 2, torch.device("cpu")))
    assert frozen.residual is None
    assert not frozen.keeps_residual
