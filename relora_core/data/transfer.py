"""Batches on their way to the device: copied beside its work, not between two steps."""

from dataclasses import dataclass

import torch

from relora_core.data.batch import Batch


@dataclass(frozen=True)
class Arriving:
    batch: Batch
    copied: torch.cuda.Event | None = None  # None: it is where it is needed

    def received(self) -> Batch:
        """For what is queued from now on; the device waits for the copy, the host does not."""
        if self.copied is not None:
            stream = torch.cuda.current_stream(self.batch.inputs.device)
            stream.wait_event(self.copied)
            for tensor in (self.batch.inputs, self.batch.targets):
                tensor.record_stream(stream)  # its memory is in use until this stream is done
        return self.batch


class Transfer:
    """To a GPU on a stream of its own, from pinned memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def begin(self, batch: Batch) -> Arriving:
        if self._stream is None:
            return Arriving(batch)
        with torch.cuda.stream(self._stream):
            copy = batch.pinned().to(self._device)
            return Arriving(copy, self._stream.record_event())
