"""The tensors of a checkpoint, read from its files one by one, and sent to the other ranks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from relora_core.distributed.dtensor import WHOLE
from relora_core.distributed.world import SINGLE_PROCESS, World


class SavedTensors:
    """The tensors of one kind (`KIND-*.safetensors`), by name. Each is read when it is asked for.

    The main rank reads and sends each tensor to the others, which need not have the files. Every
    rank has to ask for the same tensors in the same order. A rank holds one whole tensor at a time
    beside the rows that it asked for.
    """

    def __init__(self, folder: Path, kind: str, world: World = SINGLE_PROCESS) -> None:
        self._world = world
        paths = sorted(folder.glob(f"{kind}-*.safetensors")) if world.is_main else []
        files: list[Any] = [safe_open(path, framework="pt") for path in paths]
        self._file_of = {name: file for file in files for name in file.keys()}  # noqa: SIM118
        self._shapes = world.broadcast_object(
            {
                name: torch.Size(file.get_slice(name).get_shape())
                for name, file in self._file_of.items()
            }
        )

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __contains__(self, name: object) -> bool:
        return name in self._shapes

    def shape(self, name: str) -> torch.Size:
        return self._shapes[name]

    def read(self, name: str, rows: slice = WHOLE) -> Tensor:
        """Return these rows of a tensor, in the memory of the CPU."""
        if self._world.size > 1:
            whole = self._sent(name)
            return whole.cpu() if rows == WHOLE else whole[rows].to("cpu", copy=True)
        if rows != WHOLE:
            return self._file_of[name].get_slice(name)[rows]
        return self._file_of[name].get_tensor(name)

    def _sent(self, name: str) -> Tensor:
        """Return the whole tensor on the device of each rank. Bytes are sent: NCCL lacks types."""
        world = self._world
        saved = self._file_of[name].get_tensor(name) if world.is_main else None
        dtype = world.broadcast_object(None if saved is None else saved.dtype)
        if saved is None:
            whole = torch.empty(self._shapes[name], dtype=dtype, device=world.device)
        else:
            whole = saved.to(world.device)
        world.copy_from_main(whole.view(-1).view(torch.uint8))
        return whole
