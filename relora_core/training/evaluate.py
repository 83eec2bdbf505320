"""Evaluate a model on the validation split, on the same examples for every method."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relora_core.data.batch import Batch
from relora_core.distributed.world import World
from relora_core.events import Evaluated
from relora_core.tasks.task import Task


@torch.no_grad()
def evaluate(
    task: Task, measure: Callable[[Batch], Tensor], world: World, *, step: int, batch_size: int
) -> Evaluated:
    """Score the first examples of the validation split. The task says how many.

    `measure` is the measure of the task, for a model in evaluation mode. All ranks share the
    work and get the same numbers. Every batch has the same size, because compiled kernels are for
    one size: the last one is filled up with examples that do not count.
    """
    batch_size = min(batch_size, math.ceil(task.evaluation_examples / world.size))
    totals = torch.zeros(task.num_sums, dtype=torch.float64, device=world.device)
    for indices in _batches_of_rank(task.evaluation_examples, world, batch_size):
        filled = np.resize(indices, batch_size) if len(indices) else np.zeros(batch_size, np.int64)
        batch = task.validation.examples(filled, filled).counting(len(indices))
        totals += measure(batch.to(world.device))
    return task.evaluated(step, world.sum(totals))


def _batches_of_rank(count: int, world: World, size: int) -> Iterator[NDArray[np.int64]]:
    """Yield equally many batches on each rank, because a sharded model runs on all ranks at once.

    The last batch of a rank may be empty.
    """
    mine = np.arange(world.rank, count, world.size)
    rounds = math.ceil(count / (world.size * size))
    for start in range(0, rounds * size, size):
        yield mine[start : start + size]
