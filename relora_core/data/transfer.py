"""Copy batches to the device while it computes, not between two steps."""

from dataclasses import dataclass

import torch

from relora_core.data.batch import Batch


@dataclass(frozen=True)
class Arriving:
    """A batch whose copy to the device may not be finished."""

    batch: Batch
    copied: torch.cuda.Event | None = None  # None if the batch is already in the right place

    def received(self) -> Batch:
        """Return the batch for the current stream. The device waits for the copy, not the host."""
        if self.copied is not None:
            stream = torch.cuda.current_stream(self.batch.inputs.device)
            stream.wait_event(self.copied)
            for tensor in (self.batch.inputs, self.batch.targets):
                tensor.record_stream(stream)  # keeps its memory until this stream is done with it
        return self.batch


class Transfer:
    """Copies batches to a device; to a GPU from pinned memory, on a separate stream."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def enter_thread(self) -> None:
        """Prepare the current thread to copy to this device.

        A thread begins with the first GPU as its current one. To return there after a copy would
        create a context, half a GB, of every rank on that GPU.
        """
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)

    def begin(self, batch: Batch) -> Arriving:
        if self._stream is None:
            return Arriving(batch)
        with torch.cuda.stream(self._stream):
            copy = batch.pinned().to(self._device)
            return Arriving(copy, self._stream.record_event())
