"""The jobs under faults. In the soak, most run the scripted trainer, some the real one."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from jobs.backends import Backends
from jobs.garbage.local_disk import NOT_UPLOADED
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.status import FINAL, JobStatus
from tests.faults.mixed_worker import SCRIPTED_FROM
from tests.worker.conftest import MakeSpec

STEPS, LOG_EVERY, SAVE_EVERY = 60, 5, 10
SHORT = 40  # steps, of the jobs that are disturbed once
REAL_SEED = 7
# A person mends the credentials and retries the job; everything else mends itself.
MENDED_BY_A_PERSON = {"storage_refused", NOT_UPLOADED}


def short_job(make_spec: MakeSpec, **parts: Any) -> JobSpec:
    """Return the spec of a job of the real trainer that draws no pictures, as they take seconds."""
    method = {"name": "relora", "rank": 4, "warm_start_steps": 10, "reset_every": 10}
    return _spec(make_spec, steps=SHORT, method=method, spectrum={"enabled": False}, **parts)


def _spec(
    make_spec: MakeSpec, *, steps: int = STEPS, seed: int = REAL_SEED, ranks: int = 1, **parts: Any
) -> JobSpec:
    training = {
        "steps": steps,
        "global_batch_size": 4,
        "precision": "fp32",
        "compile": False,
        "seed": seed,
        "log_every": LOG_EVERY,
    }
    return make_spec(
        training=training, checkpoint_every=SAVE_EVERY, resources={"gpus": ranks}, **parts
    )


@dataclass
class Jobs:
    backends: Backends
    make_spec: MakeSpec
    ids: list[str] = field(default_factory=list)
    mended: Counter[str] = field(default_factory=Counter)
    _newest_with_two_ranks: str | None = None

    def submit_scripted(self) -> None:
        self._submit(SCRIPTED_FROM + len(self.ids), stalled_after=5)

    def submit_real(self, *, ranks: int = 1, priority: int = 0) -> str:
        """Submit a job that ends with the same weights as each other one of as many ranks."""
        stalled_after = 60 * ranks  # they are silent while they start, on a busy machine long
        return self._submit(REAL_SEED, stalled_after=stalled_after, ranks=ranks, priority=priority)

    def have_two_ranks(self) -> None:
        """Submit a job with two ranks, the next one that a worker takes, unless one is on its way.

        Two ranks take long to start.
        """
        newest = self._newest_with_two_ranks
        if newest is None or self.backends.store.get(newest).status in FINAL:
            self._newest_with_two_ranks = self.submit_real(ranks=2, priority=100)

    def _submit(self, seed: int, *, stalled_after: float, ranks: int = 1, priority: int = 0) -> str:
        spec = _spec(
            self.make_spec,
            seed=seed,
            ranks=ranks,
            priority=priority,
            retries={"max_attempts": 100, "stalled_after": stalled_after},
        )
        self.ids.append(self.backends.store.create(spec).id)
        return self.ids[-1]

    def all(self) -> list[Job]:
        return [self.backends.store.get(job_id) for job_id in self.ids]

    def queued(self) -> int:
        return self._counts()[JobStatus.QUEUED]

    def are_over(self) -> bool:
        return not any(count for status, count in self._counts().items() if status not in FINAL)

    def mend(self) -> None:
        """Retry what a person has to retry."""
        if not self._counts()[JobStatus.FAILED]:
            return
        for job in self.all():
            code = job.error.code if job.error else None
            if job.status is JobStatus.FAILED and code in MENDED_BY_A_PERSON:
                self.backends.store.retry(job.id)
                self.mended[code] += 1

    def _counts(self) -> dict[JobStatus, int]:
        return self.backends.waiting.counts(project="default")
