"""A process group of one, in this process: what DDP takes care of."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # if imported later, its defaults would hold the group
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedModel

from relora_core.distributed.world import World, _nodes, leave_process_group
from relora_core.errors import DeviceError
from relora_core.lowrank.inject import inject
from relora_core.lowrank.restart import reinitialize
from relora_core.spec import ReloraMethod
from tests.relora_core.conftest import MakeModel
from tests.relora_core.processes import wait_for


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """It says that it is of two, so that it wraps its model."""
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    yield World(rank=0, size=2, device=torch.device("cpu"))
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.fixture
def model(make_model: MakeModel) -> PreTrainedModel:
    model = make_model()
    inject(model, ReloraMethod(rank=4))
    reinitialize(model, step=0, restart=0, seed=0)
    return model


def test_nodes_have_as_many_ranks_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert _nodes(8) == 2
    with pytest.raises(DeviceError, match="6 processes, of which this node has 4: start as many"):
        _nodes(6)
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    assert _nodes(8) == 1


def sizes_sent(replica: nn.Module) -> list[int]:
    """The bytes of each bucket of gradients, from now on."""
    assert isinstance(replica, DistributedDataParallel)
    sent: list[int] = []

    def count(
        _: object,
        bucket: dist.GradBucket,  # type: ignore[name-defined] # its stubs leave it out
    ) -> torch.futures.Future[torch.Tensor]:
        sent.append(bucket.buffer().nbytes)
        done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    replica.register_comm_hook(None, count)
    return sent


def backward(replica: nn.Module) -> None:
    replica(torch.arange(16).unsqueeze(0)).logits.sum().backward()


def trainable_bytes(model: PreTrainedModel) -> int:
    return sum(p.nbytes for p in model.parameters() if p.requires_grad)


def test_only_trainable_gradients_travel(world: World, model: PreTrainedModel) -> None:
    replica = world.replicate(model)
    sent = sizes_sent(replica)
    backward(replica)
    assert sum(sent) == trainable_bytes(model) < sum(p.nbytes for p in model.parameters())


def test_gradients_travel_once_for_all_micro_batches_of_a_step(
    world: World, model: PreTrainedModel
) -> None:
    replica = world.replicate(model)
    sent = sizes_sent(replica)
    for _ in range(2):
        with world.no_sync(replica):
            backward(replica)
    assert sent == []
    backward(replica)
    assert sum(sent) == trainable_bytes(model)


def gloo_threads() -> int:
    names = (task / "comm" for task in Path("/proc/self/task").iterdir())
    return sum("gloo" in name.read_text() for name in names)


@pytest.fixture
def threads_of_others() -> int:
    """Count the threads that the groups of earlier tests left in this process."""
    return gloo_threads()


def test_the_threads_of_the_process_group_end_although_a_replica_is_still_held(
    threads_of_others: int, world: World, model: PreTrainedModel
) -> None:
    replica = world.replicate(model)
    backward(replica)
    assert gloo_threads() > threads_of_others
    leave_process_group()
    wait_for(lambda: gloo_threads() <= threads_of_others, seconds=10)
    assert replica.training


def test_gradients_are_parts_of_what_ranks_send_and_take_no_memory_of_their_own(
    world: World, model: PreTrainedModel
) -> None:
    replica = world.replicate(model)
    trained = [p for p in model.parameters() if p.requires_grad]
    for _ in range(3):  # the buckets are built again after the first step
        for accumulates in (True, False):
            with world.no_sync(replica) if accumulates else nullcontext():
                backward(replica)
        gradients = [p.grad for p in trained if p.grad is not None]
        storages = {g.untyped_storage().data_ptr(): g.untyped_storage().nbytes() for g in gradients}
        assert len(gradients) == len(trained) > len(storages)
        assert sum(storages.values()) == trainable_bytes(model)
        for gradient in gradients:
            gradient.zero_()


def test_they_are_those_of_one_process(world: World, model: PreTrainedModel) -> None:
    backward(model)
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    backward(world.replicate(model))
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_buffers_that_no_step_changes_are_not_sent(
    world: World, model: PreTrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = world.replicate(model)
    assert isinstance(replica, DistributedDataParallel)
    monkeypatch.setattr(replica, "_distributed_broadcast_coalesced", pytest.fail)
    backward(replica)
    assert list(replica.module.buffers())
