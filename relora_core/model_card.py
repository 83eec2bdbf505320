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
    if spec.method.name == "full":
        return {}
    rows = {
        "rank": str(spec.method.rank),
        "alpha": f"{spec.method.alpha:g}",
        "warm start": f"{spec.warm_start_steps} full-rank steps",
    }
    if spec.reset_every is not None:
        rows["restarts"] = f"{counters.restarts}, one every {spec.reset_every} steps"
    return rows
