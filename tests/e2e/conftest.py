"""The whole service on a free port, and what people paste against it, for short runs."""

import gzip
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = Path("examples", "data", "kjv.jsonl.gz")
START_SECONDS = 240  # on a busy machine


def shortened(text: str) -> str:
    """Return the text with runs of a fiftieth of the steps, and a quarter of each batch."""

    def fiftieth(found: re.Match[str]) -> str:
        return f"{found[1]}: {2 * int(found[2])}"

    text, count = re.subn(
        r'("steps"|"warm_start_steps"|"reset_every"|"every"): (\d+)00', fiftieth, text
    )
    assert count == 0 or '"global_batch_size": 16' in text
    return text.replace('"global_batch_size": 16', '"global_batch_size": 4')


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that stands for a clone after `make demo`. Its text is short."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / TEXT).parent.mkdir(parents=True)
    with gzip.open(ROOT / TEXT, "rt") as whole, gzip.open(tmp_path / TEXT, "wt") as short:
        short.writelines(islice(whole, 100))
    return tmp_path


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory, s3_endpoint: str) -> Iterator[str]:
    """Return the address of `relora up`, which must also end cleanly."""
    folder = tmp_path_factory.mktemp("relora")
    log, address = folder / "up.log", folder / "data" / "url"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [f"{sys.prefix}/bin/relora", "up", "--port", "0", "--data-dir", address.parent],
            env=os.environ | {"AWS_ENDPOINT_URL": s3_endpoint, "AWS_REGION": "us-east-1"},
            stdout=output,
            stderr=output,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not address.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "relora up is not up"
            time.sleep(0.1)
        yield address.read_text().strip()
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(150) == 0
