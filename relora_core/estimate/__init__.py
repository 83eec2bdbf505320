"""Estimate the cost of a run from its spec. Only pretrained and unknown models need torch."""

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
