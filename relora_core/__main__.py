"""Run without the service: presets, estimate, prepare, train, and export of a checkpoint."""

import argparse
import gc
import json
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from relora_core.data.epochs import many_epochs, planned_sources
from relora_core.errors import TrainError
from relora_core.estimate import DEFAULT, GPUS, UTILIZATION, estimate, presets_table
from relora_core.estimate.report import as_json, as_text
from relora_core.spec import TrainSpec, read_accepted, train_part, with_absolute_paths
from relora_core.spec.documents import read_document
from relora_core.spec.error_messages import readable_errors

logger = logging.getLogger("relora_core")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return 0 if it finished or stopped, 1 if it failed, 2 if input is wrong."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    exit_code: int = options.run(options)
    return exit_code


def _train(options: argparse.Namespace) -> int:
    try:
        read = read_accepted_spec if options.supervised else read_spec
        spec = read(options.spec)
    except (OSError, ValueError) as error:
        logger.error("%s", error)
        return 2
    _set_defaults_of_torch()
    with _loading_torch():  # late, so that spec errors come at once
        from relora_core.process import run

    return run(
        spec,
        options.workdir,
        cache=options.cache,
        staged=json.loads(options.staged.read_text()) if options.staged else {},
        supervised=options.supervised,
    )


def _set_defaults_of_torch() -> None:
    """Set what torch reads when it is loaded, unless the environment sets it."""
    # By default, waiting threads spin so long that two runs on the same cores hardly progress.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    # By default, memory of a GPU that is free between tensors holds no larger one: the phases and
    # the restarts of a run leave such pieces, and a run that fits runs out of memory.
    if os.environ.keys().isdisjoint({"PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"}):
        os.environ["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"


@contextmanager
def _loading_torch() -> Iterator[None]:
    """Collect no garbage during imports, and then leave what is loaded out of all collections.

    The modules stay, so each search through them is lost: a quarter of the time to load them, and
    0.3 s in each full collection while training.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _prepare(options: argparse.Namespace) -> int:
    try:
        spec = read_spec(options.spec)
    except (OSError, ValueError) as error:
        logger.error("%s", error)
        return 2
    with _loading_torch():
        from relora_core.process import prepare_data

    return prepare_data(spec, cache=options.cache)


def _export(options: argparse.Namespace) -> int:
    with _loading_torch():
        from relora_core.process import export_model

    return export_model(
        options.workdir,
        options.to,
        step=options.step,
        dtype=options.dtype,
        supervised=options.supervised,
    )


def _generate(options: argparse.Namespace) -> int:
    with _loading_torch():
        from relora_core.process import answer_samples

    answer_samples(device=options.device)


def _estimate(options: argparse.Namespace) -> int:
    try:
        spec = read_spec(options.spec)
        sources = planned_sources(spec, uploads={})
        result = estimate(
            spec,
            gpu=options.gpu or DEFAULT,
            gpus=options.gpus,
            utilization=options.utilization,
            sources=sources,
        )
    except (OSError, ValueError, TrainError) as error:
        logger.error("%s", error)
        return 2
    warnings = [*spec.warnings, *many_epochs(sources, spec.unit)]
    sys.stderr.writelines(f"warning: {warning}\n" for warning in warnings)
    if options.gpu is None:
        sys.stderr.write(f"{DEFAULT} is assumed; --gpu names another GPU\n")
    sys.stdout.write((as_json(result) if options.json else as_text(result)) + "\n")
    return 0


def _presets(options: argparse.Namespace) -> int:
    write = presets_table.as_json if options.json else presets_table.as_text
    sys.stdout.write(write() + "\n")
    return 0


def read_spec(file: Path) -> TrainSpec:
    """Read a spec in YAML or JSON. Raise `ValueError` with one line for each problem."""
    document = read_document(file)
    if not isinstance(document, dict):
        raise ValueError(f"{file} holds no spec: expected fields such as `model` and `data`")
    document = with_absolute_paths(train_part(document))
    try:
        return TrainSpec.model_validate(document)
    except ValidationError as error:
        problems = readable_errors(error, document, TrainSpec)
        lines = [f"  {problem}" for problem in problems]
        raise ValueError("\n".join([f"{file} is not a valid spec:", *lines])) from error


def read_accepted_spec(file: Path) -> TrainSpec:
    """Read a spec that the service accepted before. Raise `ValueError` if it cannot be read."""
    return read_accepted(TrainSpec, json.loads(file.read_bytes()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m relora_core", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands.add_parser("train", help="train a spec; in the same workdir, resume it"))
    _add_prepare(commands.add_parser("prepare", help="make a spec's data ready, without a GPU"))
    _add_export(commands.add_parser("export", help="write the merged model of a checkpoint"))
    _add_generate(commands.add_parser("generate"))  # for the service: it has no help
    _add_estimate(commands.add_parser("estimate", help="what a spec will cost, before it runs"))
    _add_presets(commands.add_parser("presets", help="the models and recipes a spec may name"))
    return parser


def _add_train(train: argparse.ArgumentParser) -> None:
    train.set_defaults(run=_train)
    train.add_argument("spec", type=Path, help="a YAML or JSON file")
    train.add_argument(
        "--workdir",
        type=Path,
        required=True,
        help="gets events.jsonl, checkpoints/ and the merged model in final/",
    )
    _add_cache(train)
    train.add_argument(
        "--staged",
        type=Path,
        help=argparse.SUPPRESS,  # the service's: where copies of remote sources lie
    )
    _add_supervised(train)


def _add_prepare(prepare: argparse.ArgumentParser) -> None:
    prepare.set_defaults(run=_prepare)
    prepare.add_argument("spec", type=Path, help="a YAML or JSON file")
    _add_cache(prepare)


def _add_cache(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="prepared data of this and later runs (default: ~/.cache/relora)",
    )


def _add_export(export: argparse.ArgumentParser) -> None:
    export.set_defaults(run=_export)
    export.add_argument(
        "--workdir",
        type=Path,
        required=True,
        help="of the run, or where its checkpoints/ was copied",
    )
    export.add_argument("--step", type=int, help="of the checkpoint (default: the newest)")
    export.add_argument(
        "--to",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="new, or empty; the model goes here",
    )
    export.add_argument(
        "--dtype", choices=["bf16", "fp16", "fp32"], help="default: as the spec of the run says"
    )
    _add_supervised(export)


def _add_generate(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=_generate)
    command.add_argument("--device", default="cpu", help="default: %(default)s")


def _add_supervised(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--supervised",
        action="store_true",
        help=argparse.SUPPRESS,  # the service's: exit when standard input closes
    )


def _add_estimate(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=_estimate)
    command.add_argument("spec", type=Path, help="a YAML or JSON file")
    command.add_argument("--gpu", choices=GPUS, help=f"to estimate for (default: {DEFAULT})")
    command.add_argument("--gpus", type=int, default=1, metavar="N", help="default: %(default)s")
    command.add_argument(
        "--utilization",
        type=float,
        default=UTILIZATION,
        metavar="SHARE",
        help="the share of the GPU's peak that training is assumed to reach (default: %(default)s)",
    )
    _add_json(command)


def _add_presets(command: argparse.ArgumentParser) -> None:
    command.set_defaults(run=_presets)
    _add_json(command)


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="one JSON object instead of a table")


if __name__ == "__main__":
    sys.exit(main())
