"""What the README says to paste is pasted, against the real service on a free port."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from safetensors import safe_open

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def block(language: str, holding: str) -> str:
    """The README's one example in this language with this text in it."""
    found = [b for b in re.findall(rf"```{language}\n(.*?)```", README, re.S) if holding in b]
    assert len(found) == 1, f"{len(found)} examples hold {holding!r}"
    return str(found[0])


def shortened(text: str) -> str:
    """The same run with a tenth of the steps."""
    text, count = re.subn(
        r'("steps"|"warm_start_steps"|"reset_every"|"every"): (\d+)0', r"\1: \2", text
    )
    assert count == 5
    return text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Stands for a clone after `make demo`: the same names, but what is made is thrown away."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    """The address of `relora up`, which must also end cleanly."""
    data_dir = folder / "data"
    command = [f"{sys.prefix}/bin/relora", "up", "--port", "0", "--data-dir", str(data_dir)]
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    address = data_dir / "url"
    try:
        deadline = time.monotonic() + 90
        while not address.exists():
            assert process.poll() is None, (folder / "up.log").read_text()
            assert time.monotonic() < deadline, "relora up is not up"
            time.sleep(0.1)
        yield address.read_text().strip()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(150) == 0


def run(script: str, folder: Path) -> str:
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_commands_of_the_readme_do_what_it_says(folder: Path, url: str) -> None:
    at = "http://127.0.0.1:8000"
    submit = shortened(block("sh", "cat > spec.json")).replace(at, url)
    blocks = [submit, block("sh", "/progress"), block("sh", "model.safetensors")]
    printed = run("".join(blocks), folder)
    assert "event: train.merge" in printed
    assert "event: job.succeeded" in printed
    with safe_open(folder / "model.safetensors", "np") as model:
        assert "model.embed_tokens.weight" in model.keys()  # noqa: SIM118 - it is no mapping

    [job] = httpx.get(f"{url}/v1/jobs").json()["items"]
    assert (job["name"], job["status"]) == ("my-first", "succeeded")
    command_line = block("sh", "relora jobs submit")
    told = run(f"export RELORA_URL={url} JOB={job['id']}\n{command_line}", folder)
    assert "succeeded" in told
    run(f".venv/bin/python - <<'EOF'\n{block('python', 'from_pretrained')}EOF", folder)

    run(submit + block("sh", "/cancel"), folder)
    cancelled, *_ = httpx.get(f"{url}/v1/jobs").json()["items"]
    assert cancelled["status"] == "cancelled" or cancelled["requested_action"] == "cancel"


def test_the_trainer_alone_does_what_the_readme_says(folder: Path) -> None:
    spec, _, _ = shortened(block("sh", "cat > spec.json")).partition("URL=")
    run(spec, folder)
    run(f"export HOME={folder}\n{block('sh', 'relora_core train')}", folder)
    assert (folder / "runs/my-first/final/model.safetensors").exists()
    assert "train.finished" in (folder / "runs/my-first/events.jsonl").read_text()
