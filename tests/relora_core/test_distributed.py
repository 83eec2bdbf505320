"""A process group of one, in this process: what DDP takes care of."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from relora_core.distributed import World
from relora_core.lowrank.inject import inject
from relora_core.lowrank.restart import reinitialize
from relora_core.spec import ReloraMethod
from tests.relora_core.conftest import MakeModel


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """It says that it is of two, so that it wraps its model."""
    dist.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1
    )
    yield World(rank=0, size=2, device=torch.device("cpu"))
    dist.destroy_process_group()


def test_only_trainable_gradients_travel(world: World, make_model: MakeModel) -> None:
    model = make_model()
    inject(model, ReloraMethod(rank=4))
    reinitialize(model, step=0, restart=0, seed=0)
    replica = world.replicate(model)
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
    replica(torch.arange(16).unsqueeze(0)).logits.sum().backward()
    trainable = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    assert sum(sent) == trainable
    assert trainable < sum(p.nbytes for p in model.parameters())
