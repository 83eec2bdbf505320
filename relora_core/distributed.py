"""The only module that knows of ranks. Started by torchrun; alone, a world of one."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

# Longer than any checkpoint or export that the other ranks wait for.
_TIMEOUT = timedelta(hours=2)


@dataclass(frozen=True)
class World:
    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def any(self, *, flag: bool) -> bool:
        """Whether the flag is set on any rank; every rank gets the same answer."""
        if self.size == 1:
            return flag
        votes = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(votes, op=dist.ReduceOp.MAX)
        return bool(votes)

    def from_main(self, value: int) -> int:
        """The main rank's value, on every rank."""
        if self.size == 1:
            return value
        values = torch.tensor(value, device=self.device)
        dist.broadcast(values, src=0)
        return int(values)

    def on_every_rank(self, values: Tensor) -> Tensor:
        """The values of all ranks, (ranks, *shape), on each of them."""
        if self.size == 1:
            return values.unsqueeze(0)
        gathered = [torch.empty_like(values) for _ in range(self.size)]
        dist.all_gather(gathered, values)
        return torch.stack(gathered)

    def minimum(self, value: int) -> int:
        if self.size == 1:
            return value
        values = torch.tensor(value, device=self.device)
        dist.all_reduce(values, op=dist.ReduceOp.MIN)
        return int(values)

    def sum(self, values: Tensor) -> Tensor:
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def mean(self, value: Tensor) -> Tensor:
        return self.sum(value.clone()) / self.size

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier()

    def replicate(self, model: nn.Module) -> nn.Module:
        """The model, averaging the trainable gradients over all ranks in backward."""
        return model if self.size == 1 else DistributedDataParallel(model)

    def no_sync(self, model: nn.Module) -> AbstractContextManager[None]:
        """Leave the gradients of this backward on their rank, for a later one to average."""
        if isinstance(model, DistributedDataParallel):
            return model.no_sync()
        return nullcontext()

    def reseed(self, seed: int, step: int) -> None:
        """Randomness is a function of seed, step and rank: there is no state to save."""
        torch.manual_seed((seed * 1_000_003 + step) * 1009 + self.rank)


@contextmanager
def joined_world() -> Iterator[World]:
    """Join the process group that torchrun's variables describe, and leave it at the end."""
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(device)
    else:
        device = torch.device("cpu")
    if size > 1:
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=_TIMEOUT)
    try:
        yield World(rank, size, device)
    finally:
        if size > 1:
            dist.destroy_process_group()
