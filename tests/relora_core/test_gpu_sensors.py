"""What is read of a GPU, through a module like that of nvidia-ml-py."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from relora_core import gpu_sensors
from relora_core.gpu_sensors import NOTHING_READ, GpuReadings, read_by, read_gpu

UUID = "GPU-aaaa-1"


class NVMLError(Exception):
    pass


def nvml(**changes: Any) -> SimpleNamespace:
    """A module that knows one GPU; keywords replace its functions."""

    def handle(uuid: str) -> str:
        if uuid != UUID:
            raise NVMLError("not found")
        return "the handle"

    def of_it(value: Any) -> Any:
        def read(gpu: str, *_: Any) -> Any:
            assert gpu == "the handle"
            return value

        return read

    functions = {
        "nvmlDeviceGetHandleByUUID": handle,
        "nvmlDeviceGetUtilizationRates": of_it(SimpleNamespace(gpu=87, memory=40)),
        "nvmlDeviceGetTemperature": of_it(61),
        "nvmlDeviceGetPowerUsage": of_it(612_500),
        "nvmlDeviceGetMemoryInfo": of_it(SimpleNamespace(used=7 << 30, total=80 << 30)),
    }
    return SimpleNamespace(NVMLError=NVMLError, NVML_TEMPERATURE_GPU=0, **{**functions, **changes})


def unsupported(*_: Any) -> Any:
    raise NVMLError("not supported")


def test_readings_have_the_units_of_their_names() -> None:
    assert read_by(nvml(), UUID) == GpuReadings(
        utilization=0.87,
        temperature_celsius=61.0,
        power_watts=612.5,
        memory_used_bytes=7 << 30,
    )


def test_a_sensor_that_a_gpu_lacks_is_none_and_the_others_are_read() -> None:
    readings = read_by(nvml(nvmlDeviceGetPowerUsage=unsupported), UUID)
    assert readings.power_watts is None
    assert readings.temperature_celsius == 61.0


def test_of_a_gpu_that_the_driver_does_not_know_nothing_is_read() -> None:
    assert read_by(nvml(), "GPU-other") == NOTHING_READ


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(None, id="without the package"),
        pytest.param(nvml(nvmlInit=unsupported), id="without the driver"),
    ],
)
def test_without_package_or_driver_nothing_is_read_and_nothing_fails(
    module: SimpleNamespace | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", module)
    gpu_sensors._nvml.cache_clear()
    try:
        assert read_gpu(UUID) == NOTHING_READ
    finally:
        gpu_sensors._nvml.cache_clear()
