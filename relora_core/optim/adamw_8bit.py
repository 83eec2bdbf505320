"""The AdamW of bitsandbytes, which keeps the moments of larger tensors in 8 bits."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import torch
from torch import nn
from torch.optim import Optimizer

from relora_core.lowrank.bitsandbytes_extra import require_bitsandbytes
from relora_core.optim.parameter_groups import parameter_groups
from relora_core.spec import BaseOptimizer


def build(model: nn.Module, spec: BaseOptimizer) -> Optimizer:
    require_bitsandbytes("optimizer.name adamw_8bit", instead="adamw")
    from bitsandbytes.optim.adamw import AdamW8bit

    class OneWait(AdamW8bit):
        """Waits for the device once a step, and not after the update of each parameter."""

        @torch.no_grad()
        def step(self, closure: None = None) -> None:  # type: ignore[override] # as ours
            with _without_waiting():
                super().step(closure)  # type: ignore[no-untyped-call]
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()

    groups = parameter_groups(model, spec)
    rates = {"lr": spec.learning_rate, "betas": spec.betas, "eps": spec.eps}
    optimizer: Optimizer = OneWait(groups, **rates)  # type: ignore[no-untyped-call]
    return optimizer


@contextmanager
def _without_waiting() -> Iterator[None]:
    """Let bitsandbytes queue its kernels. They run in order, on the stream of the step."""
    module = import_module("bitsandbytes.optim.optimizer")
    wait, module.sync_gpu = module.sync_gpu, lambda _: None  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.sync_gpu = wait  # type: ignore[attr-defined]
