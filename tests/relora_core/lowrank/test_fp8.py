"""fp8: what is multiplied is compared with e4m3 numbers made by plain arithmetic, in float64.

On a CPU `scaled_mm` takes the same arguments as on a GPU, and asks less of them. So what a GPU
would run is run here too, and what its kernel asks for is checked on tensors without numbers.
"""

from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from relora_core.lowrank.frozen import FrozenWeight, build_frozen, fp8
from relora_core.lowrank.frozen.e4m3 import quantize_rows, rounded_rows
from relora_core.lowrank.frozen.scaled_product import gradient, has_fp8_units, product, turned
from relora_core.lowrank.linear import LowRankLinear
from relora_core.spec import ReloraMethod

# torch 2.13 uses what it deprecates, where it compiles.
COMPILER_WARNS = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning",
    "ignore:.*Function'> should not be instantiated:DeprecationWarning",
)
D_OUT, D_IN = 32, 48
UNITS: tuple[bool, ...] = (False, True)


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def weight() -> Tensor:
    """Rows of many sizes, as scales are for."""
    return random(D_OUT, D_IN, seed=0) * torch.logspace(-3, 1, D_OUT).unsqueeze(1)


def nearest_e4m3(values: Tensor) -> Tensor:
    """Three bits after the leading one, ties to even; below 2^-6, multiples of 2^-9."""
    exponents = torch.frexp(values).exponent - 1
    steps = 2.0 ** (exponents.clamp(min=-6) - 3).double()
    return (values / steps).round() * steps


def reference_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The rounded rows and their scales, float64."""
    rows = rows.double()
    scales = 2 ** (rows.abs().amax(dim=-1, keepdim=True) / 448).log2().ceil()
    return nearest_e4m3(rows / scales) * scales, scales


def reference(x: Tensor, weight: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """x W' and the gradient of x, by rounded factors."""
    rounded, scales = reference_rows(weight)
    product = reference_rows(x)[0] @ rounded.T
    return product, reference_rows(grad.double() * scales.T)[0] @ (rounded / scales)


def forward_backward(call: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    y = call(x)
    (x_grad,) = torch.autograd.grad(y, x, random(*y.shape, seed=2).to(y.dtype))
    return y, x_grad


def difference(one: Tensor, other: Tensor) -> float:
    one, other = one.detach().double(), other.detach().double()
    return float((one - other).norm() / other.norm())


def pretend_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the CPU had fp8 matrix units."""

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator] # torch's
    def yes(_: torch.device) -> bool:
        return True

    monkeypatch.setattr(fp8, "has_fp8_units", yes)


@pytest.fixture(params=UNITS, ids=["elsewhere", "units"])
def units(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param:
        pretend_units(monkeypatch)
    return bool(request.param)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("spread", [0, 4, 12, 40])
def test_rows_are_rounded_to_the_nearest_e4m3_and_their_scales_are_powers_of_two(
    spread: int, dtype: torch.dtype
) -> None:
    exponents = torch.randint(-spread, spread + 1, (200, 64))
    rows = (random(200, 64, seed=1) * 2.0**exponents).to(dtype)
    expected, scales = reference_rows(rows)
    assert torch.equal(quantize_rows(rows)[1].double(), scales)
    assert torch.equal(rounded_rows(rows).double(), expected)
    assert float(quantize_rows(rows)[0].float().abs().max()) <= 448


def test_a_scale_is_as_small_as_the_largest_number_allows() -> None:
    largest = torch.tensor([448.0, 449.0, 224.0, 225.0, 0.0, 2.0**-140]).unsqueeze(1)
    _, scales = quantize_rows(largest)
    assert scales.flatten().tolist() == [1, 2, 0.5, 1, 2**-126, 2**-126]


def test_a_rounded_row_is_rounded_no_further() -> None:
    once = rounded_rows(random(50, 64, seed=1).bfloat16())
    assert torch.equal(rounded_rows(once), once)


@COMPILER_WARNS
@pytest.mark.parametrize("way", ["eager", "checkpointed", "compiled"])
def test_both_directions_multiply_the_rounded_factors(
    way: Literal["eager", "checkpointed", "compiled"], *, units: bool
) -> None:
    frozen, x = build_frozen(weight(), "fp8"), random(3, 5, D_IN, seed=1).bfloat16()
    frozen.prepare()
    torch.compiler.reset()
    calls: dict[str, Callable[[Tensor], Tensor]] = {
        "eager": frozen.linear,
        "checkpointed": lambda x: checkpoint(frozen.linear, x, use_reentrant=False),
        "compiled": torch.compile(
            frozen.linear, backend="aot_eager_decomp_partition", fullgraph=True
        ),
    }
    y, x_grad = forward_backward(calls[way], x)
    grad = random(*y.shape, seed=2).bfloat16()
    assert frozen.multiplies_as_stored(x) is units
    assert y.dtype == x_grad.dtype == torch.bfloat16
    for mine, expected in zip((y, x_grad), reference(x, weight(), grad), strict=True):
        assert difference(mine, expected) < 2**-8  # one rounding to bf16


def test_in_fp32_only_the_factors_are_rounded() -> None:
    frozen, x = build_frozen(weight(), "fp8"), random(15, D_IN, seed=1)
    grad = random(15, D_OUT, seed=2)
    for mine, expected in zip(
        forward_backward(frozen.linear, x), reference(x, weight(), grad), strict=True
    ):
        assert difference(mine, expected) < 1e-6


def test_the_error_of_a_product_is_that_of_four_bits() -> None:
    frozen, x = build_frozen(random(256, 512, seed=0), "fp8"), random(64, 512, seed=1)
    assert 0.03 < difference(frozen.linear(x), x @ random(256, 512, seed=0).T) < 0.04


def test_a_row_of_w_that_is_small_beside_the_others_keeps_its_bits() -> None:
    values = weight()
    values[0] *= 1e-6
    held = build_frozen(values, "fp8")(torch.float32)
    assert difference(held[0], values[0]) < 0.03


def test_codes_that_are_turned_in_each_backward_give_the_same_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where ranks hold some of the rows each, no rank holds a turned copy."""
    pretend_units(monkeypatch)
    frozen, x = build_frozen(weight(), "fp8"), random(7, D_IN, seed=1).bfloat16()
    without = forward_backward(frozen.linear, x)
    frozen.prepare()
    assert frozen.prepared is not None
    for mine, theirs in zip(forward_backward(frozen.linear, x), without, strict=True):
        assert torch.equal(mine, theirs)


def test_a_merge_turns_the_new_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_units(monkeypatch)
    frozen = build_frozen(weight(), "fp8")
    frozen.add(weight())
    assert frozen.prepared is None  # nobody asked
    frozen.prepare()
    before = frozen.prepared
    frozen.add(random(D_OUT, D_IN, seed=3))
    assert frozen.prepared is not None
    assert before is not None
    assert torch.equal(frozen.prepared, frozen.get_parameter("codes").T)
    assert not torch.equal(frozen.prepared, before)


@COMPILER_WARNS
def test_a_merge_reaches_what_is_compiled_and_compiles_nothing_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend_units(monkeypatch)
    frozen, x = build_frozen(weight(), "fp8"), random(7, D_IN, seed=1).bfloat16()
    frozen.prepare()
    torch.compiler.reset()
    compiled = torch.compile(frozen.linear, backend="aot_eager", fullgraph=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for restart in range(3):
            for mine, expected in zip(
                forward_backward(compiled, x), forward_backward(frozen.linear, x), strict=True
            ):
                assert torch.equal(mine, expected)
            frozen.add(random(D_OUT, D_IN, seed=restart))


def test_elsewhere_nothing_is_held_beside_what_is_stored() -> None:
    frozen = build_frozen(weight(), "fp8")
    frozen.prepare()
    assert frozen.prepared is None


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("shape", [(32, 40), (24, 48), (21, 19), (1, 1)])
def test_sides_that_the_kernel_does_not_take_are_filled_up(
    shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch, *, held: bool
) -> None:
    """The MLP of llama_1b is 5461 wide."""
    pretend_units(monkeypatch)
    values, x = random(*shape, seed=0), random(3, shape[1], seed=1).bfloat16()
    frozen = build_frozen(values, "fp8")
    if held:
        frozen.prepare()
    grad = random(3, shape[0], seed=2).bfloat16()
    for mine, expected in zip(
        forward_backward(frozen.linear, x), reference(x, values, grad), strict=True
    ):
        assert mine.shape == expected.shape
        assert difference(mine, expected) < 2**-8


def test_the_units_are_not_for_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_units(monkeypatch)
    frozen = build_frozen(weight(), "fp8")
    x = random(3, D_IN, seed=1)
    assert not frozen.multiplies_as_stored(x)
    assert frozen.multiplies_as_stored(x.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert frozen.multiplies_as_stored(x)


@pytest.mark.parametrize("bits", [0x7F800000, -0x800000, 0x7FC00000, 0x7FFFFFFF])
def test_what_is_not_finite_is_not_hidden(bits: int, *, units: bool) -> None:  # noqa: ARG001
    """Infinity, of both signs, and two of the NaNs: in x, and in the gradient."""
    frozen = build_frozen(weight(), "fp8")
    bad = torch.tensor(bits, dtype=torch.int32).view(torch.float32)
    x = random(2, D_IN, seed=1).bfloat16().requires_grad_()
    y = frozen.linear(x)
    grad = torch.ones_like(y)
    grad[0, 3] = bad
    (x_grad,) = torch.autograd.grad(y, x, grad)
    assert not x_grad[0].isfinite().any()
    assert x_grad[1].isfinite().all()
    x = x.detach()
    x[0, 5] = bad
    y = frozen.linear(x)
    assert not y[0].isfinite().any()
    assert y[1].isfinite().all()


def test_auto_leaves_w_as_it_is_stored_for_the_units(*, units: bool) -> None:
    """Elsewhere so many tokens are cheaper with W + s B A formed first, which rounds no x."""
    method = ReloraMethod(rank=4, frozen_dtype="fp8")
    layer = LowRankLinear(weight(), None, method, transposed=False)
    layer.reinitialize(seed=0, restart=0, name="layer")
    x = random(2000, D_IN, seed=1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    rounded, dense = reference_rows(x)[0], layer.frozen(torch.float64)
    assert difference(y, (rounded if units else x.double()) @ dense.T) < 2**-8


@pytest.mark.parametrize(("d_out", "d_in"), [(32, 48), (21, 37)])
def test_the_kernel_is_asked_for_what_a_gpu_has(d_out: int, d_in: int) -> None:
    """Layouts and shapes of both directions, as torch checks them for a GPU: without numbers."""
    with FakeTensorMode(), torch.device("cuda"):
        x = torch.empty(6, 4, d_in, dtype=torch.bfloat16).transpose(0, 1)
        grad = torch.empty(6, 4, d_out, dtype=torch.bfloat16).transpose(0, 1)
        codes = torch.empty(d_out, d_in, dtype=torch.uint8)
        columns = torch.empty(-d_in % 16 + d_in, -d_out % 16 + d_out, dtype=torch.uint8)
        scales = torch.empty(d_out, 1)
        y, x_grad = product(x, codes, scales), gradient(grad, columns, scales, d_in)
    assert (y.shape, y.dtype) == ((4, 6, d_out), torch.bfloat16)
    assert (x_grad.shape, x_grad.dtype) == ((4, 6, d_in), torch.bfloat16)


def test_a_cpu_has_no_units() -> None:
    assert not has_fp8_units(torch.device("cpu"))


@pytest.mark.gpu
class TestOnAGpu:
    """What the units compute, beside the same on the CPU."""

    @pytest.fixture(autouse=True)
    def device(self) -> torch.device:
        if not torch.cuda.is_available() or not has_fp8_units(torch.device("cuda")):
            pytest.skip("needs a GPU with fp8 matrix units")
        return torch.device("cuda")

    @pytest.mark.parametrize("tokens", [1, 100, 4096])
    @pytest.mark.parametrize("d_out", [1376, 1365])
    @pytest.mark.parametrize("compiled", [False, True])
    def test_the_units_multiply_the_rounded_factors(
        self, tokens: int, d_out: int, device: torch.device, *, compiled: bool
    ) -> None:
        values, x = random(d_out, 512, seed=0), random(tokens, 512, seed=1).bfloat16()
        frozen = build_frozen(values, "fp8").to(device)
        frozen.prepare()
        call = torch.compile(frozen.linear, fullgraph=True) if compiled else frozen.linear
        grad = random(tokens, d_out, seed=2).bfloat16()
        moved = x.to(device).requires_grad_()
        y = call(moved)
        (x_grad,) = torch.autograd.grad(y, moved, grad.to(device))
        assert frozen.multiplies_as_stored(moved)
        for mine, expected in zip((y, x_grad), reference(x, values, grad), strict=True):
            assert difference(mine.cpu(), expected) < 2**-7

    def test_turning_keeps_the_codes(self, device: torch.device) -> None:
        codes = build_frozen(weight(), "fp8").get_parameter("codes")
        assert torch.equal(turned(codes.to(device)).cpu(), codes.T)

    def test_w_is_the_same_to_the_bit_as_on_the_cpu(self, device: torch.device) -> None:
        here, there = (self.merged_often(d) for d in (torch.device("cpu"), device))
        assert torch.equal(there.exact().cpu(), here.exact())
        assert torch.equal(there(torch.float32).cpu(), here(torch.float32))

    @staticmethod
    def merged_often(device: torch.device) -> FrozenWeight:
        frozen = build_frozen(nn.Parameter(weight().to(device)), "fp8")
        for restart in range(5):
            frozen.add(1e-3 * random(D_OUT, D_IN, seed=restart).to(device))
        return frozen
