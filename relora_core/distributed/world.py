"""The ranks of a run and the communication between them.

torchrun starts several ranks. Without torchrun, the process is a world of size 1.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar
from weakref import WeakSet

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from relora_core.counted import counted
from relora_core.distributed.device import device_of_rank
from relora_core.distributed.dtensor import full_tensor, is_fsdp_model
from relora_core.errors import DeviceError
from relora_core.host_memory import peak_of_process
from relora_core.seeds import generator_seed

# Longer than any checkpoint or export takes, because the other ranks wait for it.
_TIMEOUT = timedelta(hours=2)

Value = TypeVar("Value")

_replicas: WeakSet[DistributedDataParallel] = WeakSet()


@dataclass(frozen=True)
class World:
    """The rank of this process, the number of ranks and this rank's device.

    The ranks of a node follow each other.
    """

    rank: int
    size: int
    device: torch.device
    nodes: int = 1

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def broadcast(self, value: int) -> int:
        """Return the main rank's value, on every rank."""
        return int(self.copy_from_main(torch.tensor(value, device=self.device)))

    def broadcast_object(self, value: Value) -> Value:
        """Return the main rank's value of any type, on every rank."""
        values = [value]
        if self.size > 1:
            dist.broadcast_object_list(values, src=0, device=self.device)
        return values[0]

    def copy_from_main(self, values: Tensor) -> Tensor:
        """Replace the values by those of the main rank, in place."""
        if self.size > 1:
            dist.broadcast(values, src=0)
        return values

    def all_gather(self, values: Tensor) -> Tensor:
        """Return the values of all ranks, (ranks, *shape), on every rank."""
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

    def reset_peak_memory(self) -> None:
        """Let `peak_memory_bytes` begin anew. The peak of a process on a CPU cannot."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_memory_bytes(self) -> int:
        """Return the largest peak memory of a rank: torch's on a GPU, the process's on a CPU."""
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
        """Return copies of the whole tensors in the main rank's memory, and {} on other ranks.

        All ranks have to call it with the same tensors. Sharded tensors are gathered one by one.
        Floating-point tensors are converted to `dtype` if it is given. Without `copy`, a tensor
        that is already in the right place and type is returned as it is.
        """
        _finish_copies()  # a residual may still be in transfer to the CPU
        copies = {}
        for name, tensor in tensors:
            complete = full_tensor(tensor.detach())
            if self.is_main:
                # a GPU copies into pinned memory, all queued at once; torch reuses that memory
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
        """Return a module that averages the trainable gradients over all ranks in backward.

        Gradients are parts of the buckets that ranks send, from the start: zero instead of None.
        Set them to zero in place, otherwise they take their memory twice.
        """
        if self.size == 1 or is_fsdp_model(model):  # FSDP averages by itself
            return model
        for parameter in model.parameters():
            if parameter.requires_grad:  # DDP copies this zero, of no memory, into the bucket
                parameter.grad = torch.zeros_like(parameter[..., :0].sum()).expand_as(parameter)
        if not any(isinstance(module, _BatchNorm) for module in model.modules()):
            buffers = [name for name, _ in model.named_buffers()]  # tables, equal on all ranks
            DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, buffers)
        replica = DistributedDataParallel(
            model,
            device_ids=[self.device] if self.device.type == "cuda" else None,
            gradient_as_bucket_view=True,
        )
        _replicas.add(replica)
        return replica

    def no_sync(self, model: nn.Module) -> AbstractContextManager[None]:
        """Do not average gradients in this backward, for gradient accumulation; a later one does.

        A sharded model averages every time. Otherwise each rank would hold unsharded gradients,
        which take the memory of a whole model in fp32 during the warm start.
        """
        if isinstance(model, DistributedDataParallel):
            return model.no_sync()
        return nullcontext()

    def reseed(self, seed: int, step: int) -> None:
        """Seed torch from seed, step and rank, so that no random state has to be saved.

        Seed the CPU and the rank's own GPU. `torch.manual_seed` seeds every kind of device, and
        records the call stack for each kind that the process does not use: milliseconds of a step.
        """
        seed = generator_seed((seed * 1_000_003 + step) * 1009 + self.rank)
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)


SINGLE_PROCESS = World(rank=0, size=1, device=torch.device("cpu"))


def _finish_copies() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


@contextmanager
def init_distributed() -> Iterator[World]:
    """Join the process group of torchrun's environment variables, and leave it at the end.

    Raise `DeviceError` if there is a GPU that torch cannot use.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    device = device_of_rank(int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if size > 1:
        on_gpu = device.type == "cuda"
        dist.init_process_group(
            "nccl" if on_gpu else "gloo", timeout=_TIMEOUT, device_id=device if on_gpu else None
        )
    try:
        yield World(rank, size, device, nodes=_nodes(size))
    finally:
        if size > 1:
            leave_process_group()


def _nodes(size: int) -> int:
    """Return the number of nodes. Raise `DeviceError` if they have different numbers of ranks."""
    on_this = int(os.environ.get("LOCAL_WORLD_SIZE", size))
    if size % on_this:
        raise DeviceError(
            f"{counted(size, 'process', 'processes')}, of which this node has {on_this}: start as "
            "many on each node"
        )
    return size // on_this


def leave_process_group() -> None:
    """Destroy the process group. The replicas of models cannot be trained any more.

    The C++ part of DDP holds the group too. If it were the last to let go of it, it would wait for
    the group's threads without releasing the GIL, and such a thread may wait for the GIL to free a
    tensor. So the replicas let go of the group first.
    """
    for replica in _replicas:
        del replica.reducer, replica.logger, replica.process_group
    _replicas.clear()
    dist.destroy_process_group()
