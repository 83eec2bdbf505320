"""The programs of examples/, each against the whole service on a free port, in fewer steps."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from jobs.webhooks.signature import signed_headers, signing_keys
from tests.e2e.conftest import ROOT, shortened
from tests.fixtures.servers import free_ports
from tests.service.receiver import SIGNING_SECRET

pytestmark = pytest.mark.e2e


@pytest.fixture
def examples(folder: Path) -> Path:
    """Return a folder with copies of the programs, which train for a fiftieth of the steps."""
    copies = folder / "examples"
    for file in (ROOT / "examples").glob("*.py"):
        (copies / file.name).write_text(shortened(file.read_text()))
    return copies


def run(program: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, program, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=program.parent.parent,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_model_is_trained_and_another_goes_on_from_it(
    examples: Path, url: str, tmp_path: Path
) -> None:
    """The first model stands for one of the Hub: both are a folder with a config and weights."""
    told = run(examples / "submit_and_follow.py", url)
    [model] = tmp_path.glob("models/*/final")
    assert f"from_pretrained('{model.relative_to(tmp_path)}')" in told
    assert (model / "model.safetensors").stat().st_size > 1_000_000
    told = run(examples / "warm_start.py", url, str(model))
    assert "succeeded" in told.splitlines()[-1]


@pytest.mark.slow
def test_three_methods_are_compared(examples: Path, url: str) -> None:
    lines = run(examples / "sweep.py", url).splitlines()
    rows = [line.split() for line in lines[lines.index("method  loss  perplexity  tokens/s") + 1 :]]
    assert [row[0] for row in rows] == ["full", "lora", "relora"]
    assert all(float(perplexity) > 1 for _, _, perplexity, _ in rows)


@pytest.mark.slow
def test_a_model_is_written_to_a_bucket(examples: Path, url: str, s3_url: str) -> None:
    told = run(examples / "s3_output.py", s3_url, url)
    assert f"{s3_url}/final/model.safetensors" in told


def test_a_receiver_of_webhooks_takes_what_is_signed_once(examples: Path) -> None:
    [port] = free_ports(1)
    process = subprocess.Popen(
        [sys.executable, examples / "webhook_receiver.py"],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "WEBHOOK_SECRET": SIGNING_SECRET,
            "PORT": str(port),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    body = b'{"project": "default", "job_id": "job_1", "event": {"id": 7, "type": "job.succeeded"}}'
    headers, forged = (
        signed_headers(body, keys, message_id="dlv_1", timestamp=int(time.time()))
        for keys in (signing_keys(SIGNING_SECRET), [b"another"])
    )
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", transport=httpx.HTTPTransport(retries=8)
        ) as http:
            statuses = [
                http.post("/", content=body, headers=some).status_code
                for some in (headers, headers, forged)
            ]
    finally:
        process.terminate()
        told = process.communicate(timeout=30)[0]
    assert statuses == [204, 204, 400]
    assert told.count("job_1 job.succeeded") == 1
