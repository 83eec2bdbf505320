"""Tensors that lie in parts on the ranks: each holds some of the rows (`DTensor`, `Shard(0)`).

Whoever computes with the weights outside the model's forward pass asks here for what it needs:
the rows that are here, or the whole. Of a tensor that is in one piece both are the tensor itself,
so the same code runs on one device, under DDP and under FSDP2.
"""

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, Partial, Shard, distribute_tensor


def is_sharded(tensor: Tensor) -> bool:
    return isinstance(tensor, DTensor)


def to_local(tensor: Tensor) -> Tensor:
    """The rows that are on this rank, without a copy: what is written to them stays."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def full_tensor(tensor: Tensor) -> Tensor:
    """All rows. Every rank has to call it, and gets them all."""
    if not isinstance(tensor, DTensor):
        return tensor
    if tensor.dtype == torch.int16:  # which NCCL does not send
        return full_tensor(tensor.to(torch.int32)).to(torch.int16)
    return tensor.full_tensor()


def from_local(rows: Tensor, like: Tensor) -> Tensor:
    """Each rank's rows as one tensor, which lies as `like` does and has as many rows."""
    if not isinstance(like, DTensor):
        return rows
    shape = (like.shape[0], *rows.shape[1:])
    stride = torch.empty(shape, device="meta").stride()
    rows = rows.to(like.device).contiguous()
    return DTensor.from_local(
        rows, like.device_mesh, [Shard(0)], run_check=False, shape=torch.Size(shape), stride=stride
    )


def distribute_like(tensor: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, equal on all ranks, laid as `like` is. Nothing travels."""
    if not isinstance(like, DTensor):
        return tensor.to(like.device)
    return distribute_tensor(
        tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )


def sum_over_shards(values: Tensor, like: Tensor) -> Tensor:
    """The sum over the parts of `like`, for values that each rank has of its rows."""
    if not isinstance(like, DTensor):
        return values
    parts = DTensor.from_local(values.to(like.device), like.device_mesh, [Partial()])
    return parts.full_tensor().to(values.device)


def is_fsdp_model(model: nn.Module) -> bool:
    return any(isinstance(module, FSDPModule) for module in model.modules())
