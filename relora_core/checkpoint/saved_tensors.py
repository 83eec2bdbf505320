"""The tensors of a checkpoint, read from its files one by one, or the rows that a rank holds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from relora_core.distributed.dtensor import WHOLE


class SavedTensors:
    """The tensors of one kind (`KIND-*.safetensors`), by name. Each is read when it is asked for.

    So a rank of a sharded run needs no memory for the rows of the others.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        paths = sorted(folder.glob(f"{kind}-*.safetensors"))
        files: list[Any] = [safe_open(path, framework="pt") for path in paths]
        self._file_of = {name: file for file in files for name in file.keys()}  # noqa: SIM118

    def __iter__(self) -> Iterator[str]:
        return iter(self._file_of)

    def __contains__(self, name: object) -> bool:
        return name in self._file_of

    def shape(self, name: str) -> torch.Size:
        return torch.Size(self._file_of[name].get_slice(name).get_shape())

    def read(self, name: str, rows: slice = WHOLE) -> Tensor:
        if rows != WHOLE:
            return self._file_of[name].get_slice(name)[rows]
        return self._file_of[name].get_tensor(name)
