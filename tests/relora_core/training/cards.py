"""GPUs that a test makes up: their memory is counted on the CPU."""

import torch
from torch import Tensor

from tests.relora_core.estimate.live_memory import LiveMemory


class Card(LiveMemory):
    """A device that raises out of memory: it holds so many bytes of tensors that operations return.

    Enter it as a context while the model trains.
    """

    def __init__(self, total: int) -> None:
        super().__init__()
        self.total = total

    def track(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in self._counted and self.now + storage.nbytes() > self.total:
            raise torch.OutOfMemoryError("CUDA out of memory")
        super().track(tensor)


class CardMemory:
    """The `DeviceMemory` of a card, all of which is usable but a share."""

    def __init__(self, card: Card, *, usable: float = 0.92) -> None:
        self._card = card
        self._usable = int(usable * card.total)

    def usable(self) -> int:
        return self._usable

    def allocated(self) -> int:
        return self._card.now

    def peak(self) -> int:
        return self._card.peak

    def reset_peak(self) -> None:
        self._card.peak = self._card.now

    def release(self) -> None: ...


class ListedMemory:
    """A `DeviceMemory` whose peak is listed for each size that was tried last."""

    def __init__(self, usable: int, peaks: dict[int, int]) -> None:
        self._usable = usable
        self._peaks = peaks
        self.tried: list[int] = []

    def ran(self, size: int) -> None:
        """Note a forward pass. Two in a row of one size are one attempt."""
        if self.tried[-1:] != [size]:
            self.tried.append(size)

    def usable(self) -> int:
        return self._usable

    def allocated(self) -> int:
        return 0

    def peak(self) -> int:
        return self._peaks[self.tried[-1]]

    def reset_peak(self) -> None: ...

    def release(self) -> None: ...
