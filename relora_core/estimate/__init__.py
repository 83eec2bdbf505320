"""What a run will cost, from its spec alone. Torch-free, but for models that are only named."""

from relora_core.estimate.estimates import UTILIZATION, Estimate, estimate
from relora_core.estimate.gpus import GPUS

__all__ = ["GPUS", "UTILIZATION", "Estimate", "estimate"]
