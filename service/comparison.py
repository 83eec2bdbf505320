"""Any jobs side by side, in the words in which a sweep reports its own."""

from jobs.sweeps.models import SweepJob
from relora_core.events import TrainFinished
from service.client import Client


def compared(client: Client, job_id: str) -> SweepJob:
    job = client.jobs.get(job_id)
    ends = list(client.jobs.events(job_id, types=["train.finished"]))
    peaks = [end.peak_memory_bytes for end in ends if isinstance(end, TrainFinished)]
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
        tokens_per_second=now.tokens_per_second,
        peak_memory_bytes=peaks[-1] if peaks else None,
        error=job.error,
    )
