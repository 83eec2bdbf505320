"""The bytes of frozen weights and of their residuals."""

from typing import assert_never

from relora_core.lowrank.cycle import kept_directions
from relora_core.shapes import Linear
from relora_core.spec import FrozenDtype, LowRank, MethodSpec

_NF4_BLOCK = 64  # numbers of a row that share a scale; the last block of a row is padded
# the divisors of both sides of the matrices that a GPU multiplies in 8 bits
_FP8_ALIGNMENT = 16
_INT8_ALIGNMENT = 8


def frozen_dtype(method: MethodSpec) -> FrozenDtype:
    """Return the type of the method's frozen weights, or fp32 if it freezes none."""
    return method.frozen_dtype if isinstance(method, LowRank) else "fp32"


def stored_bytes(linear: Linear, dtype: FrozenDtype, *, as_stored: bool = False) -> int:
    """Return the bytes of W as stored, with its scales.

    If a GPU multiplies 8-bit codes as stored, a transposed copy of them is counted too.
    """
    match dtype:
        case "fp32":
            return 4 * linear.weights
        case "bf16":
            return 2 * linear.weights
        case "int8":
            return _coded_bytes(linear, _INT8_ALIGNMENT, transposed_copy=as_stored)
        case "fp8":
            return _coded_bytes(linear, _FP8_ALIGNMENT, transposed_copy=as_stored)
        case "nf4":
            blocks = linear.count * linear.d_out * -(-linear.d_in // _NF4_BLOCK)
            return blocks * (_NF4_BLOCK // 2 + 4)
        case _:
            assert_never(dtype)


def _coded_bytes(linear: Linear, divisor: int, *, transposed_copy: bool) -> int:
    rows, columns = (side + -side % divisor for side in (linear.d_out, linear.d_in))
    one = linear.d_out * (linear.d_in + 4) + (rows * columns if transposed_copy else 0)
    return linear.count * one


def residual_bytes(linear: Linear, dtype: FrozenDtype) -> int:
    """Return the bytes of the residual on the host, which the storage type cannot hold."""
    match dtype:
        case "fp32":
            return 0
        case "bf16":
            return 2 * linear.weights
        case "int8" | "nf4" | "fp8":
            return 4 * linear.weights
        case _:
            assert_never(dtype)


def directions_bytes(linear: Linear, *, rank: int, cycles: int) -> int:
    """Return the bytes of the directions of earlier cycles, fp32 on the host of the main rank."""
    rows = min(cycles * rank, kept_directions(rank, linear.d_in))
    return 4 * linear.count * rows * linear.d_in


def kept_for_backward_bytes(dtype: FrozenDtype, *, compute_bytes: int) -> int:
    """Return the bytes of the copy of each number of W in the compute type, or 0 without a copy."""
    match dtype:
        case "fp32":
            return 0 if compute_bytes == 4 else compute_bytes
        case "bf16":
            return 0 if compute_bytes == 2 else compute_bytes
        case "int8" | "nf4" | "fp8":
            return 0  # dequantized again in backward, or multiplied as it is stored
        case _:
            assert_never(dtype)
