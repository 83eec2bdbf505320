"""What the trial of a micro-batch must leave room for."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from relora_core.distributed.world import World
from relora_core.methods import build_method
from relora_core.optim.optimizers import step_if
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec
from relora_core.state import TrainState
from relora_core.training.expected_memory import ExpectedMemory, optimizer_bytes_to_come
from tests.relora_core.conftest import MakeModel, MakeSpec

CPU = World(rank=0, size=1, device=torch.device("cpu"))
MakeState = Callable[[TrainSpec], TrainState]


@pytest.fixture
def make_state(make_model: MakeModel) -> MakeState:
    def make(spec: TrainSpec) -> TrainState:
        model, method = make_model(), build_method(spec, Timeline.of(spec))
        method.shape(model, None)
        state = TrainState(model, method.optimizer(model, spec.optimizer))
        method.before_step(state)
        return state

    return make


def step(state: TrainState) -> None:
    for parameter in state.model.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.ones_like(parameter)
    step_if(torch.tensor(True), state.optimizer)
    state.optimizer.zero_grad()


def moments(state: TrainState) -> int:
    """The bytes of the optimizer's state, without step counts."""
    tensors = (v for each in state.optimizer.state.values() for v in each.values())
    return sum(v.nbytes for v in tensors if isinstance(v, Tensor) and v.dim() > 0)


@pytest.mark.parametrize(
    "method", [{"name": "full"}, {"name": "galore", "rank": 4}, {"name": "lora", "rank": 4}]
)
@pytest.mark.parametrize("estimated", [True, False])
def test_what_the_first_step_allocates_is_known_before_it(
    method: dict[str, Any], make_spec: MakeSpec, make_state: MakeState, *, estimated: bool
) -> None:
    spec = make_spec(
        method={**method, "warm_start_steps": 0} if method["name"] == "lora" else method
    )
    state = make_state(spec)
    assert state.counters.phase is not None
    expected = ExpectedMemory.of(spec, state.model, state.counters.phase, CPU)
    assert expected is not None
    to_come = optimizer_bytes_to_come(state, spec, expected if estimated else None)
    step(state)
    if estimated or method["name"] != "galore":  # whose moments only the estimate knows
        assert moments(state) <= to_come <= 1.01 * moments(state) + 1000
    left = optimizer_bytes_to_come(state, spec, expected if estimated else None)
    assert left <= 1000 or (method["name"] == "galore" and not estimated)


def test_at_the_switch_only_the_moments_of_new_parameters_are_to_come(
    make_spec: MakeSpec, make_state: MakeState
) -> None:
    spec = make_spec()
    state = make_state(spec)
    method = build_method(spec, Timeline.of(spec))
    step(state)
    state.counters.step = 4
    method.before_step(state)
    assert state.counters.phase == "low_rank"
    before = moments(state)
    expected = ExpectedMemory.of(spec, state.model, "low_rank", CPU)
    to_come = optimizer_bytes_to_come(state, spec, expected)
    step(state)
    assert before > 0
    assert moments(state) - before == pytest.approx(to_come, abs=1000)


def test_a_model_that_cannot_be_estimated_is_known_as_such(
    make_spec: MakeSpec, make_model: MakeModel
) -> None:
    spec = make_spec(method={"name": "relora", "rank": 4, "target_modules": ["no_such_layer"]})
    assert ExpectedMemory.of(spec, make_model(), "low_rank", CPU) is None
