"""Find out whether torch.compile can be used."""

import os
import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path

import torch

from relora_core.spec import TrainingSpec

_LEAST_CAPABILITY = (7, 0)  # of a GPU, for Triton


def compiles(spec: TrainingSpec, device: torch.device) -> bool:
    """Return whether a run of this spec compiles its model on this device."""
    return spec.compile and missing_for_compiling(device) is None


def missing_for_compiling(device: torch.device) -> str | None:
    """Return what torch.compile lacks on this device, and how to get it. None: nothing."""
    if device.type == "cpu":
        if not _found(os.environ.get("CXX", "g++"), "clang++"):
            return "a C++ compiler (apt-get install g++)"
    else:
        if find_spec("triton") is None:
            return "Triton (pip install triton)"
        capability = torch.cuda.get_device_capability(device)
        if capability < _LEAST_CAPABILITY:
            return "a GPU of compute capability 7.0 or newer; this one has {}.{}".format(
                *capability
            )
        if not _found(os.environ.get("CC", "gcc"), "clang"):
            return "a C compiler (apt-get install gcc)"
    # the compiled launchers of kernels are modules of Python
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        return "the headers of Python (apt-get install python3-dev)"
    return None


def _found(*compilers: str) -> bool:
    return any(shutil.which(compiler) for compiler in compilers)
