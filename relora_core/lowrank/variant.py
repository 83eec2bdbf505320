"""Two ways to compute a low-rank layer. They differ only in rounding. No torch needed.

With M tokens, W (o, i) frozen and rank r, in floating-point operations, forward and backward:

- branches: y = x W' + s (x A') B'. Three products forward, five backward:
  4 M i o + 6 M r (i + o).
- merged: y = x V' with V = W + s B A, computed in forward and again in backward. The gradient of
  x is g V, with no low-rank part: 4 M i o + 4 M r (i + o) + 4 r i o.

("Run LoRA Run", arXiv 2312.03415, lists these among others: forward paths 1 and 2, backward
paths of the same cost.) So `merged` is cheaper if M (i + o) > 2 i o, for every rank. The
additional memory traffic grows in the same way: as M (i + o) for `branches`, which adds two outputs
in both directions, and as i o for `merged`, which adds two weights twice.

This counts all products alike. If the hardware multiplies W as it is stored, in int8 or fp8, then
the products with W run at twice the speed of the others, and V would have to be quantized again in
each direction. There, `branches` is used for every shape.
"""

from relora_core.spec import Variant


def is_merged(
    variant: Variant, *, tokens: int, d_in: int, d_out: int, dropout: float, as_stored: bool
) -> bool:
    """Return whether a layer is computed as `merged`, for this many tokens at once.

    `as_stored` says whether the device multiplies W as it is stored. The choice depends only on
    the spec, the shapes and the device, not on a measurement, so that a resumed run rounds as
    before. With dropout it is never `merged`, because dropout acts on the low-rank branch alone.
    """
    if dropout or variant == "branches":
        return False
    if variant == "merged":
        return True
    return not as_stored and tokens * (d_in + d_out) > 2 * d_in * d_out
