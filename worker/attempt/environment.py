"""The environment of the processes that work for a job.

It is built from a list of allowed variables. A job must not see the rest of the worker's
environment, above all the credentials of the service and of its operator.
"""

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase

from huggingface_hub import get_token

from jobs.schemas.secret_names import HUB_TOKEN
from jobs.settings import Settings

# Variables of the worker that its child processes inherit. None of them is a credential, except
# that the URL of a proxy may contain one.
INHERITED = (
    *(
        "PATH",
        "LANG",
        "LC_*",
        "TZ",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "LD_PRELOAD",
        "CC",
        "CXX",
        "PYTHONPATH",
    ),
    *("CUDA_*", "CUBLAS_*", "CUDNN_*", "NVIDIA_*", "HIP_*", "HSA_*", "ROCR_*"),
    *("NCCL_*", "GLOO_*", "UCX_*", "FI_*"),
    *("OMP_*", "GOMP_*", "KMP_*", "MKL_*", "ONEDNN_*", "DNNL_*", "OPENBLAS_*", "RAYON_*"),
    *("ATEN_*", "TORCH*", "PYTORCH_*", "TRITON_*", "TOKENIZERS_PARALLELISM", "MALLOC_*"),
    *("HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_XET", "HF_HUB_*_TIMEOUT"),
    *("HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE", "WANDB_BASE_URL", "MLFLOW_HTTP_REQUEST_*"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)


def child_environment(
    settings: Settings,
    *,
    project: str,
    secrets: Mapping[str, str] | None = None,
    num_processes: int = 1,
) -> dict[str, str]:
    """Return the environment of a process for a job of `project`, with the job's `secrets`.

    The home folder and compiled code are in the project's cache, and so are the files that
    libraries keep in the home folder, such as downloads from the Hugging Face Hub. Unless the
    operator sets OMP_NUM_THREADS, the CPU cores are divided equally among the processes.
    """
    cache = settings.cache_of(project)
    home = cache / "home"
    home.mkdir(parents=True, exist_ok=True)
    inherited = {name: value for name, value in os.environ.items() if _is_inherited(name)}
    return {
        "OMP_NUM_THREADS": str(_cores_for_each(num_processes, settings.cpu_cores)),
        **inherited,
        "HOME": str(home),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),  # code that other runs then execute
        "PYTHONSAFEPATH": "1",  # no module comes from the current folder
        **(_workers_hub_token() if settings.share_hf_token else {}),
        **(secrets or {}),
    }


def _is_inherited(variable: str) -> bool:
    return any(fnmatchcase(variable, pattern) for pattern in INHERITED)


def _cores_for_each(num_processes: int, cores: int | None) -> int:
    return max(1, (cores or _cores_here() or 1) // num_processes)


def _cores_here() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _workers_hub_token() -> dict[str, str]:
    token = get_token()
    return {HUB_TOKEN: token} if token else {}
