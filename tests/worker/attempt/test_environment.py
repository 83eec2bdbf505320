"""The environment variables of the processes of a job."""

from pathlib import Path

import pytest

from jobs.schemas.secret_names import HUB_TOKEN
from jobs.settings import Settings
from worker.attempt.environment import child_environment

OF_THE_OPERATOR = (
    *("RELORA_DATABASE_URL", "RELORA_SECRET_KEYS", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    *("AWS_SHARED_CREDENTIALS_FILE", "HF_TOKEN", "HF_TOKEN_PATH", "HF_HOME", "HF_HUB_CACHE"),
    *("HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY", "MLFLOW_TRACKING_TOKEN", "XDG_CACHE_HOME"),
    *("NETRC", "PGPASSWORD", "WHAT_NOBODY_HAS_THOUGHT_OF"),
)


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in OF_THE_OPERATOR:
        monkeypatch.setenv(name, "of-the-operator")
    return monkeypatch


@pytest.mark.usefixtures("operator")
def test_no_credential_of_the_worker_is_inherited(settings: Settings) -> None:
    environment = child_environment(settings, project="speech")
    assert "of-the-operator" not in environment.values()


def test_what_the_machine_needs_is_inherited(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {
        "CUDA_VISIBLE_DEVICES": "0,1",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "NCCL_DEBUG": "INFO",
        "HF_ENDPOINT": "https://mirror.example",
        "HTTPS_PROXY": "http://proxy:3128",
        "SSL_CERT_FILE": "/etc/certificates.pem",
        "LC_ALL": "C.UTF-8",
    }
    for name, value in needed.items():
        monkeypatch.setenv(name, value)
    assert needed.items() <= child_environment(settings, project="speech").items()


def test_a_project_has_a_home_of_its_own(settings: Settings) -> None:
    homes = [child_environment(settings, project=name)["HOME"] for name in ("speech", "vision")]
    assert homes == [str(settings.cache_dir / name / "home") for name in ("speech", "vision")]
    assert all(Path(home).is_dir() for home in homes)


def test_a_project_runs_no_code_that_another_compiled(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/of-all-projects")
    compiled = child_environment(settings, project="speech")["TORCHINDUCTOR_CACHE_DIR"]
    assert Path(compiled).is_relative_to(settings.cache_of("speech"))


@pytest.mark.usefixtures("operator")
def test_the_workers_hub_token_is_shared_if_the_operator_says_so_and_a_jobs_own_wins(
    settings: Settings,
) -> None:
    shared = settings.model_copy(update={"share_hf_token": True})
    own = {HUB_TOKEN: "of-the-job"}
    assert child_environment(shared, project="p")[HUB_TOKEN] == "of-the-operator"
    assert child_environment(shared, project="p", secrets=own)[HUB_TOKEN] == "of-the-job"
    assert child_environment(settings, project="p", secrets=own)[HUB_TOKEN] == "of-the-job"


def test_processes_share_the_cores_unless_the_operator_says_otherwise(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def threads() -> str:
        return child_environment(settings, project="p", num_processes=10_000)["OMP_NUM_THREADS"]

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads() == "1"
    settings = settings.model_copy(update={"cpu_cores": 20_000})  # what its container requests
    assert threads() == "2"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert threads() == "3"
