"""The shape of a model from its config alone: no weights, no torch, no transformers.

Other families than `FAMILIES` are read from transformers by `relora_core.shapes.meta`.
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
