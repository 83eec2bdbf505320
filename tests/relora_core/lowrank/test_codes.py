"""int8 and fp8: what is multiplied is compared with numbers rounded by plain arithmetic.

On a CPU `scaled_mm` and `_int_mm` take the same arguments as on a GPU, and ask less of them. So
what a GPU would run is run here too, and what its kernels ask for is checked beside.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.checkpoint import checkpoint

from relora_core.lowrank.frozen import FrozenWeight, build_frozen, e4m3, integers
from relora_core.lowrank.frozen.codes import FP8, INT8
from relora_core.lowrank.frozen.e4m3 import E4m3
from relora_core.lowrank.frozen.scaled_product import Numbers, gradient, product, transposed
from relora_core.lowrank.linear import LowRankLinear
from relora_core.spec import FrozenDtype, ReloraMethod
from tests.relora_core.lowrank.rounded import e4m3_rows, integer_rows, random

# torch 2.13 uses what it deprecates, where it compiles.
COMPILER_WARNS = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning",
    "ignore:.*Function'> should not be instantiated:DeprecationWarning",
)
D_OUT, D_IN = 32, 48
ROUNDED = {"fp8": e4m3_rows, "int8": integer_rows}
TYPES: tuple[FrozenDtype, ...] = ("fp8", "int8")


def weight() -> Tensor:
    """Rows of many sizes, as scales are for."""
    return random(D_OUT, D_IN, seed=0) * torch.logspace(-3, 1, D_OUT).unsqueeze(1)


def reference(dtype: str, x: Tensor, weight: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """x W' and the gradient of x, by rounded factors."""
    rows = ROUNDED[dtype]
    rounded, scales = rows(weight)
    product = rows(x)[0] @ rounded.T
    return product, rows(grad.double() * scales.T)[0] @ (rounded / scales)


def forward_backward(call: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    y = call(x)
    (x_grad,) = torch.autograd.grad(y, x, random(*y.shape, seed=2).to(y.dtype))
    return y, x_grad


def difference(one: Tensor, other: Tensor) -> float:
    one, other = one.detach().double(), other.detach().double()
    return float((one - other).norm() / other.norm())


def pretend(monkeypatch: pytest.MonkeyPatch, *, fast_matmul: bool, gpu: bool = False) -> None:
    """Pretend that the CPU multiplies both types, or neither, and asks for what a GPU asks for."""

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator] # torch's
    def found(_: torch.device) -> bool:
        return fast_matmul

    def is_gpu(_: torch.device) -> bool:
        return gpu

    monkeypatch.setattr(e4m3, "has_fp8_matmul", found)
    monkeypatch.setattr(integers, "has_int8_matmul", found)
    monkeypatch.setattr(integers, "is_gpu", is_gpu)


@dataclass(frozen=True)
class Case:
    dtype: FrozenDtype
    fast_matmul: bool
    gpu: bool = False


# scaled_mm asks for the same everywhere
CASES = {
    "fp8 elsewhere": Case("fp8", fast_matmul=False),
    "fp8": Case("fp8", fast_matmul=True),
    "int8 elsewhere": Case("int8", fast_matmul=False),
    "int8": Case("int8", fast_matmul=True),
    "int8 as on a GPU": Case("int8", fast_matmul=True, gpu=True),
}
GPUS = [case for case in CASES.values() if case.fast_matmul and (case.gpu or case.dtype == "fp8")]


@pytest.fixture(params=list(CASES.values()), ids=list(CASES))
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    assert isinstance(request.param, Case)
    pretend(monkeypatch, fast_matmul=request.param.fast_matmul, gpu=request.param.gpu)
    return request.param


@pytest.fixture(params=GPUS, ids=TYPES)
def gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FrozenDtype:
    """A type that is multiplied as on a GPU."""
    pretend(monkeypatch, fast_matmul=True, gpu=True)
    assert isinstance(request.param, Case)
    return request.param.dtype


@COMPILER_WARNS
@pytest.mark.integration  # torch's compiler starts a process, once
@pytest.mark.parametrize("way", ["eager", "checkpointed", "compiled"])
def test_both_directions_multiply_the_rounded_factors(
    way: Literal["eager", "checkpointed", "compiled"], case: Case
) -> None:
    frozen, x = build_frozen(weight(), case.dtype), random(3, 5, D_IN, seed=1).bfloat16()
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
    assert frozen.multiplies_as_stored(x) is case.fast_matmul
    assert y.dtype == x_grad.dtype == torch.bfloat16
    for mine, expected in zip((y, x_grad), reference(case.dtype, x, weight(), grad), strict=True):
        assert difference(mine, expected) < 2**-8  # a rounding to bf16, elsewhere two


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_in_wider_types_only_the_factors_are_rounded(dtype: torch.dtype, case: Case) -> None:
    frozen, x = build_frozen(weight(), case.dtype), random(15, D_IN, seed=1).to(dtype)
    grad = random(15, D_OUT, seed=2)
    results = forward_backward(frozen.linear, x)
    assert {result.dtype for result in results} == {dtype}
    for mine, expected in zip(results, reference(case.dtype, x, weight(), grad), strict=True):
        assert difference(mine, expected) < 1e-6


@pytest.mark.parametrize(("dtype", "error"), [("fp8", 0.035), ("int8", 0.011)])
def test_the_error_of_a_product_of_normal_numbers(dtype: FrozenDtype, error: float) -> None:
    frozen, x = build_frozen(random(256, 512, seed=0), dtype), random(64, 512, seed=1)
    found = difference(frozen.linear(x), x @ random(256, 512, seed=0).T)
    assert found == pytest.approx(error, rel=0.1)


@COMPILER_WARNS
@pytest.mark.parametrize("compiled", [False, True])
def test_neither_sums_nor_rounded_factors_wait_for_backward(case: Case, *, compiled: bool) -> None:
    frozen, x = build_frozen(weight(), case.dtype), random(7, D_IN, seed=1).bfloat16()

    def activated(x: Tensor) -> Tensor:
        return torch.nn.functional.silu(frozen.linear(x))

    torch.compiler.reset()
    call = torch.compile(activated, backend="aot_eager_decomp_partition") if compiled else activated
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward_backward(call, x)
    of_w = {parameter.data_ptr() for parameter in frozen.parameters()}
    others = [tensor for tensor in kept if tensor.data_ptr() not in of_w]
    matrices = {
        (each.dtype, each.shape) for each in others if each.numel() > 7
    }  # no scales of rows
    assert matrices == {(x.dtype, (7, D_OUT))}


@pytest.mark.parametrize("dtype", TYPES)
def test_a_row_of_w_that_is_small_beside_the_others_keeps_its_bits(dtype: FrozenDtype) -> None:
    values = weight()
    values[0] *= 1e-6
    held = build_frozen(values, dtype)(torch.float32)
    assert difference(held[0], values[0]) < 0.03


def test_codes_that_are_turned_in_each_backward_give_the_same_gradient(
    gpu: FrozenDtype,
) -> None:
    """Where ranks hold some of the rows each, no rank holds a turned copy."""
    frozen, x = build_frozen(weight(), gpu), random(7, D_IN, seed=1).bfloat16()
    without = forward_backward(frozen.linear, x)
    frozen.prepare()
    assert frozen.prepared is not None
    for mine, theirs in zip(forward_backward(frozen.linear, x), without, strict=True):
        assert torch.equal(mine, theirs)


def test_a_merge_turns_the_new_codes(gpu: FrozenDtype) -> None:
    frozen = build_frozen(weight(), gpu)
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
    gpu: FrozenDtype,
) -> None:
    frozen, x = build_frozen(weight(), gpu), random(7, D_IN, seed=1).bfloat16()
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


def test_what_is_stored_is_held_twice_where_a_gpu_multiplies_it_alone(case: Case) -> None:
    frozen = build_frozen(weight(), case.dtype)
    frozen.prepare()
    assert (frozen.prepared is not None) is (case in GPUS)


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("shape", [(32, 40), (24, 48), (21, 19), (1, 1)])
def test_sides_that_the_kernel_does_not_take_are_filled_up(
    shape: tuple[int, int], gpu: FrozenDtype, *, held: bool
) -> None:
    """The MLP of llama_1b is 5461 wide."""
    values, x = random(*shape, seed=0), random(3, shape[1], seed=1).bfloat16()
    frozen = build_frozen(values, gpu)
    if held:
        frozen.prepare()
    grad = random(3, shape[0], seed=2).bfloat16()
    for mine, expected in zip(
        forward_backward(frozen.linear, x), reference(gpu, x, values, grad), strict=True
    ):
        assert mine.shape == expected.shape
        assert difference(mine, expected) < 2**-8


@pytest.mark.parametrize(("dtype", "in_fp32"), [("fp8", False), ("int8", True)])
def test_units_for_floats_are_not_for_fp32_and_those_for_integers_are(
    dtype: FrozenDtype, monkeypatch: pytest.MonkeyPatch, *, in_fp32: bool
) -> None:
    pretend(monkeypatch, fast_matmul=True)
    frozen = build_frozen(weight(), dtype)
    x = random(3, D_IN, seed=1)
    assert frozen.multiplies_as_stored(x) is in_fp32
    assert frozen.multiplies_as_stored(x.bfloat16())
    with torch.autocast("cpu", torch.bfloat16):
        assert frozen.multiplies_as_stored(x)


@pytest.mark.parametrize("bits", [0x7F800000, -0x800000, 0x7FC00000, 0x7FFFFFFF])
def test_what_is_not_finite_is_not_hidden(bits: int, case: Case) -> None:
    """Infinity, of both signs, and two of the NaNs: in x, and in the gradient."""
    frozen = build_frozen(weight(), case.dtype)
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


def test_auto_leaves_w_as_it_is_stored_for_the_units(case: Case) -> None:
    """Elsewhere so many tokens are cheaper with W + s B A formed first, which rounds no x."""
    method = ReloraMethod(rank=4, frozen_dtype=case.dtype)
    layer = LowRankLinear(weight(), None, method, transposed=False)
    layer.reinitialize(seed=0, restart=0, name="layer")
    x = random(2000, D_IN, seed=1).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    rounded, dense = ROUNDED[case.dtype](x)[0], layer.frozen(torch.float64)
    assert difference(y, (rounded if case.fast_matmul else x.double()) @ dense.T) < 2**-8


@pytest.mark.parametrize(("d_out", "d_in"), [(32, 48), (21, 37)])
def test_a_gpu_gets_the_floats_that_its_kernel_takes(d_out: int, d_in: int) -> None:
    """Layouts and shapes of both directions, as torch checks them for a GPU: without numbers."""
    numbers, alignment = E4m3(), 16
    with FakeTensorMode(), torch.device("cuda"):
        x = torch.empty(6, 4, d_in, dtype=torch.bfloat16).transpose(0, 1)
        grad = torch.empty(6, 4, d_out, dtype=torch.bfloat16).transpose(0, 1)
        codes = torch.empty(d_out, d_in, dtype=numbers.storage_dtype)
        columns = torch.empty(
            -d_in % alignment + d_in, -d_out % alignment + d_out, dtype=numbers.storage_dtype
        )
        scales = torch.empty(d_out, 1)
        y = product(numbers, x, codes, scales)
        x_grad = gradient(numbers, grad, columns, scales, d_in)
    assert (y.shape, y.dtype) == ((4, 6, d_out), torch.bfloat16)
    assert (x_grad.shape, x_grad.dtype) == ((4, 6, d_in), torch.bfloat16)


@pytest.mark.parametrize("tokens", [1, 16, 17, 40])
def test_a_gpu_gets_the_integers_that_its_kernel_takes(
    tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than 16 rows, sides of eights, the right factor by columns: only a GPU checks it."""
    pretend(monkeypatch, fast_matmul=True, gpu=True)
    asked: list[tuple[Tensor, Tensor]] = []
    kernel = torch._int_mm

    def spy(left: Tensor, right: Tensor) -> Tensor:
        asked.append((left, right))
        return kernel(left, right)

    monkeypatch.setattr(torch, "_int_mm", spy)
    frozen = build_frozen(random(21, 37, seed=0), "int8")
    forward_backward(frozen.linear, random(tokens, 37, seed=1).bfloat16())
    assert [(left.shape[0], *right.shape) for left, right in asked] == [
        (max(17, tokens), 40, 24),
        (max(17, tokens), 24, 40),
    ]
    assert all(left.is_contiguous() and right.T.is_contiguous() for left, right in asked)


@pytest.mark.gpu
class TestOnAGpu:
    """What the units compute, beside the same on the CPU."""

    @pytest.fixture(autouse=True)
    def device(self) -> torch.device:
        if not torch.cuda.is_available():
            pytest.skip("needs a GPU")
        return torch.device("cuda")

    @pytest.fixture(params=[FP8, INT8], ids=TYPES)
    def numbers(self, request: pytest.FixtureRequest, device: torch.device) -> Numbers:
        numbers: Numbers = request.param.numbers
        if not numbers.has_fast_matmul(device, torch.bfloat16):
            pytest.skip(f"needs a GPU that multiplies {numbers.name}")
        return numbers

    @pytest.mark.parametrize("tokens", [1, 100, 4096])
    @pytest.mark.parametrize("d_out", [1376, 1365])
    @pytest.mark.parametrize("compiled", [False, True])
    def test_the_units_multiply_the_rounded_factors(
        self, tokens: int, d_out: int, numbers: Numbers, device: torch.device, *, compiled: bool
    ) -> None:
        values, x = random(d_out, 512, seed=0), random(tokens, 512, seed=1).bfloat16()
        frozen = build_frozen(values, numbers.name).to(device)
        frozen.prepare()
        call = torch.compile(frozen.linear, fullgraph=True) if compiled else frozen.linear
        grad = random(tokens, d_out, seed=2).bfloat16()
        moved = x.to(device).requires_grad_()
        y = call(moved)
        (x_grad,) = torch.autograd.grad(y, moved, grad.to(device))
        assert frozen.multiplies_as_stored(moved)
        for mine, expected in zip(
            (y, x_grad), reference(numbers.name, x, values, grad), strict=True
        ):
            assert difference(mine.cpu(), expected) < 2**-7

    def test_turning_keeps_the_codes(self, numbers: Numbers, device: torch.device) -> None:
        codes = build_frozen(weight(), numbers.name).get_parameter("codes")
        assert torch.equal(transposed(numbers, codes.to(device)).cpu(), codes.T)

    @pytest.mark.parametrize("dtype", TYPES)
    def test_w_is_the_same_to_the_bit_as_on_the_cpu(
        self, dtype: FrozenDtype, device: torch.device
    ) -> None:
        here, there = (self.merged_often(dtype, d) for d in (torch.device("cpu"), device))
        assert torch.equal(there.exact().cpu(), here.exact())
        assert torch.equal(there(torch.float32).cpu(), here(torch.float32))

    @staticmethod
    def merged_often(dtype: FrozenDtype, device: torch.device) -> FrozenWeight:
        frozen = build_frozen(nn.Parameter(weight().to(device)), dtype)
        for restart in range(5):
            frozen.add(1e-3 * random(D_OUT, D_IN, seed=restart).to(device))
        return frozen
