"""The admission check: whether this service can run a valid spec.

It checks the locations, the names of secrets, datasets, jobs and webhooks, the model and the files.
"""

from collections.abc import Iterator

from jobs.backends import Backends
from jobs.errors import JobNotFound, SecretNotFound
from jobs.inputs import uploads_of
from jobs.locations.rules import Locations
from jobs.schemas.datasets import DatasetStatus
from jobs.schemas.job import JobSpec
from jobs.schemas.job_uris import parse, uris_of
from jobs.schemas.webhooks import WebhookSpec
from jobs.store.artifacts import ArtifactSelection
from jobs.trainable import file_problems, model_problems
from jobs.webhooks.signature import InvalidSigningSecret, signing_keys
from relora_core.data.epochs import PlannedSource, Size, planned_sources
from relora_core.spec.error_messages import FieldError

UNKNOWN_NAME = "the project has no secret of this name; store it under this name first"


def problems_of(
    spec: JobSpec, backends: Backends, *, project: str, locations: Locations | None = None
) -> list[FieldError]:
    """Return why this service cannot run a valid spec: a problem for each field to change.

    The list is empty if it can. `locations` are the access rules of this process; by default they
    come from its settings.
    """
    locations = locations or Locations.of(backends.settings)
    of_places = list(locations.problems(spec))
    refused = {problem.path for problem in of_places}  # do not reveal what files are there
    return [
        *of_places,
        *(problem for problem in file_problems(spec) if problem.path not in refused),
        *model_problems(spec),
        *priority_problems(spec.priority, backends),
        *_unknown_secrets(spec, backends, project),
        *_unusable_datasets(spec, backends, project),
        *_refused_webhooks(spec, backends, project),
        *_unknown_jobs(spec, backends, project),
    ]


def planned_sources_of(spec: JobSpec, backends: Backends, *, project: str) -> list[PlannedSource]:
    """Estimate what a job would read of each source (see `planned_sources`).

    The service must be able to run the job.
    """
    ids = {dataset_id for _, dataset_id in uploads_of(spec)}
    found = backends.datasets.find(project, ids)
    return planned_sources(spec, {one.uri: Size(one.filename, one.size) for one in found})


def priority_problems(priority: int, backends: Backends) -> list[FieldError]:
    """Return why no job may have this priority in this service."""
    highest = backends.settings.max_priority
    if priority <= highest:
        return []
    return [FieldError(path="priority", message=f"must be {highest} or less here; got {priority}")]


def webhook_problems(webhook: WebhookSpec, backends: Backends, *, project: str) -> list[FieldError]:
    """Return why nothing can be sent to a webhook. Paths are the fields of the webhook."""
    refused = Locations.of(backends.settings).webhook_problem(webhook.url)
    problems = [refused] if refused else []
    if message := _signing_problem(webhook.secret, backends, project):
        problems.append(FieldError(path="secret", message=message))
    return problems


def _signing_problem(name: str, backends: Backends, project: str) -> str | None:
    try:
        signing_keys(backends.secrets.reveal(project, {name})[name])
    except SecretNotFound:
        return UNKNOWN_NAME
    except InvalidSigningSecret as error:
        return str(error)
    return None


def _refused_webhooks(spec: JobSpec, backends: Backends, project: str) -> Iterator[FieldError]:
    for number, webhook in enumerate(spec.webhooks):
        for problem in webhook_problems(webhook, backends, project=project):
            yield FieldError(path=f"webhooks.{number}.{problem.path}", message=problem.message)


def _unknown_secrets(spec: JobSpec, backends: Backends, project: str) -> Iterator[FieldError]:
    """Yield a problem for each secret that the project does not have.

    The message does not repeat the name, because it may be a secret value written by mistake.
    """
    if not spec.secrets:
        return
    missing = backends.secrets.missing(project, set(spec.secrets.values()))
    for variable, name in spec.secrets.items():
        if name in missing:
            yield FieldError(path=f"secrets.{variable}", message=UNKNOWN_NAME)


def _unusable_datasets(spec: JobSpec, backends: Backends, project: str) -> Iterator[FieldError]:
    named = dict(uploads_of(spec))
    statuses = backends.datasets.statuses(project, set(named.values()))
    for path, dataset_id in named.items():
        if dataset_id not in statuses:
            message = f"there is no dataset {dataset_id!r}; list the datasets to see their ids"
            yield FieldError(path=path, message=message)
        elif statuses[dataset_id] is not DatasetStatus.READY:
            message = f"dataset {dataset_id} is not here to its last byte; go on with its upload"
            yield FieldError(path=path, message=message)


def _unknown_jobs(spec: JobSpec, backends: Backends, project: str) -> Iterator[FieldError]:
    for path, uri in uris_of(spec):
        named = parse(uri)
        if named is None:
            message = f"write job://JOB_ID/final, …/merged/STEP or …/checkpoints/STEP; got {uri!r}"
            yield FieldError(path=path, message=message)
        elif not _has_files(backends, project, *named):
            yield FieldError(path=path, message=f"there is no {named[1]} of a job {named[0]!r}")


def _has_files(backends: Backends, project: str, job_id: str, folder: str) -> bool:
    try:
        if backends.store.project_of(job_id) != project:
            return False
        return bool(backends.files.list(job_id, ArtifactSelection(prefix=f"{folder}/"), limit=1))
    except JobNotFound:
        return False
