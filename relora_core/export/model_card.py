"""The README of an exported model: its training data, its training and its scores."""

import re

import yaml

from relora_core.counted import counted
from relora_core.spec import NoTokenizer, Phases, PretrainedModel, Source, TaskName, TrainSpec
from relora_core.state import Counters

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")  # neither a folder's path nor a URI

# The names of the tasks on the Hugging Face hub.
_PIPELINES: dict[TaskName, str] = {
    "causal_lm": "text-generation",
    "image_classification": "image-classification",
}

_PROCESSORS: dict[TaskName, str] = {
    "causal_lm": "AutoTokenizer",
    "image_classification": "AutoImageProcessor",
}


def model_card(spec: TrainSpec, counters: Counters, *, parameters: int, auto_model: str) -> str:
    """Return a Hugging Face model card in Markdown. The owner of the model has to add a licence.

    `auto_model` is the class of transformers that loads the model.
    """
    validation = spec.data.validation
    held_out = (
        validation.place
        if isinstance(validation, Source)
        else f"{validation.fraction:.2%} of the training data, held out"
    )
    rows = {
        "parameters": f"{parameters:,}",
        "model": _in_words(spec.model.model_dump(exclude={"init"})),
        "recipe": spec.recipe or "none; see `relora.json`",
        "method": spec.method.name,
        **_method_rows(spec, counters),
        "optimizer": _optimizer(spec),
        "schedule": f"{spec.schedule.name}, {spec.warmup_steps} warm-up steps",
        "precision": f"{spec.training.precision}, exported as {spec.export.dtype}",
        "steps": f"{counters.step} of {spec.total_steps}",
        f"{spec.unit} seen": f"{counters.tokens_seen:,}",
        "global batch size": _batch(spec),
        "training data": spec.data.training_places,
        "validation data": held_out,
        **{name: f"{value:.4f}" for name, value in counters.metrics.items()},
    }
    processor = None if isinstance(spec.tokenizer, NoTokenizer) else _PROCESSORS[spec.task]
    classes = ", ".join(filter(None, (auto_model, processor)))
    loading = f'processor = {processor}.from_pretrained(".")\n' if processor else ""
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return (
        f"---\nlibrary_name: transformers\npipeline_tag: {_PIPELINES[spec.task]}\n"
        f"{_origins(spec)}tags: [relora]\n---\n"
        f"# {spec.name}\n\nPretrained with [ReLoRA](https://arxiv.org/abs/2307.05695)'s trainer; "
        "low-rank updates are merged, so this is a plain model.\n\n"
        f"| | |\n| --- | --- |\n{table}\n\n"
        f"```python\nfrom transformers import {classes}\n\n"
        f'model = {auto_model}.from_pretrained(".")  # this folder\n'
        f"{loading}```\n\n"
        "The whole recipe is in `relora.json`.\n"
    )


def _origins(spec: TrainSpec) -> str:
    """Return the datasets and the base model on the Hugging Face Hub that were used, as YAML."""
    names = [
        uri.removeprefix("hf://").partition("?")[0]
        for _, source in spec.data.sources()
        for uri in source.uris
        if uri.startswith("hf://")
    ]
    origins: dict[str, object] = {}
    names = [name for name in names if _HUB_NAME.fullmatch(name)]
    if names:
        origins["datasets"] = list(dict.fromkeys(names))
    match spec.model:
        case PretrainedModel(init="weights", pretrained=name) if _HUB_NAME.fullmatch(name):
            origins["base_model"] = name
    return yaml.safe_dump(origins) if origins else ""


def _optimizer(spec: TrainSpec) -> str:
    optimizer = spec.optimizer
    rates = f"{optimizer.learning_rate:g}"
    if "low_rank" in (spec.phases.first, spec.phases.at(spec.total_steps - 1)):
        rates += f", in low rank {spec.low_rank_learning_rate:g}"
        if optimizer.factor_learning_rate is not None:
            rates += f", of A and B {_in_words(optimizer.factor_learning_rate)}"
    betas = ", ".join(f"{beta:g}" for beta in optimizer.betas)
    decay = f"{optimizer.weight_decay:g}"
    return f"{optimizer.title}, learning rate {rates}, betas {betas}, weight decay {decay}"


def _batch(spec: TrainSpec) -> str:
    size = spec.training.global_batch_size
    if spec.task == "image_classification":
        return counted(size, "image")
    return f"{counted(size, 'sequence')} of {counted(spec.data.sequence_length, 'token')}"


def _method_rows(spec: TrainSpec, counters: Counters) -> dict[str, str]:
    """Return table rows with the method's fields and the values that its defaults resolve to."""
    phases = spec.phases
    written = spec.method.model_dump(
        exclude={
            "name",
            "warm_start_steps",
            "reset_every",
            "shortest_cycle",
            "longest_cycle",
            "reset_growth",
        }
    )
    rows = {
        field.replace("_", " "): _in_words(value)
        for field, value in written.items()
        if value is not None
    }
    if phases.first == "warm_start" and phases.first_steps:
        rows["warm start"] = counted(phases.first_steps, "full-rank step")
    if phases.reset_every is not None:
        rows["restarts"] = f"{counters.restarts}, {_cycles(phases)}"
    return rows


def _cycles(phases: Phases) -> str:
    assert phases.reset_every is not None
    length = counted(phases.reset_every, "step")
    if phases.longest_cycle is not None:
        longest = counted(phases.longest_cycle, "step")
        return f"decided by the run, after {phases.reset_every} to {longest}"
    if phases.is_rolling:
        return f"each of one component; all {phases.restarts_per_cycle} in {length}"
    if phases.reset_growth == 1:
        return f"one every {length}"
    return f"the first cycle of {length}, each {phases.reset_growth:g} times as long as before"


def _in_words(value: object) -> str:
    match value:
        case dict():
            return ", ".join(f"{key} {item}" for key, item in value.items())
        case list():
            return ", ".join(map(str, value))
        case float():
            return f"{value:g}"
        case _:
            return str(value)
