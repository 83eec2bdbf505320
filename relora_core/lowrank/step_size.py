"""The learning rate with which a step of A and B moves W as far as a step of full-rank Adam.

A step of Adam changes every entry it trains by about the learning rate, so full-rank Adam changes
the entries of W by lr. For W + s B A the change of W is s (ΔB A + B ΔA). Entry (i, j) of ΔB A is a
sum of r terms ΔB_ik A_kj. If their signs are independent, its root mean square (RMS) is
lr √r RMS(A), and that of B ΔA is lr √r RMS(B). The steps are equal if

    lr of the factors / lr = 1 / (s √(r (RMS(A)² + RMS(B)²)))

Both RMS are those of the draw at the start of a cycle. A Kaiming-uniform factor with n columns has
RMS² = 1 / (3 n); orthonormal rows of A have RMS² = 1 / d_in. With B = 0 the ratio is thus
√(3 d_in / r) / s, or √(d_in / r) / s for orthonormal A. It differs from layer to layer with d_in.
Where W is s B A alone, B is drawn too, and the ratio is √(3 / (1 + r / d_in)) / s.

The rule says where to begin a search for the rate, and not which rate is best: it compares the
sizes of steps, not their directions. Later in a cycle the growing B makes the steps of A count too.
"""

import math

from relora_core.lowrank.linear import FactoredLinear, LowRankUpdate


def ratio_of_equal_steps(layer: LowRankUpdate) -> float:
    """Return the learning rate of the layer's factors for equal steps, for one of 1 for W."""
    rank, d_in = layer.lora_a.shape
    squares = 1 / d_in if layer.orthonormal else 1 / (3 * d_in)  # RMS(A)² + RMS(B)²
    if isinstance(layer, FactoredLinear):
        squares += 1 / (3 * rank)
    return 1 / (layer.alpha_over_rank * math.sqrt(rank * squares))
