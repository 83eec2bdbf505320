"""What the README says to paste is pasted, against the real service on a free port."""

import re
import subprocess
from pathlib import Path

import httpx
import pytest
from safetensors import safe_open

from tests.e2e.conftest import ROOT, shortened

README = (ROOT / "README.md").read_text()

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def block(language: str, holding: str) -> str:
    """The README's one example in this language with this text in it."""
    found = [b for b in re.findall(rf"```{language}\n(.*?)```", README, re.S) if holding in b]
    assert len(found) == 1, f"{len(found)} examples hold {holding!r}"
    return str(found[0])


def run(script: str, folder: Path) -> str:
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_commands_of_the_readme_do_what_it_says(folder: Path, url: str) -> None:
    at = "http://127.0.0.1:8000"
    submit = shortened(block("sh", "cat > spec.json")).replace(at, url)
    cancel_a_queued_one = f"({submit}{block('sh', '/cancel')})\n"  # the worker is busy
    follow, fetch = block("sh", "/progress"), block("sh", "model.safetensors")
    printed = run(submit + cancel_a_queued_one + follow + fetch, folder)
    assert "event: train.merge" in printed
    assert "event: job.succeeded" in printed
    with safe_open(folder / "model.safetensors", "np") as model:
        assert "model.embed_tokens.weight" in model.keys()  # noqa: SIM118 - it is no mapping

    cancelled, job = (
        job for job in httpx.get(f"{url}/v1/jobs").json()["items"] if job["name"] == "my-first"
    )
    assert (cancelled["status"], job["status"]) == ("cancelled", "succeeded")
    command_line = block("sh", "relora jobs submit")
    told = run(f"export RELORA_URL={url} JOB={job['id']}\n{command_line}", folder)
    assert "succeeded" in told
    run(f".venv/bin/python - <<'EOF'\n{block('python', 'from_pretrained')}EOF", folder)


def test_the_trainer_alone_does_what_the_readme_says(folder: Path) -> None:
    spec, _, _ = shortened(block("sh", "cat > spec.json")).partition("URL=")
    run(spec, folder)
    run(f"export HOME={folder}\n{block('sh', 'relora_core train')}", folder)
    assert (folder / "runs/my-first/final/model.safetensors").exists()
    assert "train.finished" in (folder / "runs/my-first/events.jsonl").read_text()
