from collections.abc import Callable
from typing import get_args

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from relora_core.lowrank.linear import FactoredLinear, LowRankLinear
from relora_core.spec import FrozenDtype, LowrankMethod, ReloraMethod, Variant

DTYPES = get_args(FrozenDtype)
WAYS: tuple[Variant, ...] = ("branches", "merged")
# In branches, int8 and fp8 round x and the gradient too: test_codes compares them with that.
ROUND_X = ("int8", "fp8")
EXACT = [
    (dtype, way) for dtype in DTYPES for way in WAYS if dtype not in ROUND_X or way == "merged"
]
# torch 2.13 uses what it deprecates, where it first compiles.
COMPILER_WARNS = pytest.mark.filterwarnings(
    "ignore:.torch.jit.script_method. is deprecated:DeprecationWarning",
    "ignore:.*Function'> should not be instantiated:DeprecationWarning",
)


def make_layer(**changes: object) -> LowRankLinear:
    torch.manual_seed(0)
    plain = nn.Linear(12, 8)
    method = ReloraMethod.model_validate({"rank": 4, "alpha": 8, "frozen_dtype": "fp32", **changes})
    layer = LowRankLinear(plain.weight, plain.bias, method, transposed=False)
    layer.reinitialize(seed=0, restart=0, name="layer")
    return layer


def test_the_function_is_unchanged_at_the_start() -> None:
    layer, x = make_layer(), torch.randn(3, 12)
    assert torch.equal(layer(x), nn.functional.linear(x, layer.frozen.exact(), layer.bias))


def test_b_has_a_gradient_from_the_first_step_on_and_w_never() -> None:
    layer = make_layer()
    layer(torch.randn(3, 12)).square().sum().backward()
    assert layer.lora_b.grad is not None
    assert layer.lora_b.grad.norm() > 0
    assert layer.frozen.stored.grad is None


def test_the_layer_computes_w_plus_the_scaled_update() -> None:
    layer, x = make_layer(), torch.randn(3, 12)
    nn.init.normal_(layer.lora_b)
    weight = layer.frozen.exact() + 2.0 * layer.lora_b @ layer.lora_a
    expected = nn.functional.linear(x, weight, layer.bias)
    assert torch.allclose(layer(x), expected, atol=1e-5)
    assert torch.allclose(nn.functional.linear(x, layer.merged(), layer.bias), expected, atol=1e-5)


@pytest.mark.parametrize(("frozen_dtype", "variant"), EXACT)
def test_gradients_agree_with_finite_differences(frozen_dtype: str, variant: Variant) -> None:
    layer = make_layer(frozen_dtype=frozen_dtype, variant=variant, trainable_scaling=True).double()
    nn.init.normal_(layer.lora_b)
    x = torch.randn(2, 3, 12, dtype=torch.float64, requires_grad=True)
    factors = {
        name: nn.Parameter(parameter.detach())
        for name, parameter in layer.named_parameters()
        if parameter.requires_grad
    }

    def call(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(layer, dict(zip(factors, values, strict=True)), x)

    assert set(factors) == {"lora_a", "lora_b", "lora_gain", "bias"}
    assert torch.autograd.gradcheck(call, (x, *factors.values()))


def test_a_is_kaiming_uniform_and_depends_on_seed_restart_and_name_alone() -> None:
    layer = make_layer()
    first = layer.lora_a.clone()
    assert float(first.detach().abs().max()) <= 1 / 12**0.5
    torch.manual_seed(99)
    layer.reinitialize(seed=0, restart=0, name="layer")
    assert torch.equal(layer.lora_a, first)
    for seed, restart, name in ((1, 0, "layer"), (0, 1, "layer"), (0, 0, "other")):
        layer.reinitialize(seed=seed, restart=restart, name=name)
        assert not torch.equal(layer.lora_a, first)


def test_factors_are_fp32_beside_a_bf16_weight() -> None:
    layer = make_layer(frozen_dtype="bf16")
    assert layer.frozen.stored.dtype == torch.bfloat16
    assert layer.lora_a.dtype == layer.lora_b.dtype == torch.float32


@pytest.mark.parametrize("frozen_dtype", DTYPES)
def test_it_computes_in_bf16_under_autocast(frozen_dtype: str) -> None:
    layer = make_layer(frozen_dtype=frozen_dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(torch.randn(3, 12))
    assert y.dtype == torch.bfloat16
    y.sum().backward()
    assert layer.lora_b.grad is not None
    assert layer.lora_b.grad.dtype == torch.float32


def forward_backward(
    layer: LowRankLinear, call: Callable[[Tensor], Tensor], *, autocast: bool = False
) -> list[Tensor]:
    """The output and the gradients of x and of all that is trained."""
    x = torch.randn(2, 5, 12, generator=torch.Generator().manual_seed(0)).requires_grad_()
    trained = [p for p in layer.parameters() if p.requires_grad]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        y = call(x)
    return [y, *torch.autograd.grad(y.float().square().sum(), [x, *trained])]


@COMPILER_WARNS
@pytest.mark.parametrize(("frozen_dtype", "variant"), EXACT)
@pytest.mark.parametrize("autocast", [False, True])
def test_it_computes_with_the_stored_weight_however_it_is_run(
    frozen_dtype: str, variant: Variant, *, autocast: bool
) -> None:
    layer = make_layer(frozen_dtype=frozen_dtype, variant=variant, trainable_scaling=True)
    nn.init.normal_(layer.lora_b)

    def plain(x: Tensor) -> Tensor:
        low = nn.functional.linear(x, layer.lora_a) * layer.scale
        low = nn.functional.linear(low, layer.lora_b, layer.bias)
        return nn.functional.linear(x, layer.frozen(torch.float32)) + low

    def checkpointed(x: Tensor) -> Tensor:
        return checkpoint(layer, x, use_reentrant=False)

    torch.compiler.reset()  # else the cases together compile one function too often
    compiled = torch.compile(layer, backend="aot_eager_decomp_partition", fullgraph=True)
    expected = forward_backward(layer, plain, autocast=autocast)
    for call in (layer, checkpointed, compiled):
        for mine, theirs in zip(
            forward_backward(layer, call, autocast=autocast), expected, strict=True
        ):
            assert mine.dtype == theirs.dtype
            assert (mine - theirs).norm() <= (1e-2 if autocast else 1e-6) * theirs.norm()


@COMPILER_WARNS
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("frozen_dtype", "variant"),
    [
        *((dtype, "branches") for dtype in ("int8", "nf4", "fp8")),
        *((dtype, "merged") for dtype in DTYPES),
    ],
)
def test_no_dense_copy_of_the_weight_waits_for_backward(
    frozen_dtype: str, variant: Variant, *, compiled: bool
) -> None:
    layer = make_layer(frozen_dtype=frozen_dtype, variant=variant)
    call = torch.compile(layer, backend="aot_eager_decomp_partition") if compiled else layer
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward_backward(layer, call, autocast=True)
    for parameter in layer.frozen.parameters():
        assert kept.pop(parameter.data_ptr()).dtype == parameter.dtype
    # else only x, A, B and what the update makes of x; W is (8, 12)
    assert not [kept for kept in kept.values() if sorted(kept.shape) == [8, 12]]


@pytest.mark.parametrize("offset", [None, nn.Parameter(torch.ones(8))], ids=["bare", "bias"])
def test_a_factored_layer_computes_the_scaled_product_alone(offset: nn.Parameter | None) -> None:
    method = LowrankMethod(rank=4, alpha=8)
    device = torch.device("cpu")
    layer = FactoredLinear(8, 12, offset, method, transposed=False, device=device)
    layer.initialize(seed=0, name="layer")
    assert float(layer.lora_a.detach().abs().max()) <= 1 / 12**0.5
    assert float(layer.lora_b.detach().abs().max()) <= 1 / 4**0.5
    x = torch.randn(3, 12)
    expected = nn.functional.linear(x, 2.0 * layer.lora_b @ layer.lora_a, offset)
    assert torch.allclose(layer(x), expected, atol=1e-6)
    assert torch.allclose(nn.functional.linear(x, layer.merged(), offset), expected, atol=1e-6)
