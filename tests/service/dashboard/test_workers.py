"""Workers and the queue, in a browser."""

from datetime import UTC, datetime
from typing import Any

from jobs.backends import Backends
from jobs.schemas.workers import Gpu, Registration
from tests.service.dashboard.conftest import Pages
from tests.service.dashboard.looks import look
from tests.service.dashboard.scene import WORKER, spec_of


def test_what_runs_where_and_who_waits_why(
    pages: Pages,
    backends: Backends,
    document: dict[str, Any],
) -> None:
    gpus = (Gpu(name="NVIDIA H100 80GB HBM3", memory_bytes=85 << 30),) * 4
    worker = Registration(
        name=WORKER,
        host="node-1",
        version="0.2.0",
        gpus=gpus,
        gpu_class="h100",
        started_at=datetime.now(UTC),
    )
    backends.workers.beat(worker)
    running = backends.store.create(spec_of("running", document))
    assert backends.attempts.claim(running.id, worker=WORKER, lease_seconds=3600, gpus=4)
    backends.store.create(spec_of("waiting", document))
    backends.store.create(spec_of("large", document, resources={"gpus": 10}))
    with pages.open("/workers") as page:
        page.wait_for_selector(f"text={running.id}")
        assert page.locator(".gpus.busy.ours i").count() == 4
        assert "class h100" in page.locator("table").first.inner_text()
        queue = page.locator("table").nth(1).inner_text()
        assert "For the next worker that is free" in queue
        assert "10 GPUs" in queue
        look(page, "workers")
