"""The GPUs of this worker: those that the driver lists and CUDA_VISIBLE_DEVICES selects.

They are read from nvidia-smi, because PyTorch would allocate memory on each GPU to list them.
"""

import logging
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from jobs.schemas.workers import Gpu
from relora_core.gpu_sensors import read_gpu

logger = logging.getLogger(__name__)

_LIST = ["nvidia-smi", "--query-gpu=uuid,name,memory.total", "--format=csv,noheader,nounits"]
_LIST_SLICES = ["nvidia-smi", "-L"]
_NO_GPUS = {6, 9, 12}  # exit codes of nvidia-smi: no device, no driver, no library of the driver
_SECONDS = 30
_MIB, _GIB = 1 << 20, 1 << 30


class GpusUnreadable(Exception):
    """The driver cannot list the GPUs. The message says what to do."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The GPUs of this machine cannot be listed: {what}. Repair the driver, or set "
            "CUDA_VISIBLE_DEVICES='' to train on the CPU."
        )


@dataclass(frozen=True)
class Device:
    """A GPU or a MIG slice of one, with the id that CUDA_VISIBLE_DEVICES may use for it."""

    uuid: str
    gpu: Gpu
    slices: tuple["Device", ...] = ()  # the MIG slices of this GPU


def gpus_here() -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES leaves visible, as CUDA enumerates them.

    Raise `GpusUnreadable` if the driver cannot list them. Numbers in CUDA_VISIBLE_DEVICES are those
    of nvidia-smi.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not _names(visible):
        return ()
    devices = _devices()
    if visible is not None:
        devices = _chosen(devices, _names(visible))
    return tuple(device.gpu for device in _enumerated(devices))


def measured(gpu: Gpu) -> Gpu:
    """Return a GPU with what its sensors read now, as far as nvidia-ml-py and the driver tell."""
    return gpu if gpu.uuid is None else gpu.model_copy(update=asdict(read_gpu(gpu.uuid)))


def _names(visible: str) -> list[str]:
    """Return the names up to the first one that is empty or negative, as CUDA does."""
    names = [name.strip() for name in visible.split(",")]
    end = next((n for n, name in enumerate(names) if not name or name.startswith("-")), len(names))
    return names[:end]


def _chosen(devices: Sequence[Device], names: Sequence[str]) -> list[Device]:
    """Return the named devices in order, up to the first name without a device."""
    chosen = []
    for name in names:
        device = _named(devices, name)
        if device is None:
            logger.warning("CUDA_VISIBLE_DEVICES names %r, which is no GPU here", name)
            break
        chosen.append(device)
    return chosen


def _named(devices: Sequence[Device], name: str) -> Device | None:
    if name.isdecimal():
        return devices[int(name)] if int(name) < len(devices) else None
    known = [one for device in devices for one in (device, *device.slices)]
    found = [one for one in known if one.uuid.startswith(name)]  # a prefix of an id is enough
    return found[0] if len(found) == 1 else None


def _enumerated(devices: Sequence[Device]) -> list[Device]:
    """Return the devices that CUDA gives to one process.

    That is at most one MIG slice, and never the whole of a GPU that has slices.
    """
    found: list[Device] = []
    for device in devices:
        one = device.slices[0] if device.slices else device
        if not (_is_slice(one) and any(map(_is_slice, found))):
            found.append(one)
    return found


def _is_slice(device: Device) -> bool:
    return device.uuid.startswith("MIG-")


def _devices() -> list[Device]:
    lines = _ask(_LIST)
    slices = _slices(_ask(_LIST_SLICES)) if lines else {}
    return [_device(line, slices) for line in lines]


def _device(line: str, slices: dict[str, list[tuple[str, str]]]) -> Device:
    parts = [part.strip() for part in line.split(",")]
    if len(parts) < 3 or not parts[0].startswith("GPU-"):
        raise GpusUnreadable(f"nvidia-smi says {line.strip()!r}")
    uuid, name, memory = parts[0], ", ".join(parts[1:-1]), parts[-1]
    return Device(
        uuid,
        Gpu(
            name=name,
            memory_bytes=int(memory) * _MIB if memory.isdecimal() else None,
            uuid=uuid,
        ),
        tuple(_slice(name, profile, slice_id) for profile, slice_id in slices.get(uuid, [])),
    )


def _slice(name: str, profile: str, uuid: str) -> Device:
    """Return a MIG slice. Its profile, such as 1g.5gb, contains its memory in GiB."""
    size = re.search(r"(\d+)gb", profile)
    memory = int(size[1]) * _GIB if size else None
    return Device(uuid, Gpu(name=f"{name} MIG {profile}", memory_bytes=memory, uuid=uuid))


def _slices(lines: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
    """Return the profiles and the ids of the MIG slices, by the id of their GPU."""
    found: dict[str, list[tuple[str, str]]] = {}
    gpu = ""
    for line in lines:
        if whole := re.match(r"GPU \d+: .*\(UUID: (\S+)\)", line):
            gpu = whole[1]
        elif part := re.match(r"\s+MIG (\S+).*\(UUID: (\S+)\)", line):
            found.setdefault(gpu, []).append((part[1], part[2]))
    return found


def _ask(command: Sequence[str]) -> list[str]:
    """Return the lines that a command prints, or none if there is no driver or no GPU."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS)
    except FileNotFoundError:
        return []
    except (OSError, subprocess.SubprocessError) as error:
        raise GpusUnreadable(str(error)) from error
    if answer.returncode in _NO_GPUS:
        logger.warning("nvidia-smi finds no GPU: %s", answer.stdout.strip())
        return []
    if answer.returncode:
        said = (answer.stdout + answer.stderr).strip() or f"exit code {answer.returncode}"
        raise GpusUnreadable(f"nvidia-smi says {said!r}")
    return answer.stdout.splitlines()
