"""Work with sharded tensors: each rank holds some of the rows (`DTensor`, `Shard(0)`).

With several nodes, each of them may hold all rows (`Replicate`, `Shard(0)`).

Code that computes with the weights outside of the model's forward pass gets them here: the rows
of this rank, or the whole tensor. For a tensor that is not sharded, both are the tensor itself,
so the same code runs on one device, under DDP and under FSDP2.
"""

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, Partial, distribute_tensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

WHOLE = slice(None)  # of the rows of a tensor


def is_sharded(tensor: Tensor) -> bool:
    return isinstance(tensor, DTensor)


def is_replicated(tensor: Tensor) -> bool:
    """Return whether other ranks have the same rows. All have those of an unsharded tensor."""
    return not isinstance(tensor, DTensor) or any(each.is_replicate() for each in tensor.placements)


def to_local(tensor: Tensor) -> Tensor:
    """Return the rows of this rank without a copy, so that writing to them changes the tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def local_rows(tensor: Tensor) -> slice:
    """Return which rows of the whole tensor this rank holds."""
    if not isinstance(tensor, DTensor):
        return WHOLE
    (count, *_), (first, *_) = compute_local_shape_and_global_offset(
        tensor.shape, tensor.device_mesh, tensor.placements
    )
    return slice(first, first + count)


def full_tensor(tensor: Tensor) -> Tensor:
    """Return the whole tensor, on every rank. Every rank has to call it."""
    if not isinstance(tensor, DTensor):
        return tensor
    if tensor.dtype == torch.int16:  # NCCL cannot send this type
        return full_tensor(tensor.to(torch.int32)).to(torch.int16)
    return tensor.full_tensor()


def from_local(rows: Tensor, like: Tensor) -> Tensor:
    """Return each rank's rows as one tensor, sharded as `like` and with as many rows in total."""
    if not isinstance(like, DTensor):
        return rows
    shape = (like.shape[0], *rows.shape[1:])
    stride = torch.empty(shape, device="meta").stride()
    rows = rows.to(like.device).contiguous()
    return DTensor.from_local(
        rows,
        like.device_mesh,
        like.placements,
        run_check=False,
        shape=torch.Size(shape),
        stride=stride,
    )


def distribute_like(tensor: Tensor, like: Tensor) -> Tensor:
    """Shard a whole tensor as `like`, without communication: it must be equal on all ranks."""
    if not isinstance(like, DTensor):
        return tensor.to(like.device)
    return distribute_tensor(
        tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None
    )


def sum_over_shards(values: Tensor, like: Tensor) -> Tensor:
    """Sum `values` over the ranks if `like` is sharded: each rank has the values of its rows."""
    if not isinstance(like, DTensor):
        return values
    summed = [Partial() if each.is_shard() else each for each in like.placements]
    parts = DTensor.from_local(values.to(like.device), like.device_mesh, summed)
    return parts.full_tensor().to(values.device)


def is_fsdp_model(model: nn.Module) -> bool:
    return any(isinstance(module, FSDPModule) for module in model.modules())
