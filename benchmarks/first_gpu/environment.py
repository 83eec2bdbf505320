"""What is there: torch and what it finds, the compiler, the units; whether the trainer loads."""

import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from benchmarks.first_gpu.part import PartFailed, Results, Setting


def look(setting: Setting) -> Results:
    import torch

    yield "torch", {"cuda": torch.version.cuda, "cuda_available": torch.cuda.is_available()}
    yield "compilers", {name: shutil.which(name) for name in ("gcc", "g++", "nvcc")}
    yield "python_headers", Path(sysconfig.get_path("include"), "Python.h").exists()
    yield "optional", {name: find_spec(name) is not None for name in ("bitsandbytes", "pynvml")}
    if setting.on_gpu:
        if not torch.cuda.is_available():
            raise PartFailed("the driver lists a GPU that torch cannot use")
        free, total = torch.cuda.mem_get_info()
        yield (
            "gpu",
            {
                "name": torch.cuda.get_device_name(),
                "capability": torch.cuda.get_device_capability(),
                "multiprocessors": torch.cuda.get_device_properties(0).multi_processor_count,
                "free_bytes": free,
                "total_bytes": total,
                "nccl": torch.cuda.nccl.version(),
                "cudnn": torch.backends.cudnn.version(),
            },
        )
    import transformers

    import relora_core.training.train  # noqa: F401 # whether it loads here is the question
    from relora_core.lowrank.frozen.codes import FP8, INT8
    from relora_core.models.compilation import missing_for_compiling

    device = torch.device(setting.device)
    yield "transformers", transformers.__version__
    yield "missing_for_compiling", missing_for_compiling(device)
    yield (
        "multiplies_as_stored",
        {
            each.numbers.name: each.numbers.has_fast_matmul(device, torch.bfloat16)
            for each in (FP8, INT8)
        },
    )
