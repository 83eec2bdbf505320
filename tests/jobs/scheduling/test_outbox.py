"""Messages to the workers are kept until they are sent."""

from jobs.scheduling.outbox import Outbox
from jobs.schemas.job import Job, JobSpec
from jobs.store.jobs import JobStore


def test_a_sent_message_leaves_the_outbox(
    store: JobStore, outbox: Outbox, job: Job, spec: JobSpec
) -> None:
    second = store.create(spec)
    assert [entry.job_id for entry in outbox.unsent()] == [job.id, second.id]
    assert len(outbox.unsent(limit=1)) == 1
    outbox.mark_sent(outbox.unsent()[0].id)
    assert [entry.job_id for entry in outbox.unsent()] == [second.id]


def test_the_number_of_a_sent_message_is_not_given_again(
    store: JobStore, outbox: Outbox, job: Job, spec: JobSpec
) -> None:
    (first,) = outbox.unsent()
    outbox.mark_sent(first.id)
    store.create(spec)
    assert outbox.unsent()[0].id != first.id
    assert job.id == first.job_id


def test_the_bell_is_rung_again_for_jobs_that_wait_long(
    store: JobStore, outbox: Outbox, job: Job, running: Job, spec: JobSpec
) -> None:
    assert job.id == running.id  # a worker holds it, so it needs no message
    waiting = store.create(spec)
    assert outbox.resend(older_than_seconds=-1) == 0  # its message is still in the outbox
    for entry in outbox.unsent():
        outbox.mark_sent(entry.id)
    assert outbox.resend(older_than_seconds=60) == 0
    assert outbox.resend(older_than_seconds=-1) == 1
    assert [entry.job_id for entry in outbox.unsent()] == [waiting.id]
