"""What an attempt checks of the places in its spec before it reads or writes there.

The server has checked them too, but perhaps with other settings, or before it knew the rule.
"""

from functools import partial

from jobs.locations.ownership import claim_output, owner_of
from relora_core.errors import TrainError
from worker.attempt.attempt import Attempt


class LocationRefused(TrainError):
    """The spec names a place that is not the job's to use."""

    code = "location_refused"


def check_locations(attempt: Attempt) -> None:
    """Raises `LocationRefused`."""
    if problems := list(attempt.locations.problems(attempt.job.spec)):
        raise LocationRefused("\n".join(map(str, problems)))


def take_output(attempt: Attempt) -> None:
    """Make the place that the spec names the job's own.

    Raises `LocationRefused` if another job or somebody else has files there, `StorageRefused` if
    the job may not write there.
    """
    job = attempt.job
    if job.spec.output_uri is None:
        attempt.storage.ping()
        return
    wrote_before = partial(_wrote_before, attempt)
    if not claim_output(attempt.storage, job.id, wrote_before=wrote_before):
        owner = owner_of(attempt.storage)
        whose = f"is the place of job {owner}" if owner else "holds checkpoints or models already"
        raise LocationRefused(
            f"output.uri: {job.spec.output_uri!r} {whose}, which this job would replace; give it "
            "a place of its own"
        )


def _wrote_before(attempt: Attempt) -> bool:
    return bool(attempt.backends.store.artifacts(attempt.job.id))
