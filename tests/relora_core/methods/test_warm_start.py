"""How the warm start of LoRA and ReLoRA may train: as full, GaLore or APOLLO."""

import pytest
import torch
from torch import Tensor
from torch.optim import AdamW

from relora_core.estimate.phases import planned_phases
from relora_core.estimate.shape_of import shape_of
from relora_core.methods import build_method
from relora_core.methods.method import Method
from relora_core.optim.apollo import ApolloAdamW
from relora_core.optim.galore_in_backward import GaloreInBackward
from relora_core.optim.timeline import Timeline
from relora_core.spec import ApolloMethod, FullMethod, TrainSpec
from relora_core.spec.method import WarmStart
from relora_core.spec.subspace_methods import GaloreWarmStart
from relora_core.spec.targets import BaseMethod
from relora_core.state import TrainState
from tests.relora_core.conftest import MakeModel, MakeSpec

each_lean_start = pytest.mark.parametrize("name", ["galore", "apollo"])


def begun(spec: TrainSpec, make_model: MakeModel) -> tuple[Method, TrainState]:
    """After one step of the warm start."""
    model = make_model()
    method = build_method(spec, Timeline.of(spec))
    method.shape(model, None)
    state = TrainState(model, method.optimizer(model, spec.optimizer))
    method.before_step(state)
    model(torch.arange(16).unsqueeze(0)).logits.square().mean().backward()
    state.optimizer.step()
    state.counters.step = 4
    return method, state


def numbers_in(state: TrainState) -> int:
    tensors = [value for of_one in state.optimizer.state.values() for value in of_one.values()]
    return sum(value.numel() for value in tensors if isinstance(value, Tensor) and value.ndim)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("full", FullMethod()),
        ("galore", GaloreWarmStart(rank=4, target_modules=["*.q_proj"], scale="auto")),
        ("apollo", ApolloMethod(rank=4, target_modules=["*.q_proj"], scale="auto")),
    ],
)
def test_it_trains_the_targets_of_the_run_at_its_rank_and_as_far_as_full_rank_does(
    name: WarmStart, expected: BaseMethod, make_spec: MakeSpec
) -> None:
    spec = make_spec(method={"warm_start": name, "target_modules": ["*.q_proj"]})
    assert getattr(spec.method, "warm_start_method") == expected  # noqa: B009 # of some methods


@pytest.mark.parametrize("run", ["lora", "relora"])
@pytest.mark.parametrize(
    ("name", "kind"), [("full", AdamW), ("galore", GaloreInBackward), ("apollo", ApolloAdamW)]
)
def test_the_switch_drops_its_optimizer_and_keeps_the_moments_of_what_is_trained_on(
    run: str, name: str, kind: type[AdamW], make_spec: MakeSpec, make_model: MakeModel
) -> None:
    method, state = begun(make_spec(method={"name": run, "warm_start": name}), make_model)
    assert type(state.optimizer) is kind
    before = {n: state.optimizer.state[p] for n, p in state.model.named_parameters()}
    method.before_step(state)
    assert type(state.optimizer) is AdamW
    after = {
        n: state.optimizer.state[p]
        for n, p in state.model.named_parameters()
        if p in state.optimizer.state
    }
    assert {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"} <= after.keys()
    assert not any("proj" in n for n in after)
    assert all(after[n] is before[n] for n in after)


@each_lean_start
def test_a_resumed_run_has_the_optimizer_of_its_phase(
    name: str, make_spec: MakeSpec, make_model: MakeModel
) -> None:
    spec = make_spec(method={"warm_start": name})
    method = build_method(spec, Timeline.of(spec))
    model = make_model()
    method.shape(model, "warm_start")
    assert type(method.optimizer(model, spec.optimizer)) is not AdamW
    method.shape(model, "low_rank")
    assert type(method.optimizer(model, spec.optimizer)) is AdamW


@each_lean_start
def test_the_estimate_counts_its_small_state_in_the_row_of_the_warm_start(
    name: str, make_spec: MakeSpec, make_model: MakeModel
) -> None:
    spec = make_spec(method={"warm_start": name})
    _, state = begun(spec, make_model)
    [warm_start, low_rank] = planned_phases(spec, shape_of(spec))
    [in_full, same] = planned_phases(make_spec(), shape_of(spec))
    assert warm_start.plan.state == numbers_in(state) < in_full.plan.state
    assert low_rank.plan == same.plan
