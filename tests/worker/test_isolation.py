"""A job finds nothing of another project on the same worker."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.backends import Backends
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.projects import NewProject
from jobs.schemas.status import JobStatus
from relora_core.events import DataPrepared
from tests.worker.attempts import LONG, attempt, attempt_in_background
from tests.worker.conftest import MakeSpec
from tests.worker.forked_trainer import ForkedLauncher
from tests.worker.processes import ranks, wait_until
from worker.launchers.launcher import Launcher
from worker.launchers.torchrun import Torchrun

pytestmark = pytest.mark.integration

PRIVATE = "zqxjkvbp wibblefrotz"  # words that no other text of these tests contains
PUBLIC = "in the beginning was the word"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Return the folder of a dataset on the Hub. Access to it depends on the job's token."""
    folder = tmp_path / "dataset"
    folder.mkdir()
    return folder


@pytest.fixture
def two_projects(backends: Backends) -> Backends:
    for name in ("attacker", "victim"):
        backends.projects.create(NewProject(name=name))
    return backends


def fill(dataset: Path, text: str) -> None:
    rows = (json.dumps({"text": f"{text} {number}"}) + "\n" for number in range(400))
    (dataset / "train.jsonl").write_text("".join(rows))


def run_job(backends: Backends, spec: JobSpec, *, project: str, launcher: Launcher) -> Job:
    job = backends.store.create(spec, project=project)
    return attempt(backends, job.id, launcher=launcher)


def left_by(backends: Backends, job: Job) -> str:
    """Return everything that the job leaves: its files, its events, its log and its error."""
    storage, texts = backends.storage_for(job), [job.model_dump_json()]
    for file in storage.list(""):
        texts += [chunk.decode("latin-1") for chunk in storage.read(file.key, 0, file.size)]
    texts += [event.model_dump_json() for event in backends.store.events(job.id)]
    return "\n".join(texts)


def has_private_words(text: str) -> bool:
    return any(part in text for word in PRIVATE.split() for part in (word, word[:5], word[-5:]))


@pytest.mark.slow
def test_data_that_one_project_could_read_is_not_reused_for_another(
    two_projects: Backends, make_spec: MakeSpec, dataset: Path
) -> None:
    backends = two_projects
    spec = make_spec(
        steps=2,
        checkpoint_every=2,
        data={
            "train": {"uri": f"hf://{dataset}"},
            "validation": {"fraction": 0.2},
            "sequence_length": 32,
        },
        tokenizer={"train": {"vocab_size": 400}},
        method={"name": "full"},
    )
    fill(dataset, PRIVATE)
    victims = run_job(backends, spec, project="victim", launcher=ForkedLauncher())
    fill(dataset, PUBLIC)
    attackers = run_job(backends, spec, project="attacker", launcher=ForkedLauncher())

    assert (victims.error, attackers.error) == (None, None)
    assert has_private_words(left_by(backends, victims))
    assert not has_private_words(left_by(backends, attackers))
    prepared = backends.store.events(attackers.id, types={"train.data"})
    assert [event.reused for event in prepared if isinstance(event, DataPrepared)][:1] == [False]


@pytest.mark.parametrize("name", ["json", "text", "csv", "arrow", "imagefolder"])
def test_a_file_format_in_place_of_a_dataset_reads_no_file_of_the_worker(
    two_projects: Backends,
    make_spec: MakeSpec,
    dataset: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    """This also holds for a job that was stored before the API refused such names."""
    fill(dataset, PRIVATE)
    monkeypatch.chdir(dataset)
    document = make_spec().model_dump(mode="json")
    document["data"]["train"]["uri"] = f"hf://{name}"

    accepted = JobSpec.accepted(document)
    job = run_job(two_projects, accepted, project="attacker", launcher=Torchrun())

    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error.code == "location_refused"
    assert not has_private_words(left_by(two_projects, job))


def test_the_trainer_reads_no_file_of_its_folder_for_a_file_format(
    make_spec: MakeSpec, dataset: Path, tmp_path: Path
) -> None:
    fill(dataset, PRIVATE)
    document = make_spec().train.model_dump(mode="json")
    document["data"]["train"]["uri"] = "hf://json"
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(document))

    trainer = subprocess.run(
        [sys.executable, "-m", "relora_core", "train", spec, "--workdir", tmp_path / "run"],
        cwd=dataset,
        capture_output=True,
        text=True,
        check=False,
    )

    assert trainer.returncode == 2
    assert "write hf://OWNER/NAME" in trainer.stdout
    assert not has_private_words(trainer.stdout + trainer.stderr)


def test_a_trainer_has_no_credential_of_the_worker_and_starts_in_an_empty_folder(
    two_projects: Backends, make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-the-service")
    two_projects.secrets.put("victim", "token", "of-the-job")
    spec = make_spec(steps=LONG, secrets={"HF_TOKEN": "token"})
    job = two_projects.store.create(spec, project="victim")
    with attempt_in_background(two_projects, job.id):
        wait_until(lambda: bool(ranks(two_projects.settings.data_dir)))
        (rank,) = ranks(two_projects.settings.data_dir)
        variables = Path(f"/proc/{rank}/environ").read_bytes()
        folder = Path(f"/proc/{rank}/cwd").readlink()
        inside = list(folder.iterdir())
        os.kill(rank, 9)
    assert b"of-the-service" not in variables
    assert b"HF_TOKEN=of-the-job" in variables
    assert b"PYTHONSAFEPATH=1" in variables
    assert (folder.name, inside) == ("empty", [])
