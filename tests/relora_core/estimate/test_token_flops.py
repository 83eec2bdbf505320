"""The FLOPs behind MFU and HFU, beside those that torch counts in the trainer's own step."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from relora_core.data.batch import Batch
from relora_core.data.loader import BatchLoader
from relora_core.estimate.shape_of import shape_of
from relora_core.estimate.token_flops import flops_of_phase
from relora_core.events import Phase
from relora_core.methods import build_method
from relora_core.optim.timeline import Timeline
from relora_core.spec import METHODS, TrainSpec
from relora_core.state import TrainState
from relora_core.tasks import build_task
from relora_core.tasks.task import Task
from relora_core.workdir.event_log import silent
from tests.relora_core.conftest import MakeSpec

pytestmark = pytest.mark.slow


def merged_product(x: torch.Size, a: torch.Size, b: torch.Size, *_: Any, **__: Any) -> int:
    """The FLOPs of relora's operator W + s B A and of its product, which torch cannot look into."""
    (rank, d_in), d_out, tokens = a, b[0], x[:-1].numel()
    return 2 * d_out * d_in * (rank + tokens)


OPERATORS = {
    torch.ops.relora.float_merged: merged_product,
    torch.ops.relora.float_merged_backward: merged_product,
}


def counted(state: TrainState, task: Task, batch: Batch) -> float:
    """The FLOPs of a token, as torch sees them in forward and backward."""
    objective = task.objective(state.model).train()
    with FlopCounterMode(display=False, custom_mapping=OPERATORS) as counter:
        (task.sum_of_losses(objective, batch) / batch.targets.numel()).backward()
    state.model.zero_grad(set_to_none=True)
    return counter.get_total_flops() / batch.targets.numel()


def phases(spec: TrainSpec, cache: Path) -> Iterator[tuple[Phase, float]]:
    """Each phase of a run, with the FLOPs that torch counts for a token."""
    task = build_task(spec, cache=cache, emit=silent)
    timeline = Timeline.of(spec)
    method = build_method(spec, timeline)
    model = task.build_model(method)
    model.set_attn_implementation("eager")  # plain products, all of which torch counts
    method.shape(model, None)
    state = TrainState(model, method.optimizer(model, spec.optimizer))
    with closing(BatchLoader(task.train, global_batch_size=4, seed=0)) as batches:
        for step in range(spec.total_steps):
            state.counters.step = step
            before = state.counters.phase
            method.before_step(state)
            if state.counters.phase != before:
                assert state.counters.phase is not None
                yield state.counters.phase, counted(state, task, batches.batch(step))


@pytest.mark.parametrize("variant", ["branches", "merged"])
def test_they_are_those_of_each_way_to_compute_a_low_rank_layer(
    variant: str, make_spec: MakeSpec, cache: Path
) -> None:
    spec = make_spec(method={"variant": variant})
    (_, (phase, found)) = phases(spec, cache)
    flops = flops_of_phase(spec, shape_of(spec), phase, micro_batch=4)
    assert found == pytest.approx(flops.executed, rel=0.05)


def test_selective_checkpointing_computes_no_linear_layer_again(
    make_spec: MakeSpec, cache: Path
) -> None:
    """Only attention in plain products is computed again; fused attention is kept."""
    spec = make_spec(method={"name": "full"}, training={"gradient_checkpointing": "selective"})
    [(phase, found)] = phases(spec, cache)
    shape = shape_of(spec)
    scores = 4 * shape.layers * shape.heads * shape.head_dim * spec.data.sequence_length
    flops = flops_of_phase(spec, shape, phase, micro_batch=4)
    assert found - scores == pytest.approx(flops.executed, rel=0.005)


@pytest.mark.parametrize("gradient_checkpointing", ["none", "full"])
@pytest.mark.parametrize("name", METHODS)
def test_they_are_those_that_torch_counts_for_each_method_and_phase(
    name: str, make_spec: MakeSpec, cache: Path, gradient_checkpointing: str
) -> None:
    spec = make_spec(
        method={"name": name, "rank": 4},
        training={"gradient_checkpointing": gradient_checkpointing},
    )
    for phase, found in phases(spec, cache):
        flops = flops_of_phase(spec, shape_of(spec), phase, micro_batch=4)
        assert found == pytest.approx(flops.executed, rel=0.05), phase
        if phase in ("full_rank", "warm_start") and gradient_checkpointing == "none":
            assert found == pytest.approx(flops.model, rel=0.05)
