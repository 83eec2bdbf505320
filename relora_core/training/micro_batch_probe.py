"""Find the largest micro-batch that a GPU holds, before the first step of a phase."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from relora_core.data.batch import Batch
from relora_core.distributed.world import World
from relora_core.errors.out_of_memory import is_out_of_memory
from relora_core.training.device_memory import DeviceMemory
from relora_core.training.micro_batch import largest_within

_MORE_THAN_ANY = 2**62  # bytes: of a micro-batch that ran out of memory


@dataclass(frozen=True)
class MicroBatchProbe:
    """Tries micro-batches on the model, with the memory that later steps will have.

    While it tries, a tensor holds the place of the optimizer state that does not exist yet. If the
    gradients of one micro-batch will be in memory while the next one runs, two run one after the
    other. All ranks try the same sizes. The last size that is tried is nearly always the result, so
    that its kernels are compiled already, once and for this size alone.
    """

    memory: DeviceMemory
    world: World
    per_rank: int
    backward: Callable[[Batch], object]  # forward and backward of a micro-batch
    forget_gradients: Callable[[], None]
    to_come: int  # bytes of optimizer state that the first step allocates

    def largest(self, sample: Batch, *, start: int, at_most: int) -> int:
        """Return the size, the same on every rank. The first size to try is `start`."""
        self.memory.release()
        budget = self.memory.usable()
        place = torch.empty(self.to_come, dtype=torch.uint8, device=self.world.device)
        before = self.memory.allocated()
        size = largest_within(
            self.world.minimum(budget - before),
            at_most,
            self.per_rank,
            partial(self._memory_of, sample, before),
            start=start,
        )
        del place
        self.memory.release()
        return size

    def _memory_of(self, sample: Batch, before: int, size: int) -> int:
        torch.compiler.reset()  # the kernels of another size
        self.memory.reset_peak()
        fits = self._fits(sample.repeated(size), times=1 if size == self.per_rank else 2)
        needed = self.memory.peak() - before if fits else _MORE_THAN_ANY
        self.forget_gradients()
        self.memory.release()
        return self.world.maximum(needed)

    def _fits(self, batch: Batch, *, times: int) -> bool:
        """Return whether it runs. On return, no traceback holds the activations any more."""
        try:
            for _ in range(times):
                self.backward(batch)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        return True
