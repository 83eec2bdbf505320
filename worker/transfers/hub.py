"""The upload of a finished run's merged model to the Hugging Face Hub, if its spec asks for it.

At this point the job has succeeded, because its model is in the storage. An error here is therefore
only a warning.
"""

import logging
import os
import time
from collections.abc import Iterator

from huggingface_hub import HfApi, get_session
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils.tqdm import disable_progress_bars

from jobs.backoff import Backoff
from jobs.schemas.job import HubRepo
from jobs.schemas.secret_names import HUB_TOKEN
from relora_core.counted import counted
from relora_core.errors.failures import summary
from relora_core.workdir.files import FINAL
from worker.attempt.attempt import Attempt

logger = logging.getLogger(__name__)

MAX_TRIES = 4
BACKOFF = Backoff(first=5.0, longest=120.0, factor=5.0)
POLL_SECONDS = 0.5
ANSWER_SECONDS = 60.0


def publish(attempt: Attempt) -> None:
    """Push the model to the Hub. Store an event with its URL, or a warning with the reason."""
    hub = attempt.job.spec.hub
    if hub is None:
        return
    for tried in range(1, MAX_TRIES + 1):
        try:
            url = _push(attempt, hub)
        except Exception as error:  # no error of the Hub may fail a job that has succeeded
            failure = error
            reasons = attempt.secrets.masked("; ".join(map(str, _reasons(error))))
            logger.warning("job %s: not published: %s", attempt.job.id, reasons)
        else:
            attempt.published(hub.repo, url)
            return
        is_last = tried == MAX_TRIES or _is_final(failure)
        if is_last or not _wait(attempt, BACKOFF.wait(tried)):
            break
    reasons = "; ".join(map(summary, _reasons(failure)))
    attempt.warn("not_published", f"the model is not on the Hub, in {hub.repo}: {reasons}")


def _push(attempt: Attempt, hub: HubRepo) -> str:
    disable_progress_bars()
    token = attempt.secrets.environment[HUB_TOKEN]
    get_session().timeout = ANSWER_SECONDS  # the default is to wait for ever
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"), token=token)
    api.create_repo(hub.repo, private=hub.private, exist_ok=True)
    commit = api.upload_folder(
        repo_id=hub.repo,
        folder_path=attempt.workdir.root / FINAL,
        commit_message=f"{attempt.job.name}, after {counted(attempt.job.spec.total_steps, 'step')}",
        commit_description=f"relora job {attempt.job.id}",
    )
    return str(commit.commit_url)


def _is_final(error: Exception) -> bool:
    """Return whether a retry is useless, for example if the token may not write."""
    return any(
        isinstance(reason, HfHubHTTPError)
        and reason.response.status_code in range(400, 500)
        and reason.response.status_code not in {408, 409, 412, 429}
        for reason in _reasons(error)
    )


def _reasons(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _wait(attempt: Attempt, seconds: float) -> bool:
    """Wait. Return False if the attempt must stop before the time is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        attempt.lease.check()
        if attempt.stop_requested():
            return False
        time.sleep(min(POLL_SECONDS, seconds))
    return True
