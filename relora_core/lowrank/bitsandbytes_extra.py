"""Load bitsandbytes, an optional library for quantization."""

import logging

from relora_core.errors import ModelError


def require_bitsandbytes(setting: str, *, instead: str) -> None:
    """Import bitsandbytes. Raise `ModelError` if it is not installed.

    The message says that `setting` needs it and that `instead` works without it.
    """
    # On the CPU it looks for an inference kernel, and warns if `kernels` is not installed.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    try:
        import bitsandbytes  # noqa: F401 # registers torch.ops.bitsandbytes
    except ImportError as error:
        raise ModelError(
            f"{setting} needs bitsandbytes, which is not installed here; "
            f"pip install -e '.[quantization]' in relora's folder, or take {instead}"
        ) from error
