"""Measures what the estimate predicts: bytes of live tensors on the CPU."""

import weakref
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """Counts the bytes of the storages that operations return, from each one's birth to its end."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's, without types
        self._counted: set[int] = set()
        self.now = 0
        self.peak = 0

    def __torch_dispatch__(
        self,
        operation: Callable[..., Any],
        types: Any,
        arguments: tuple[Any, ...] = (),
        keywords: Mapping[str, Any] | None = None,
    ) -> Any:
        result = operation(*arguments, **(keywords or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.track(leaf)
        return result

    def track(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._counted:
            self._counted.add(key)
            self._add(storage.nbytes())
            weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _add(self, bytes_: int) -> None:
        self.now += bytes_
        self.peak = max(self.peak, self.now)

    def _forget(self, key: int, bytes_: int) -> None:
        self._counted.remove(key)
        self.now -= bytes_


def bytes_of(tensors: Any) -> int:
    """Each storage counts once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(storages.values())


def saved_for_backward(
    forward: Callable[[], Tensor], parameters: list[Tensor]
) -> tuple[Tensor, int]:
    """The result of `forward`, and the bytes that autograd keeps but for the parameters."""
    own = {p.untyped_storage().data_ptr() for p in parameters}
    # what a graph within the forward pass kept is gone again when that is over
    kept: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()

    def keep(tensor: Tensor) -> Tensor:
        address = tensor.untyped_storage().data_ptr()
        if address not in own:
            kept[address] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = forward()
    return result, bytes_of(list(kept.values()))
