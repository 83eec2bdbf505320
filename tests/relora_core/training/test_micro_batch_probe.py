"""How a GPU finds the micro-batch of a phase, on cards that are made up on the CPU."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from relora_core.data.batch import Batch
from relora_core.data.shards import TokenShards
from relora_core.distributed.world import World
from relora_core.events import Warned
from relora_core.methods import build_method
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec
from relora_core.state import TrainState
from relora_core.tasks import build_task
from relora_core.tasks.causal_lm import CausalLM
from relora_core.training.device_memory import DeviceMemory
from relora_core.training.stepper import Stepper
from relora_core.workdir.micro_batch_limits import MicroBatchLimits
from tests.relora_core.conftest import MakeSpec, Recorder
from tests.relora_core.training.cards import Card, CardMemory, ListedMemory

CPU = World(rank=0, size=1, device=torch.device("cpu"))
SEQUENCES = 16
FULL_RANK: dict[str, Any] = {"name": "full"}

MakeStepper = Callable[..., tuple[Stepper, TrainState, Batch]]


@pytest.fixture
def make_stepper(
    tmp_path: Path, cache: Path, make_spec: MakeSpec, recorder: Recorder
) -> MakeStepper:
    """The stepper of a run before its first step, its state and a batch of `SEQUENCES`."""

    def make(
        memory: DeviceMemory, *, world: World = CPU, **changes: Any
    ) -> tuple[Stepper, TrainState, Batch]:
        training = {"global_batch_size": SEQUENCES * world.size, **changes.pop("training", {})}
        spec: TrainSpec = make_spec(training=training, **changes)
        task = build_task(spec, cache=cache, emit=lambda _: None)
        method = build_method(spec, Timeline.of(spec))
        model = task.build_model(method)
        method.shape(model, None)
        state = TrainState(model, method.optimizer(model, spec.optimizer))
        method.before_step(state)
        limits = MicroBatchLimits(tmp_path, world.rank)
        stepper = Stepper(spec, task, world, recorder, limits, memory=memory)
        indices = torch.arange(SEQUENCES).numpy()
        assert isinstance(task.train, TokenShards)
        return stepper, state, task.train.examples(indices, indices)

    return make


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes that went through the model, in order."""
    sizes: list[int] = []
    sum_of_losses = CausalLM.sum_of_losses

    def noted(task: CausalLM, model: nn.Module, batch: Batch) -> Tensor:
        sizes.append(len(batch))
        return sum_of_losses(task, model, batch)

    monkeypatch.setattr(CausalLM, "sum_of_losses", noted)
    return sizes


def listed(usable: int, peaks: dict[int, int], monkeypatch: pytest.MonkeyPatch) -> ListedMemory:
    memory = ListedMemory(usable, peaks)
    sum_of_losses = CausalLM.sum_of_losses

    def noted(task: CausalLM, model: nn.Module, batch: Batch) -> Tensor:
        memory.ran(len(batch))
        return sum_of_losses(task, model, batch)

    monkeypatch.setattr(CausalLM, "sum_of_losses", noted)
    return memory


@pytest.mark.parametrize("start", ["estimated", "all"])
@pytest.mark.parametrize("kilobytes", [1800, 2000, 3200, 3400])
def test_the_steps_after_the_first_fit_too(
    start: str,
    kilobytes: int,
    make_stepper: MakeStepper,
    recorder: Recorder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The moments do not exist yet when the size is found; the gradients of one pass stay."""
    if start == "all":  # as for a model that cannot be estimated
        monkeypatch.setattr(Stepper, "_start", lambda *_: SEQUENCES)
    card = Card(kilobytes * 1000)
    stepper, state, batch = make_stepper(CardMemory(card), method=FULL_RANK)
    for parameter in state.model.parameters():
        card.track(parameter)
    with card:
        stepper.prepare(state, batch)
        card.peak = card.now
        for _ in range(3):
            stepper.step(state, batch, 1e-3)
    assert 1 < stepper.micro_batch_size < SEQUENCES
    assert recorder.of(Warned) == []
    assert card.peak <= 0.92 * card.total


def test_it_begins_with_the_largest_that_the_estimate_lets_fit(
    make_stepper: MakeStepper, ran: list[int]
) -> None:
    card = Card(3_000_000)
    stepper, state, batch = make_stepper(CardMemory(card), method=FULL_RANK)
    with card:
        stepper.prepare(state, batch)
    assert stepper.expected is not None
    first = stepper.expected.largest_micro_batch(CardMemory(card).usable())
    assert 1 < first < SEQUENCES
    assert ran[0] == first


def test_headroom_is_left_free(make_stepper: MakeStepper, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = listed(100, {16: 101, 8: 90}, monkeypatch)
    stepper, state, batch = make_stepper(memory)
    monkeypatch.setattr(Stepper, "_start", lambda *_: SEQUENCES)
    stepper.prepare(state, batch)
    assert memory.tried == [16, 8]
    assert stepper.micro_batch_size == 8


def test_where_cublas_finds_no_memory_a_smaller_one_is_tried(
    make_stepper: MakeStepper, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = listed(100, {16: 50, 8: 60}, monkeypatch)
    stepper, state, batch = make_stepper(memory)
    monkeypatch.setattr(Stepper, "_start", lambda *_: SEQUENCES)
    backward = Stepper._backward

    def without_handle(stepper: Stepper, model: nn.Module, batch: Batch, targets: int) -> Tensor:
        loss = backward(stepper, model, batch, targets)
        if len(batch) > 8:
            raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")
        return loss

    monkeypatch.setattr(Stepper, "_backward", without_handle)
    stepper.prepare(state, batch)
    assert memory.tried == [16, 8]
    assert stepper.micro_batch_size == 8
    assert all(p.grad is None for p in state.model.parameters())


def test_another_error_of_the_model_is_told_and_not_taken_for_a_full_memory(
    make_stepper: MakeStepper, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepper, state, batch = make_stepper(ListedMemory(100, {}))

    def broken(*_: object) -> Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Stepper, "_backward", broken)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        stepper.prepare(state, batch)


@pytest.fixture
def two_ranks(tmp_path: Path) -> Iterator[World]:
    """It says that it is of two, so that it behaves as one of two. The group has one."""
    store = f"file://{tmp_path}/rendezvous"
    dist.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield World(rank=0, size=2, device=torch.device("cpu"))
    dist.destroy_process_group()


@pytest.mark.integration
def test_with_several_ranks_the_attempt_after_out_of_memory_starts_lower(
    two_ranks: World, make_stepper: MakeStepper, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = listed(10**9, {16: 50, 8: 30}, monkeypatch)
    stepper, state, batch = make_stepper(memory, world=two_ranks)
    stepper.prepare(state, batch)
    assert stepper.micro_batch_size == 16
    stepper.keep_micro_batch(state.counters)

    def out_of_memory(*_: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(Stepper, "_backward", out_of_memory)
        with pytest.raises(torch.OutOfMemoryError):
            stepper.step(state, batch, 1e-3)

    stepper, fresh, batch = make_stepper(memory, world=two_ranks)
    fresh.counters = state.counters  # of a checkpoint, which keeps the size that was too large
    stepper.prepare(fresh, batch)
    assert stepper.micro_batch_size == 8


def test_a_size_that_a_checkpoint_keeps_is_not_looked_for_again(
    make_stepper: MakeStepper, ran: list[int]
) -> None:
    stepper, state, batch = make_stepper(ListedMemory(100, {}))
    stepper.micro_batch_size = 4
    stepper.keep_micro_batch(state.counters)
    stepper.prepare(state, batch)
    assert (stepper.micro_batch_size, ran) == (4, [])
