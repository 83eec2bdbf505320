"""Store the frozen weight W, quantized or not, and add updates to it without rounding errors.

stored_type             the interface of a stored type
floats, codes, nf4      the stored types; codes are int8 and fp8
integers, e4m3          quantize rows to 8-bit integers and to 8-bit floats
product                 W x for a quantized W, with no dense copy kept for backward
scaled_product          W x for int8 and fp8, multiplied as they are stored
merged_product          (W + s B A) x for any W, with no dense copy kept for backward
offload                 tensors that stay in a file until they are read
weight                  W as it is stored, and the residual; their sum is exact
"""

from relora_core.lowrank.frozen.weight import FrozenWeight, build_frozen

__all__ = ["FrozenWeight", "build_frozen"]
