"""The only module that knows of ranks. Started by torchrun; alone, a world of one."""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from relora_core.distributed.dtensor import full_tensor, is_fsdp_model
from relora_core.host_memory import peak_of_process
from relora_core.seeds import generator_seed

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

    def broadcast(self, value: int) -> int:
        """The main rank's value, on every rank."""
        if self.size == 1:
            return value
        values = torch.tensor(value, device=self.device)
        dist.broadcast(values, src=0)
        return int(values)

    def all_gather(self, values: Tensor) -> Tensor:
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

    def maximum(self, value: int) -> int:
        return -self.minimum(-value)

    def peak_memory_bytes(self) -> int:
        """The largest peak of a rank: of its GPU by torch, or of its process on a CPU."""
        if self.device.type != "cuda":
            return self.maximum(peak_of_process())
        return self.maximum(torch.cuda.max_memory_allocated(self.device))

    def sum(self, values: Tensor) -> Tensor:
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def mean(self, value: Tensor) -> Tensor:
        return self.sum(value.clone()) / self.size

    def gather_to_main(
        self,
        tensors: Iterable[tuple[str, Tensor]],
        dtype: torch.dtype | None = None,
        *,
        copy: bool = True,
    ) -> dict[str, Tensor]:
        """Copies in the main rank's memory, one after the other put together; none elsewhere.

        All ranks call it, with the same tensors. `dtype` is for numbers with a fraction. Without
        `copy`, what is there already is handed over as it is.
        """
        _finish_copies()  # a residual may still be on its way to the CPU
        copies = {}
        for name, tensor in tensors:
            complete = full_tensor(tensor.detach())
            if self.is_main:
                # from a GPU into pinned memory, all queued at once; torch keeps that for the next
                copies[name] = complete.to(
                    device="cpu",
                    dtype=dtype if complete.is_floating_point() else None,
                    copy=copy,
                    non_blocking=True,
                    memory_format=torch.contiguous_format,
                )
        _finish_copies()  # the next step may write to the tensors
        return copies

    def barrier(self) -> None:
        if self.size > 1:
            dist.barrier()

    def replicate(self, model: nn.Module) -> nn.Module:
        """The model, averaging the trainable gradients over all ranks in backward."""
        if self.size == 1 or is_fsdp_model(model):  # which averages by itself
            return model
        return DistributedDataParallel(model)

    def no_sync(self, model: nn.Module) -> AbstractContextManager[None]:
        """Leave the gradients of this backward on their rank, for a later one to average.

        Not in a sharded model: they would be in one piece until then, and in the warm start that
        is the memory of a whole model in fp32.
        """
        if isinstance(model, DistributedDataParallel):
            return model.no_sync()
        return nullcontext()

    def reseed(self, seed: int, step: int) -> None:
        """Randomness is a function of seed, step and rank: there is no state to save."""
        torch.manual_seed(generator_seed((seed * 1_000_003 + step) * 1009 + self.rank))


SINGLE_PROCESS = World(rank=0, size=1, device=torch.device("cpu"))


def _finish_copies() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


@contextmanager
def init_distributed() -> Iterator[World]:
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
