"""Forks: a new job from the changed spec of another job, optionally with that job's weights."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from jobs.schemas.body import Body
from jobs.schemas.job import Job, JobSpec
from jobs.schemas.job_uris import FOLDER, job_uri
from relora_core.spec import Document, TextPattern
from relora_core.workdir.files import CHECKPOINTS

MAX_NAME = 200
_FOLDER = TextPattern(
    f"^({FOLDER})$", "final, merged/step-00005000 or checkpoints/step-00005000, or another step"
)


class Fork(Body):
    """The weights that the new job starts from, and the changes of its spec."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"from": "final", "changes": {"optimizer": {"learning_rate": 1e-4}}}
        },
    )

    source: Annotated[str, Field(max_length=100), _FOLDER] | None = Field(
        default=None,
        alias="from",
        description="The folder of its files with the weights to begin with: `final`, "
        "`merged/step-00005000` or, for lora and relora, `checkpoints/step-00005000`, which "
        "becomes `method.warm_start_from`. Default: none; only the spec is copied.",
    )
    changes: Document = Field(
        default_factory=dict,
        max_length=1000,
        description="Of the spec, as a JSON merge patch (RFC 7396).",
    )


def forked(job: Job, fork: Fork) -> dict[str, Any]:
    """Return the spec of the new job as a person would write it. It is not validated yet."""
    document = job.spec.model_dump(mode="json")
    document["name"] = f"{job.name[: MAX_NAME - 5]}-fork"
    if fork.source is not None:
        document = merge_patch(document, _beginning(job.spec, job_uri(job.id, fork.source)))
    patched: dict[str, Any] = merge_patch(document, fork.changes)
    return patched


def _beginning(spec: JobSpec, uri: str) -> dict[str, Any]:
    """Return the merge patch of a spec that starts a run from the weights at `uri`."""
    if f"/{CHECKPOINTS}/" in uri:
        return {"method": {"warm_start_from": uri, "warm_start_steps": None}}
    model = dict.fromkeys(("preset", "config")) | {"pretrained": uri, "init": "weights"}
    patch: dict[str, Any] = {"model": model, "recipe": None}
    if spec.task == "causal_lm":
        patch["tokenizer"] = {"train": None, "eos_token_id": None, "pretrained": uri}
    return patch


def merge_patch(target: Any, patch: Any) -> Any:
    """Apply a JSON merge patch (RFC 7396) and return the result.

    A null removes a field, an object changes fields, and any other value replaces the target.
    """
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged
