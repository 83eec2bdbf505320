"""The optional library that quantizes."""

import logging

from relora_core.errors import ModelError


def require_bitsandbytes(setting: str, *, instead: str) -> None:
    """Load it. Raises `ModelError` if it is not there; `setting` needs it, `instead` does not."""
    # On the CPU it looks for a kernel of inference, and warns where `kernels` is not installed.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    try:
        import bitsandbytes  # noqa: F401 # registers torch.ops.bitsandbytes
    except ImportError as error:
        raise ModelError(
            f"{setting} needs bitsandbytes, which is not installed here; "
            f"pip install -e '.[quantization]' in relora's folder, or take {instead}"
        ) from error
