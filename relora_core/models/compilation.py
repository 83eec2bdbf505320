"""Find out whether torch.compile can be used."""

import os
import shutil

import torch

from relora_core.spec import TrainingSpec


def compiles(spec: TrainingSpec, device: torch.device) -> bool:
    """Return whether a run of this spec compiles its model on this device."""
    return spec.compile and compiler_found(device)


def compiler_found(device: torch.device) -> bool:
    """Return whether torch.compile finds the compiler it needs: C++ for a CPU, C for a GPU."""
    if device.type == "cpu":
        candidates = [os.environ.get("CXX", "g++"), "clang++"]
    else:
        candidates = [os.environ.get("CC", "gcc"), "clang"]
    return any(shutil.which(candidate) for candidate in candidates)
