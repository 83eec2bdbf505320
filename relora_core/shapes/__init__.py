"""The shape of a model from its config alone, without weights, torch and transformers.

Families that are not in `FAMILIES` are read with transformers by `relora_core.estimate.meta`.
"""

from relora_core.shapes.families import FAMILIES, model_shape
from relora_core.shapes.model_shape import BlockActivations, Linear, ModelShape, is_in_a_block

__all__ = [
    "FAMILIES",
    "BlockActivations",
    "Linear",
    "ModelShape",
    "is_in_a_block",
    "model_shape",
]
