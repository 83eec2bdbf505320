"""Evaluate a model on the validation data, on the same examples for every method."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from relora_core.data.batch import Batch, Dataset
from relora_core.data.validation import ValidationSet
from relora_core.distributed.world import World
from relora_core.events import Evaluated, SetEvaluated
from relora_core.tasks.task import Task


@torch.no_grad()
def evaluate(
    task: Task, measure: Callable[[Batch], Tensor], world: World, *, step: int, batch_size: int
) -> tuple[Evaluated, list[SetEvaluated]]:
    """Score the first examples of each validation set.

    Return the scores of the validation data, which are the weighted means of the sets' scores, and
    those of each set with a name. `measure` is the measure of the task, for a model in evaluation
    mode. All ranks share the work and get the same numbers. Every batch has the same size, because
    compiled kernels are for one size: the last one of a set is filled up with examples that do not
    count.
    """
    most = max(each.num_scored for each in task.validation)
    batch_size = min(batch_size, math.ceil(most / world.size))
    sums = {each: _sums(task, each, measure, world, batch_size) for each in task.validation}
    named = [
        SetEvaluated(
            set=each.name, **task.evaluated(step, sums[each]).model_dump(exclude={"type", "time"})
        )
        for each in task.validation
        if each.name is not None
    ]
    counted = {each: sums[each][1] for each in task.validation if each.weight}
    total = torch.stack(list(counted.values())).sum()
    means = [each.weight * total / count * sums[each] for each, count in counted.items()]
    return task.evaluated(step, torch.stack(means).sum(0)), named


def _sums(
    task: Task,
    validation: ValidationSet[Dataset],
    measure: Callable[[Batch], Tensor],
    world: World,
    batch_size: int,
) -> Tensor:
    """Return the added sums of `measure` over the scored examples, fp64 (num_sums,)."""
    totals = torch.zeros(task.num_sums, dtype=torch.float64, device=world.device)
    for indices in _batches_of_rank(validation.num_scored, world, batch_size):
        filled = np.resize(indices, batch_size) if len(indices) else np.zeros(batch_size, np.int64)
        batch = validation.dataset.examples(filled, filled).counting(len(indices))
        totals += measure(batch.to(world.device))
    return world.sum(totals)


def _batches_of_rank(count: int, world: World, size: int) -> Iterator[NDArray[np.int64]]:
    """Yield equally many batches on each rank, because a sharded model runs on all ranks at once.

    The last batch of a rank may be empty.
    """
    mine = np.arange(world.rank, count, world.size)
    rounds = math.ceil(count / (world.size * size))
    for start in range(0, rounds * size, size):
        yield mine[start : start + size]
