"""Two ways to compute a low-rank layer, equal but for rounding; torch-free.

With M tokens, W (o, i) frozen and rank r, in floating-point operations, forward and backward:

- branches: y = x W' + s (x A') B'. Three products forward, five backward:
  4 M i o + 6 M r (i + o).
- merged: y = x V' with V = W + s B A, formed anew in forward and in backward. The gradient of x
  is g V, with no low-rank part: 4 M i o + 4 M r (i + o) + 4 r i o.

("Run LoRA Run", arXiv 2312.03415, lists these among others: forward paths 1 and 2, backward
paths of the same cost.) So `merged` is cheaper where M (i + o) > 2 i o, whatever the rank. What
each adds to memory traffic, the sum of two outputs in both directions or the sum of two
weights twice, grows as M (i + o) against i o too.

That counts all products alike. Where W is multiplied as it is stored, in int8 or fp8 by units for
it, the products with W run at twice the speed of the others, and V would have to be quantized
anew in each direction: there branches are taken, whatever the shape.
"""

from relora_core.spec import Variant


def is_merged(
    variant: Variant, *, tokens: int, d_in: int, d_out: int, dropout: float, as_stored: bool
) -> bool:
    """Whether a layer is computed as `merged`, for this many tokens at once.

    `as_stored`: the device multiplies W as it is stored. A function of spec, shapes and device, not
    of a measurement, so that a resumed run rounds as it did before. Dropout acts on the low-rank
    branch alone, which `merged` does not have.
    """
    if dropout or variant == "branches":
        return False
    if variant == "merged":
        return True
    return not as_stored and tokens * (d_in + d_out) > 2 * d_in * d_out
