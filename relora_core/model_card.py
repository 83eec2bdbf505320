"""The README of an exported model: what it was trained on, how, and with what result."""

from relora_core.spec import Source, TrainSpec
from relora_core.state import Counters


def model_card(spec: TrainSpec, counters: Counters) -> str:
    validation = spec.data.validation
    held_out = (
        validation.uri
        if isinstance(validation, Source)
        else f"{validation.fraction:.2%} of the documents, held out"
    )
    rows = {
        "method": spec.method.name,
        **_method_rows(spec, counters),
        "steps": f"{counters.step} of {spec.total_steps}",
        "tokens seen": f"{counters.tokens_seen:,}",
        "global batch size": f"{spec.training.global_batch_size} sequences "
        f"of {spec.data.sequence_length} tokens",
        "training data": spec.data.train.uri,
        "validation data": held_out,
        **{name: f"{value:.4f}" for name, value in counters.metrics.items()},
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return (
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags: [relora]\n---\n"
        f"# {spec.name}\n\nPretrained with [ReLoRA](https://arxiv.org/abs/2307.05695)'s trainer; "
        "low-rank updates are merged, so this is a plain model.\n\n"
        f"| | |\n| --- | --- |\n{table}\n\n"
        "The whole recipe is in `relora.json`.\n"
    )


def _method_rows(spec: TrainSpec, counters: Counters) -> dict[str, str]:
    """The method's own fields as they are, and what its defaults come to."""
    phases = spec.phases
    written = spec.method.model_dump(exclude={"name", "warm_start_steps", "reset_every"})
    rows = {
        field.replace("_", " "): _in_words(value)
        for field, value in written.items()
        if value is not None
    }
    if phases.first == "warm_start" and phases.first_steps:
        rows["warm start"] = f"{phases.first_steps} full-rank steps"
    if phases.reset_every is not None:
        rows["restarts"] = f"{counters.restarts}, one every {phases.reset_every} steps"
    return rows


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
