"""`relora estimate`: what a job needs, before it is submitted."""

from pathlib import Path
from typing import Annotated

import typer

from relora_core.estimate import DEFAULT, GPUS, UTILIZATION
from relora_core.estimate.report import as_text
from service.cli.documents import read_spec
from service.cli.session import URL, AsJson, Url, connected, out, print_json, warn
from service.schemas.responses import GpuFrom

NO_KNOWN_GPU = (
    f"No worker has a GPU that estimates know, so {DEFAULT} is assumed; --gpu names another: "
    f"{', '.join(GPUS)}."
)


def estimate(
    spec: Annotated[Path, typer.Argument(help="The job spec, YAML or JSON.")],
    *,
    gpu: Annotated[
        str | None,
        typer.Option(help=f"GPU to estimate for: {', '.join(GPUS)}. Default: that of a worker."),
    ] = None,
    utilization: Annotated[
        float, typer.Option(help="The share of the GPU's peak that training is assumed to reach.")
    ] = UTILIZATION,
    url: Url = URL,
    json: AsJson = False,
) -> None:
    """Check a spec as a submit does, and say what it would cost. Nothing is queued."""
    document = read_spec(spec)
    with connected(url) as client:
        found = client.jobs.estimate(document, gpu=gpu, utilization=utilization)
    warn(found.warnings)
    if json:
        print_json(found)
    elif found.estimate is None:
        out.print(f"The spec is accepted. {found.not_estimated}", soft_wrap=True)
    else:
        out.print(as_text(found.estimate), soft_wrap=True)
        if found.gpu_from is GpuFrom.DEFAULT:
            out.print(NO_KNOWN_GPU, soft_wrap=True)
