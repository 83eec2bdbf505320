"""Checks of the locations in the spec, before an attempt reads or writes there.

The server has checked them too, but perhaps with other settings, or with an older version that did
not have the rule.
"""

from functools import partial

from jobs.locations.ownership import claim_output, owner_of
from relora_core.errors import TrainError
from worker.attempt.attempt import Attempt


class LocationRefused(TrainError):
    """The spec names a location that the job may not use."""

    code = "location_refused"


def check_locations(attempt: Attempt) -> None:
    """Raise `LocationRefused` if the spec names a location that the job may not use."""
    if problems := list(attempt.locations.problems(attempt.job.spec)):
        raise LocationRefused("\n".join(map(str, problems)))


def take_output(attempt: Attempt) -> None:
    """Claim the output location of the spec for this job.

    Raise `LocationRefused` if another job or somebody else has files there, and `StorageRefused` if
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
