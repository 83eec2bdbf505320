import torch

from relora_core.lowrank.frozen import FrozenWeight


def small_updates(count: int) -> list[torch.Tensor]:
    """Each a thousandth of the weight: what bf16 mostly rounds away."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(64, 48, generator=generator) * 1e-3 for _ in range(count)]


def weight() -> torch.Tensor:
    return torch.randn(64, 48, generator=torch.Generator().manual_seed(0))


def test_fifty_merges_into_bf16_stay_within_rounding_of_one_fp32_sum() -> None:
    reference, frozen = weight(), FrozenWeight(weight(), torch.bfloat16)
    for update in small_updates(50):
        reference = reference + update
        frozen.add(update)
    drift = (frozen.exact() - reference).abs().max()
    assert float(drift) < 1e-5  # fp32 rounding of numbers near 1, not bf16's 4e-3
    assert torch.equal(frozen.stored, frozen.exact().bfloat16())


def test_the_naive_way_loses_most_of_the_same_updates() -> None:
    reference, naive = weight(), weight().bfloat16()
    for update in small_updates(50):
        reference = reference + update
        naive = (naive.float() + update).bfloat16()
    applied = (naive.float() - weight().bfloat16().float()).norm()
    wanted = (reference - weight()).norm()
    error = (naive.float() - reference).norm() / wanted
    assert float(error) > 0.3
    assert float(applied / wanted) != 1.0


def test_fp32_storage_needs_no_residual() -> None:
    frozen = FrozenWeight(weight(), torch.float32)
    frozen.add(small_updates(1)[0])
    assert frozen.residual is None


def test_the_residual_makes_the_stored_weight_exact_from_the_start() -> None:
    frozen = build_frozen(weight(), "bf16")
    assert torch.equal(frozen.exact(), weight())


def test_the_residual_is_kept_off_the_device_and_out_of_the_parameters() -> None:
    frozen = build_frozen(weight(), "bf16")
    assert [name for name, _ in frozen.named_parameters()] == ["stored"]
    assert frozen.residual is not None
    assert frozen.residual.device.type == "cpu"
