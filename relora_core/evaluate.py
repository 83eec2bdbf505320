"""Validation loss, weighted by token, on the same tokens for every method."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from relora_core.data.shards import TokenShards
from relora_core.distributed import World
from relora_core.events import Evaluated


def sum_of_losses(model: nn.Module, sequences: Tensor) -> Tensor:
    """Cross-entropy of each next token, summed; `sequences` is (n, sequence_length + 1)."""
    logits = model(input_ids=sequences[:, :-1]).logits  # (n, sequence_length, vocabulary)
    return F.cross_entropy(
        logits.flatten(0, 1).float(), sequences[:, 1:].flatten(), reduction="sum"
    )


@torch.no_grad()
def evaluate(
    loss_of: Callable[[Tensor], Tensor],
    data: TokenShards,
    world: World,
    *,
    step: int,
    max_tokens: int,
    batch_size: int,
) -> Evaluated:
    """The loss on the first `max_tokens` tokens of `data`, in whole sequences, at least one.

    `loss_of` is `sum_of_losses` of a model in evaluation mode. All ranks share the work and
    get the same numbers.
    """
    totals = torch.zeros(2, dtype=torch.float64, device=world.device)  # losses, tokens
    for indices in _batches_of_rank(data, world, max_tokens=max_tokens, batch_size=batch_size):
        sequences = data.sequences(indices).to(world.device)
        totals[0] += loss_of(sequences).double()
        totals[1] += sequences[:, 1:].numel()
    losses, tokens = world.sum(totals).tolist()
    loss = losses / tokens
    return Evaluated(step=step, loss=loss, perplexity=math.exp(loss), tokens=int(tokens))


def _batches_of_rank(
    data: TokenShards, world: World, *, max_tokens: int, batch_size: int
) -> Iterator[NDArray[np.int64]]:
    count = max(1, min(len(data), max_tokens // data.sequence_length))
    mine = np.arange(world.rank, count, world.size)
    for start in range(0, len(mine), batch_size):
        yield mine[start : start + batch_size]
