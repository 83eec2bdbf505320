"""A job under concurrency: in any order of transactions, nothing is lost or duplicated.

Workers, a person and the process that expires leases act at the same time, each on its own
connection. Hypothesis chooses the order, statement by statement, on SQLite and on PostgreSQL.
"""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule
from hypothesis.stateful import run_state_machine_as_test as check
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from jobs.database.engine import open_engine
from jobs.database.tables.jobs import jobs
from jobs.errors import IllegalTransition, LeaseLost
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.status import FINAL, LEASED, TRANSITIONS, JobError, JobStatus, RequestedAction
from jobs.store.attempts import AttemptStore
from jobs.store.jobs import JobStore
from relora_core.events import Warned
from tests.jobs.interleaving import Operation, interleave

LOST = JobError(code="trainer_crashed", message="The trainer ended with signal 9.")
WORKERS = ("w1", "w2")
# The frequencies make most attempts concurrent, and give most jobs more than one attempt.
DEEDS = ("append",) * 12 + ("start", "start", "renew", "succeed", "fail", "leave", "die")
REQUESTS = ("nothing",) * 20 + ("pause", "cancel") + ("resume", "retry") * 4
TO_ITS_END = 40  # statements
STATUS_AFTER = {
    "job.queued": JobStatus.QUEUED,
    "job.retrying": JobStatus.QUEUED,
    "job.claimed": JobStatus.STARTING,
    "job.started": JobStatus.RUNNING,
    "job.paused": JobStatus.PAUSED,
    "job.succeeded": JobStatus.SUCCEEDED,
    "job.failed": JobStatus.FAILED,
    "job.cancelled": JobStatus.CANCELLED,
}

Held = tuple[str, int]  # a job and the number of an attempt
Done = Callable[[Any], object]


@dataclass(frozen=True)
class UnderWay:
    operation: Operation
    done: Done
    held: Held | None = None  # the attempt that writes


workers = st.sampled_from(WORKERS)
actors = st.sampled_from((*WORKERS, "person", "reaper"))
turns = st.sampled_from((1, 2, 3, TO_ITS_END, TO_ITS_END))  # statements in one turn


class Life(RuleBasedStateMachine):
    """A job, two workers, a person and the process that expires leases."""

    database_url: ClassVar[str]
    spec: ClassVar[JobSpec]

    def __init__(self) -> None:
        super().__init__()
        self.engine = open_engine(self.database_url)
        interleave(self.engine)
        self.store, self.attempts = JobStore(self.engine), AttemptStore(self.engine)
        self.job_id = self.store.create(self.spec).id
        self.under_way: dict[str, UnderWay] = {}
        self.held: dict[str, Held] = {}  # the attempts that the workers believe to hold
        self.claimed: set[Held] = set()
        self.started: set[Held] = set()
        self.lines: dict[Held, int] = {}  # the number of lines that the store has confirmed

    # --- workers, which may believe wrongly that they hold a job -----------------------------

    @rule(worker=workers, do=st.sampled_from(DEEDS), again=st.integers(0, 2), turns=turns)
    def a_worker_acts(self, worker: str, do: str, again: int, turns: int) -> None:
        held = self.held.get(worker)
        if held is None:
            self._claim(worker, turns, by_message=do == "append")
        elif do == "append":
            self._append(worker, held, again, turns)
        elif do == "start" and held not in self.started:
            start = partial(self.attempts.started, resumed_from=None)
            self._write(worker, start, turns, self.started.add)
        elif do == "succeed" and held in self.started:
            succeed = partial(self.attempts.finish, status=JobStatus.SUCCEEDED)
            self._end(worker, succeed, turns)
        elif do == "fail":
            self._end(worker, partial(self.attempts.retry, error=LOST), turns)
        elif do == "leave":
            self._end(worker, self.attempts.requeue, turns)
        elif do == "die":
            del self.held[worker]
        else:
            self._write(worker, partial(self.attempts.renew, lease_seconds=60), turns)

    def _claim(self, worker: str, turns: int, *, by_message: bool) -> None:
        """Claim the next job of the queue, or the job of a message, which may be a duplicate."""
        attempts = self.attempts
        claim = partial(attempts.claim, self.job_id) if by_message else attempts.claim_next
        claim = partial(claim, worker=worker, lease_seconds=60)
        self._begin(worker, claim, turns, partial(self._claimed, worker))

    def _append(self, worker: str, held: Held, again: int, turns: int) -> None:
        """Append two new lines, and the last `again` lines once more.

        A worker repeats lines if it got no answer to its last request.
        """
        stored = self.lines.get(held, 0)
        numbers = range(max(1, stored + 1 - again), stored + 3)
        lines = [(number, Warned(code="line", message=str(number))) for number in numbers]
        append = partial(self.attempts.append, lines=lines)
        self._write(worker, append, turns, lambda held: self.lines.update({held: stored + 2}))

    def _end(self, worker: str, end: Callable[..., object], turns: int) -> None:
        self._write(worker, end, turns, lambda _: self.held.pop(worker, None))

    # --- the person and the reaper -----------------------------------------------------------

    @rule(do=st.sampled_from(REQUESTS), turns=turns)
    def a_person_acts(self, do: str, turns: int) -> None:
        if do == "nothing":
            self.advance("person", turns)
        elif do in set(RequestedAction):
            self._begin(
                "person",
                partial(self.store.request_action, self.job_id, RequestedAction(do)),
                turns,
            )
        else:
            self._begin("person", partial(getattr(self.store, do), self.job_id), turns)

    @rule(lost=st.sampled_from((True, False, False, False)), turns=turns)
    def a_lost_job_is_collected(self, lost: bool, turns: int) -> None:  # noqa: FBT001 # drawn
        if not lost:
            self.advance("reaper", turns)
            return
        over = update(jobs).where(jobs.c.status.in_(LEASED)).values(lease_until=0.0)
        with suppress(OperationalError), self.engine.begin() as connection:  # its row is locked
            connection.execute(over)
        self._begin("reaper", self.attempts.expire_leases, turns)

    # --- the order of statements -------------------------------------------------------------

    @rule(actor=actors, turns=turns)
    def advance(self, actor: str, turns: int) -> None:
        for _ in range(turns):
            if actor in self.under_way:
                self.under_way[actor].operation.advance()
                self._settle(actor)

    # --- the checks at the end ---------------------------------------------------------------

    def teardown(self) -> None:
        """Stop the faults: check that the job ends and that its log is consistent."""
        while self.under_way:
            for actor in list(self.under_way):
                self.advance(actor, 1)
        with self.engine.begin() as connection:
            connection.execute(
                update(jobs).where(jobs.c.status.in_(LEASED)).values(lease_until=0.0)
            )
        self.attempts.expire_leases()
        if self.store.get(self.job_id).status is JobStatus.PAUSED:
            self.store.resume(self.job_id)
        if self.store.get(self.job_id).status is JobStatus.QUEUED:
            self._run_to_its_end(self.job_id)
        self._check_log(self.store.get(self.job_id))
        self.engine.dispose()

    def _run_to_its_end(self, job_id: str) -> None:
        job = self.attempts.claim(job_id, worker="w1", lease_seconds=60)
        assert job is not None
        self._claimed("w1", job)
        self.attempts.started(job_id, job.attempt, resumed_from=None)
        self.attempts.finish(job_id, job.attempt, JobStatus.SUCCEEDED)

    def _check_log(self, job: Job) -> None:
        events = self.store.events(job.id, limit=10_000)
        assert [event.id for event in events] == list(range(1, len(events) + 1))
        status, attempt = None, 0
        lines: Counter[tuple[int, str]] = Counter()
        for event in events:
            after = STATUS_AFTER.get(event.type)
            if after is not None:
                assert status is None or after in TRANSITIONS[status], (status, event)
                status, attempt = after, attempt + (after is JobStatus.STARTING)
            if isinstance(event, Warned):
                assert status in LEASED
                lines[attempt, event.message] += 1
            assert event.attempt == attempt
        assert status is job.status
        assert job.status in FINAL
        for (_, number), stored in self.lines.items():
            told = [line for (one, line), times in lines.items() if one == number]
            assert sorted(map(int, told)) == list(range(1, stored + 1))
        assert set(lines.values()) <= {1}
        assert {number for _, number in self.claimed} == set(range(1, attempt + 1))

    # --- steps of the rules ------------------------------------------------------------------

    def _begin(
        self,
        actor: str,
        work: Callable[[], object],
        turns: int,
        done: Done = lambda _: None,
        held: Held | None = None,
    ) -> None:
        """Start an operation of the actor, or go on with the one that it has not finished."""
        if actor not in self.under_way:
            self.under_way[actor] = UnderWay(Operation(work), done, held)
        self.advance(actor, turns)

    def _write(
        self,
        worker: str,
        write: Callable[..., object],
        turns: int,
        done: Callable[[Held], object] = lambda _: None,
    ) -> None:
        held = self.held.get(worker)
        if held is not None:
            self._begin(worker, partial(write, *held), turns, lambda _: done(held), held)

    def _settle(self, actor: str) -> None:
        one = self.under_way[actor]
        if not one.operation.done:
            return
        del self.under_way[actor]
        match one.operation.error:
            case None:
                one.done(one.operation.result)
            case IllegalTransition():
                pass
            case LeaseLost() if one.held is not None:
                self._check_lost(*one.held)
            case error:
                raise error

    def _claimed(self, worker: str, job: Job | None) -> None:
        if job is not None:
            assert (job.id, job.attempt) not in self.claimed
            self.claimed.add((job.id, job.attempt))
            self.held[worker] = (job.id, job.attempt)

    def _check_lost(self, job_id: str, attempt: int) -> None:
        """Check that a write was refused only because the attempt does not hold the job."""
        query = select(jobs.c.attempt, jobs.c.status).where(jobs.c.id == job_id)
        with self.engine.connect() as connection:
            row = connection.execute(query).one()
        assert row.attempt != attempt or row.status not in LEASED


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_no_interleaving_loses_or_doubles_anything_of_a_job(
    database_url: str, spec: JobSpec
) -> None:
    Life.database_url, Life.spec = database_url, spec
    check(
        Life,
        settings=settings(
            max_examples=25,
            phases=[Phase.generate],  # a failure is reproducible; shrinking it takes minutes
            stateful_step_count=60,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
