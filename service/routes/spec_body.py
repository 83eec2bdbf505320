"""A job spec in the body of a request, with errors that name the fields as they were written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fastapi import Body, Depends, Header, HTTPException, Request
from pydantic import Field, ValidationError, WrapValidator

import service
from jobs.admission import planned_sources_of, priority_problems, problems_of
from jobs.backends import Backends
from jobs.locations.rules import Locations
from jobs.schemas.job import JobSpec
from jobs.store.origin import Origin
from relora_core.data.epochs import PlannedSource, many_epochs
from relora_core.spec import TextPattern
from relora_core.spec.error_messages import FieldError, readable_errors
from service.http.errors import InvalidSpec
from service.routes.dependencies import BackendsDep, ProjectDep
from service.schemas.responses import FieldWarning

DEMO_TEXT = Path(service.__file__).parents[1] / "examples" / "data" / "kjv.jsonl.gz"
WIKITEXT = "hf://Salesforce/wikitext?config=wikitext-2-raw-v1"
# The first example runs on any server. It trains on the text in the clone of the repository or,
# if there is no clone, on a small dataset of the Hub.
EXAMPLES: dict[str, Any] = {
    "first": {
        "summary": "1.9M parameters, 400 steps: a few minutes on a CPU",
        "value": {
            "name": "my-first",
            "model": {"preset": "llama_9m"},
            "tokenizer": {"train": {"vocab_size": 4096}},
            "data": {
                "train": {"uri": str(DEMO_TEXT) if DEMO_TEXT.exists() else WIKITEXT},
                "validation": {"fraction": 0.02},
                "sequence_length": 128,
            },
            "method": {"name": "relora", "rank": 16, "warm_start_steps": 100, "reset_every": 100},
            "training": {
                "steps": 400,
                "global_batch_size": 16,
                "precision": "fp32",
                "compile": False,
            },
        },
    },
    "relora_130m": {
        "summary": "130M parameters, 20,000 steps: a run of the paper, on C4 from the Hub",
        "value": {"name": "relora-130m", "recipe": "relora_130m"},
    },
}


def _unread(document: object, _validate: object) -> object:
    """Skip the validation of FastAPI: OpenAPI shows a `JobSpec`, and `_spec` validates it."""
    return document


def _spec(
    document: Annotated[
        JobSpec,
        WrapValidator(_unread),
        Body(openapi_examples=EXAMPLES),
    ],
) -> JobSpec:
    """Validate the spec. FastAPI calls this in a thread, so a long spec delays no other request."""
    if isinstance(document, bytes):
        raise HTTPException(415, "Send the spec as JSON, with Content-Type: application/json.")
    return spec_of(document)


SpecBody = Annotated[JobSpec, Depends(_spec)]
IdempotencyKey = Annotated[
    Annotated[
        str,
        Field(max_length=255),
        TextPattern(r"^[\x21-\x7e]+$", "ASCII characters, without spaces"),
    ]
    | None,
    Header(
        alias="Idempotency-Key",
        description="A text of your choice. For a day, the same key with the same body returns "
        "what the first request made, with 200; with another body it is refused.",
    ),
]


def spec_of(document: object) -> JobSpec:
    """Return the document as a spec. Raise `InvalidSpec` if it is none."""
    try:
        return JobSpec.model_validate(document)
    except ValidationError as error:
        raise InvalidSpec(readable_errors(error, document, JobSpec)) from None


@dataclass(frozen=True)
class Admission:
    """The checks of a spec against the store, the settings and the caller's project."""

    backends: Backends
    locations: Locations
    project: str

    def origin(self, forked_from: str | None = None) -> Origin:
        """Return where the new job comes from."""
        return Origin(forked_from, with_keys=self.locations.with_keys)

    def problems(self, spec: JobSpec) -> list[FieldError]:
        return problems_of(spec, self.backends, project=self.project, locations=self.locations)

    def check(self, spec: JobSpec) -> None:
        """Raise `InvalidSpec` for a valid spec that cannot be run here."""
        if problems := self.problems(spec):
            raise InvalidSpec(problems)

    def planned_sources(self, spec: JobSpec) -> list[PlannedSource]:
        """Return what the job would read of each source."""
        return planned_sources_of(spec, self.backends, project=self.project)

    def warnings(self, spec: JobSpec, *, sources: list[PlannedSource]) -> list[FieldWarning]:
        """Return the warnings of a valid spec, such as too many epochs."""
        warnings = (*spec.warnings, *many_epochs(sources, spec.unit))
        return [FieldWarning(path=warning.path, message=warning.message) for warning in warnings]

    def check_priority(self, priority: int) -> None:
        """Raise `InvalidSpec` if an existing job may not have this priority here."""
        if problems := priority_problems(priority, self.backends):
            raise InvalidSpec(problems)


def _admission(request: Request, backends: BackendsDep, project: ProjectDep) -> Admission:
    return Admission(backends, request.app.state.locations, project)


AdmissionDep = Annotated[Admission, Depends(_admission)]
