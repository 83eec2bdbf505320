"""URIs such as `job://JOB_ID/final`, by which a spec names the files of another job.

A spec may name them as its model, its tokenizer or its warm start.
"""

import re
from collections.abc import Iterator

from jobs.schemas.job import JobSpec
from relora_core.spec.local_copies import pretrained
from relora_core.workdir.files import CHECKPOINTS, FINAL, MERGED, STEP_NAME

SCHEME = "job://"
FOLDER = rf"{FINAL}|(?:{CHECKPOINTS}|{MERGED})/{STEP_NAME}"
_URI = re.compile(rf"job://(job_[0-9a-z]+)/({FOLDER})")


def job_uri(job_id: str, folder: str) -> str:
    return f"{SCHEME}{job_id}/{folder}"


def parse(uri: str) -> tuple[str, str] | None:
    """Return the job id and the folder of a URI, or None if it does not have this form."""
    match = _URI.fullmatch(uri)
    return None if match is None else (match[1], match[2])


def uris_of(spec: JobSpec) -> Iterator[tuple[str, str]]:
    """Yield the fields of a spec that name files of another job, with their URIs."""
    return ((path, name) for path, name in pretrained(spec) if name.startswith(SCHEME))
