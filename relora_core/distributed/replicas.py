"""Check that all ranks train the same model, by comparing the parameters of the replicas.

Replicas exchange only gradients. A rank that draws, merges or rounds in another way would train
another model without any sign of it, and only the main rank's model is saved.
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from relora_core.distributed.dtensor import is_replicated, is_sharded, to_local
from relora_core.distributed.world import World
from relora_core.errors import ReplicasDiffer

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes


def check_replicas(
    model: nn.Module, world: World, *, step: int, factors_hashes: Iterable[str] = ()
) -> None:
    """Compare every parameter over the ranks, and the hashes of each rank's new factors.

    Raise `ReplicasDiffer` on every rank if a parameter or a hash differs.
    """
    if world.size == 1:
        return
    checksums = dict(_checksums(model))
    for hexadecimal in factors_hashes:
        checksums["the hash of the factors"] = torch.tensor(
            int(hexadecimal[:15], 16), device=world.device
        )
    if not checksums:
        return
    on_ranks = world.all_gather(torch.stack(list(checksums.values())))  # (ranks, tensors)
    # each rank's rows are compared with those of the rank of the first node that has the same
    first = torch.arange(world.size) % (world.size // world.nodes)
    sharded = {name for name, each in model.named_parameters() if is_sharded(each)}
    compared = [
        on_ranks[first, n] if name in sharded else on_ranks[0, n].expand(world.size)
        for n, name in enumerate(checksums)
    ]
    equal = on_ranks == torch.stack(compared, dim=1)
    if equal.all():
        return
    ranks = (~equal.all(dim=1)).nonzero().flatten().tolist()
    names = [name for name, same in zip(checksums, equal.all(dim=0), strict=True) if not same]
    raise ReplicasDiffer(_message(names, ranks, step))


def _checksums(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the sum of each parameter's bits as integers, int64 ().

    Such a sum is exact, in whatever order a kernel adds. Where no other rank has the rows of this
    one, there is nothing to compare.
    """
    for name, parameter in model.named_parameters():
        if is_replicated(parameter):
            bits = to_local(parameter.detach()).view(_INTEGERS[parameter.element_size()])
            yield name, bits.sum(dtype=torch.int64)


def _message(names: list[str], ranks: list[int], step: int) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return (
        f"before step {step}, {shown} differ on rank {', '.join(map(str, ranks))} from the main "
        "rank's; no checkpoint holds this. Look for a node with other hardware, other versions of "
        "its libraries or faulty memory, and start again: the run goes on from its last checkpoint"
    )
