"""How many bytes a number takes: of a frozen weight and of its residual."""

from typing import assert_never

from relora_core.shapes import Linear
from relora_core.spec import FrozenDtype, LowRank, MethodSpec

_NF4_BLOCK = 64  # numbers of a row that share a scale; the last block of a row is filled up
# divide both sides of what a GPU's units multiply
_FP8_SIDE = 16
_INT8_SIDE = 8


def frozen_dtype(method: MethodSpec) -> FrozenDtype:
    """Of a method that freezes weights; the others have none to store."""
    return method.frozen_dtype if isinstance(method, LowRank) else "fp32"


def stored_bytes(linear: Linear, dtype: FrozenDtype, *, as_stored: bool = False) -> int:
    """W as stored, with its scales; where a GPU multiplies that, a second time, by columns."""
    match dtype:
        case "fp32":
            return 4 * linear.weights
        case "bf16":
            return 2 * linear.weights
        case "int8":
            return _coded_bytes(linear, _INT8_SIDE, by_columns=as_stored)
        case "fp8":
            return _coded_bytes(linear, _FP8_SIDE, by_columns=as_stored)
        case "nf4":
            blocks = linear.count * linear.d_out * -(-linear.d_in // _NF4_BLOCK)
            return blocks * (_NF4_BLOCK // 2 + 4)
        case _:
            assert_never(dtype)


def _coded_bytes(linear: Linear, divisor: int, *, by_columns: bool) -> int:
    rows, columns = (side + -side % divisor for side in (linear.d_out, linear.d_in))
    one = linear.d_out * (linear.d_in + 4) + (rows * columns if by_columns else 0)
    return linear.count * one


def residual_bytes(linear: Linear, dtype: FrozenDtype) -> int:
    """On the host: what the storage type cannot hold."""
    match dtype:
        case "fp32":
            return 0
        case "bf16":
            return 2 * linear.weights
        case "int8" | "nf4" | "fp8":
            return 4 * linear.weights
        case _:
            assert_never(dtype)


def kept_for_backward_bytes(dtype: FrozenDtype, *, compute_bytes: int) -> int:
    """Of each number of W: a copy in the type of the arithmetic, where it is stored in another."""
    match dtype:
        case "fp32":
            return 0 if compute_bytes == 4 else compute_bytes
        case "bf16":
            return 0 if compute_bytes == 2 else compute_bytes
        case "int8" | "nf4" | "fp8":
            return 0  # dequantized once more in backward, or multiplied as it is stored
        case _:
            assert_never(dtype)
