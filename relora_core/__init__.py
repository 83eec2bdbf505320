"""Pretrain with ReLoRA from Python: `import relora_core as relora`.

A name is loaded at its first use. So the service can import modules of this package without loading
torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from relora_core.errors import TrainError as TrainError
    from relora_core.export.from_checkpoint import export_checkpoint as export_checkpoint
    from relora_core.integrations.trainer_callback import ReLoRACallback as ReLoRACallback
    from relora_core.integrations.wrapped_model import ReLoRA as ReLoRA
    from relora_core.spec import TrainSpec as TrainSpec
    from relora_core.training.train import train as train

_MODULES = {
    "ReLoRA": "relora_core.integrations.wrapped_model",
    "ReLoRACallback": "relora_core.integrations.trainer_callback",
    "TrainError": "relora_core.errors",
    "TrainSpec": "relora_core.spec",
    "export_checkpoint": "relora_core.export.from_checkpoint",
    "train": "relora_core.training.train",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
