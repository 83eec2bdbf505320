"""How the frozen weight W is stored, and how an update is added to it without loss.

stored_type        what a way of storing W has to offer
floats, int8, nf4  the ways
product            W x of a quantized W, with no dense copy kept for backward
merged_product     (W + s B A) x of any W, with no dense copy kept for backward
weight             W as stored and what the stored type cannot hold: together, exact
"""

from relora_core.lowrank.frozen.weight import FrozenWeight, build_frozen

__all__ = ["FrozenWeight", "build_frozen"]
