import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from relora_core.errors import ModelError
from relora_core.estimate.parameter_plan import full_rank
from relora_core.methods import build_method
from relora_core.methods.subspace import Subspace
from relora_core.optim.galore import GaloreAdamW
from relora_core.optim.subspace import SubspaceAdamW
from relora_core.optim.timeline import Timeline
from relora_core.shapes import model_shape
from relora_core.spec import METHODS, GaloreMethod, TrainSpec
from relora_core.spec.subspace_methods import SubspaceMethod
from tests.relora_core.conftest import TINY_LLAMA, MakeModel, MakeSpec

NAMES = [name for name, method in METHODS.items() if issubclass(method, SubspaceMethod)]
each_name = pytest.mark.parametrize("name", NAMES)


def optimizer_of(model: nn.Module, spec: TrainSpec) -> Optimizer:
    return build_method(spec, Timeline.of(spec)).optimizer(model, spec.optimizer)


def numbers_in_state(model: nn.Module, optimizer: Optimizer) -> int:
    """After one step."""
    model(torch.arange(16).unsqueeze(0)).logits.square().mean().backward()
    optimizer.step()
    tensors = [value for state in optimizer.state.values() for value in state.values()]
    return sum(value.numel() for value in tensors if isinstance(value, Tensor) and value.ndim)


@each_name
@pytest.mark.parametrize(("patterns", "layers"), [("all_linear", 14), (["*.q_proj"], 2)])
def test_what_is_projected_is_what_the_spec_names(
    name: str, patterns: str | list[str], layers: int, make_model: MakeModel, make_spec: MakeSpec
) -> None:
    spec = make_spec(method={"name": name, "rank": 4, "target_modules": patterns})
    optimizer = optimizer_of(make_model(), spec)
    assert isinstance(optimizer, SubspaceAdamW)
    projected, *others = optimizer.param_groups
    assert len(projected["params"]) == layers
    assert not {id(p) for p in projected["params"]} & {id(p) for g in others for p in g["params"]}


def test_the_state_is_smaller_than_that_of_full_rank(
    make_model: MakeModel, make_spec: MakeSpec
) -> None:
    sizes = {}
    for name in ("galore", "apollo", "full"):
        model = make_model()
        optimizer = optimizer_of(model, make_spec(method={"name": name, "rank": 4}))
        sizes[name] = numbers_in_state(model, optimizer)
    # two blocks, each with four matrices of 32 x 32 and three of 64 x 32: m r + 2 n r for 2 m n
    saved = 2 * (4 * (2 * 32 * 32 - 4 * (32 + 2 * 32)) + 3 * (2 * 64 * 32 - 4 * (32 + 2 * 64)))
    assert sizes["full"] - sizes["galore"] == saved
    projections = 2 * 7 * 32 * 4  # 7 matrices of a block, m r numbers each, drawn in each step
    assert sizes["galore"] - sizes["apollo"] == projections


@each_name
@pytest.mark.parametrize("patterns", ["all_linear", ["*.1.*"]], ids=str)
def test_the_estimate_counts_the_state_that_there_is(
    name: str, patterns: str | list[str], make_model: MakeModel, make_spec: MakeSpec
) -> None:
    method = METHODS[name].model_validate({"rank": 4, "target_modules": patterns})
    assert isinstance(method, SubspaceMethod)
    model = make_model()
    optimizer = optimizer_of(model, make_spec(method=method.model_dump()))
    shape = model_shape({**TINY_LLAMA, "vocab_size": 300})
    assert full_rank(shape, method).state == numbers_in_state(model, optimizer)


def test_a_matrix_is_projected_on_its_smaller_side_in_gpt2_too(
    make_model: MakeModel, make_spec: MakeSpec
) -> None:
    """Whose layers store W as (d_in, d_out)."""
    spec = make_spec(method={"name": "galore", "rank": 4, "target_modules": ["*.c_fc"]})
    model = make_model(model_type="gpt2", n_embd=32, n_layer=1, n_head=4, vocab_size=300)
    optimizer = optimizer_of(model, spec)
    numbers_in_state(model, optimizer)
    [weight, *_] = optimizer.param_groups[0]["params"]
    assert weight.shape == (32, 128)
    assert optimizer.state[weight]["exp_avg"].shape == (4, 128)


def test_a_rank_that_does_not_fit_is_told_before_training(make_model: MakeModel) -> None:
    with pytest.raises(ModelError, match="rank 33 is over the smaller side of"):
        Subspace(GaloreMethod(rank=33), GaloreAdamW).shape(make_model(), None)
