"""The requests of people, which reach the trainer as files of its workdir."""

from relora_core.files import publish_file
from worker.attempt.attempt import Attempt


class RequestFiles:
    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt
        self._profiled = 0  # the last request for a profile that was passed on

    def write(self) -> None:
        """Write the file of each request that is new."""
        workdir = self._attempt.workdir
        if self._attempt.stop_requested():
            workdir.stop.touch()
        profile = self._attempt.lease.requested_profile
        if profile is not None and profile.event > self._profiled:
            publish_file(workdir.profile, str(profile.steps).encode())
            self._profiled = profile.event
