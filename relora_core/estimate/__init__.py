"""What a run will cost, from its spec alone. Torch-free, but for models that are only named."""

from relora_core.estimate.estimates import UTILIZATION, Estimate, estimate
from relora_core.estimate.gpus import DEFAULT, GPUS, known_gpu
from relora_core.estimate.shape_of import needs_trainer

__all__ = [
    "DEFAULT",
    "GPUS",
    "UTILIZATION",
    "Estimate",
    "estimate",
    "known_gpu",
    "needs_trainer",
]
