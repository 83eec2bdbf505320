"""Whether torch.compile can be used."""

import os
import shutil

import torch

from relora_core.spec import TrainingSpec


def compiles(spec: TrainingSpec, device: torch.device) -> bool:
    """Whether a run of this spec compiles its model on this device."""
    return spec.compile and compiler_found(device)


def compiler_found(device: torch.device) -> bool:
    """Whether torch.compile can build its kernels: it needs a C++ (CPU) or C (GPU) compiler."""
    if device.type == "cpu":
        candidates = [os.environ.get("CXX", "g++"), "clang++"]
    else:
        candidates = [os.environ.get("CC", "gcc"), "clang"]
    return any(shutil.which(candidate) for candidate in candidates)
