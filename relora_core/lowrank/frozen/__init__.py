"""How the frozen weight W is stored, and how an update is added to it without loss.

stored_type             what a way of storing W has to offer
floats, codes, nf4      the ways; codes are those of int8 and fp8
integers, e4m3          rows of numbers as 8-bit integers, and as 8-bit floats
product                 W x of a quantized W, with no dense copy kept for backward
scaled_product          W x of codes, multiplied as they are stored
merged_product          (W + s B A) x of any W, with no dense copy kept for backward
parked                  numbers that wait in a file until they are read
weight                  W as stored and what the stored type cannot hold: together, exact
"""

from relora_core.lowrank.frozen.weight import FrozenWeight, build_frozen

__all__ = ["FrozenWeight", "build_frozen"]
