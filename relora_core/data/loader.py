"""Load the batch of a step, divided among the ranks.

The next batch is read and copied to the device in the background.
"""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch

from relora_core.data.batch import Batch, Dataset
from relora_core.data.order import Mixture, SourceUse, order_of
from relora_core.data.transfer import Arriving, Transfer


class BatchLoader:
    """Loads batches. The batch of a step depends only on the step, the seed and the batch size.

    So a resumed run needs no loader state. A batch can continue over the end of an epoch, so that
    each epoch has every example once. The slices of all ranks, in order, are the batch that a
    single process would read.
    """

    def __init__(
        self,
        data: Dataset | Mixture,
        *,
        global_batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        device: torch.device | None = None,
    ) -> None:
        """Prepare to load from `data`. Without a device, batches stay on the CPU."""
        if global_batch_size % world_size:
            raise ValueError(
                f"global_batch_size must be a multiple of {world_size}, the number of processes; "
                f"got {global_batch_size}"
            )
        self._order = order_of(data, seed=seed)
        self._global_batch_size = global_batch_size
        self._slice = np.arange(global_batch_size).reshape(world_size, -1)[rank]
        self._transfer = Transfer(device or torch.device("cpu"))
        self._reader = ThreadPoolExecutor(
            max_workers=1, thread_name_prefix="batches", initializer=self._transfer.enter_thread
        )
        self._ahead: tuple[int, Future[Arriving]] | None = None

    def batch(self, step: int) -> Batch:
        """Return this rank's part of the step's batch: global_batch_size // world_size examples."""
        ahead, self._ahead = self._ahead, None
        arriving = ahead[1].result() if ahead and ahead[0] == step else self._read(step)
        self._ahead = (step + 1, self._reader.submit(self._read, step + 1))
        return arriving.received()

    def sources(self, steps: int) -> list[SourceUse]:
        """Return what the first `steps` batches read of each source."""
        return self._order.sources(steps * self._global_batch_size)

    def close(self) -> None:
        self._reader.shutdown(cancel_futures=True)

    def _read(self, step: int) -> Arriving:
        places = step * self._global_batch_size + self._slice
        return self._transfer.begin(self._order.read(places))
