"""`relora import`: convert a config of another program to a job spec."""

from pathlib import Path
from typing import Annotated

import typer
import yaml
from pydantic import BaseModel, ValidationError
from rich.text import Text

from jobs.schemas.job import JobSpec
from relora_core.spec import SpecConflict
from relora_core.spec.error_messages import readable_errors
from service.cli.axolotl import convert
from service.cli.axolotl_config import Config
from service.cli.documents import read_document
from service.cli.session import REFUSED, err, fail


def import_config(
    file: Annotated[Path, typer.Argument(help="A config of axolotl, in YAML.")],
    *,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Optimizer steps, if the config counts epochs.")
    ] = None,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs that the config was run on.")] = 1,
) -> None:
    """Print a config of axolotl as a job spec: relora import axolotl.yaml > job.yaml

    Stderr has a note on each key that is not carried over as it is.
    """
    document = read_document(file, "config of axolotl: a mapping with `base_model`")
    try:
        config = Config.model_validate(document)
        spec = convert(config, name=file.stem, steps=steps, gpus=gpus)
    except ValidationError as error:
        fail("\n  ".join(_told(error, document, Config)), REFUSED)
    except SpecConflict as conflict:
        fail(f"{conflict.path}: {conflict}", REFUSED)
    try:
        JobSpec.model_validate(spec)
    except ValidationError as error:
        fail("\n  ".join(["no valid spec comes of it", *_told(error, spec, JobSpec)]), REFUSED)
    typer.echo(yaml.safe_dump(spec, sort_keys=False), nl=False)
    for key, why in config.notes():
        err.print(Text.assemble(("note: ", "yellow"), f"{key}: {why}"), soft_wrap=True)


def _told(error: ValidationError, document: object, model: type[BaseModel]) -> list[str]:
    return [str(problem) for problem in readable_errors(error, document, model)]
