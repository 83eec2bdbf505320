"""A comparison of any jobs, in the same form as the jobs of a sweep."""

from jobs.schemas.sweeps import SweepJob
from service.client import Client


def compared(client: Client, job_id: str) -> SweepJob:
    job = client.jobs.get(job_id)
    now = job.progress
    return SweepJob(
        job_id=job.id,
        name=job.name,
        changes={"method": job.spec.method.name},
        status=job.status,
        step=now.step,
        total_steps=now.total_steps,
        loss=now.loss,
        validation_perplexity=now.validation_perplexity,
        validation_accuracy=now.validation_accuracy,
        validation_step=now.validation_step,
        tokens_per_second=now.tokens_per_second,
        peak_memory_bytes=now.peak_memory_bytes,
        error=job.error,
    )
