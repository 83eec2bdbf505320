"""The device of a rank."""

import torch

from relora_core.errors import DeviceError


def device_of_rank(local_rank: int) -> torch.device:
    """Return the GPU of this number on this machine, or the CPU of a machine without GPUs.

    Raise `DeviceError` if there is a GPU that torch cannot use, for example because the driver is
    too old. Without this error, the run would train on the CPU, and nobody would notice.
    """
    if torch.cuda.is_available():
        return torch.device("cuda", local_rank)
    if torch.version.cuda is not None and (count := visible_gpus()):
        raise DeviceError(
            f"the driver lists {count} NVIDIA GPUs, but torch {torch.__version__} cannot use them: "
            f"{_reason()}. Install a driver for CUDA {torch.version.cuda} or a torch for the CUDA "
            "of the driver (docs/install.md). To train on the CPU, set CUDA_VISIBLE_DEVICES to "
            "nothing"
        )
    return torch.device("cpu")


def visible_gpus() -> int:
    """Return the number of NVIDIA GPUs that the driver lists and the environment does not hide."""
    return max(0, torch.cuda._device_count_nvml())


def _reason() -> str:
    try:
        torch.cuda.init()
    except RuntimeError as error:
        return str(error).strip()
    return "it gives no reason"
