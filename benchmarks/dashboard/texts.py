"""The second text of a small model, from the service as `relora up` runs it."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import ROOT
from jobs.schemas.status import JobStatus
from service.client import Client
from service.local.process import running

DEMO = ROOT / "examples" / "demo.yaml"
PROMPTS = ("In the beginning", "And the king said")
NEW_TOKENS = 40


def second_text_seconds(folder: Path, *, runs: int) -> Iterator[float]:
    """Train the model of the demo for a few steps. Yield the time of each text after the first."""
    with running(folder) as url, Client(url) as client:
        job = client.jobs.wait(client.jobs.create(_spec()).id)
        assert job.status is JobStatus.SUCCEEDED, job.error
        for number in range(runs + 1):
            began = time.perf_counter()
            asked = {"prompt": PROMPTS[number % 2], "max_new_tokens": NEW_TOKENS, "seed": number}
            done = client.jobs.generate(job.id, asked)
            assert done.result is not None, done.error
            if number > 0:
                yield time.perf_counter() - began


def _spec() -> dict[str, Any]:
    spec: dict[str, Any] = yaml.safe_load(DEMO.read_text())
    spec["data"]["train"]["uri"] = str(ROOT / spec["data"]["train"]["uri"])
    spec["method"] |= {"warm_start_steps": 10, "reset_every": 10}
    spec["training"] |= {"steps": 20}
    spec["schedule"] = {"warmup_steps": 5, "restart_warmup_steps": 5}
    spec["evaluation"] = {"every": None, "tokens": 1000}
    spec["checkpoint"] = {"every": 20, "keep_last": 1}
    return spec
