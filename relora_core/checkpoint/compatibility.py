"""The identity of a run, to check whether a checkpoint belongs to it.

It consists of the spec, without the settings that may change on resume, and of the data's hashes.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from relora_core.data.fingerprints import DataFingerprints
from relora_core.errors import CheckpointError
from relora_core.optim.timeline import Timeline
from relora_core.spec import (
    LowRank,
    PretrainedTokenizer,
    Source,
    TrainSpec,
    read_accepted,
)

# The sections that may change when a run is resumed: they do not change the weights.
MAY_CHANGE_ON_RESUME = {"name", "recipe", "evaluation", "spectrum", "checkpoint", "export"}
_MAY_CHANGE_IN_TRAINING = {
    "log_every",
    "micro_batch_size",
    "compile",
    "deterministic",
    "gradient_checkpointing",
    "parallelism",
    "stop_when",
    # these change nothing until a run diverges; then a user may want to change them
    "on_divergence",
    "max_rewinds",
    "max_skipped_steps",
    "spike_window",
    "spike_z_score",
}
_UNSET = object()


@dataclass(frozen=True)
class Identity:
    """The identity of a run.

    `fingerprints` maps each place of data in the spec to a hash. It is empty until the data is
    prepared.
    """

    spec: TrainSpec
    fingerprints: DataFingerprints = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        return {**_fixed(self.spec), "contents": dict(self.fingerprints)}

    def check(self, saved: Mapping[str, Any], *, step: int = 0) -> None:
        """Raise `CheckpointError` if `saved` is the identity of another run.

        `saved` may be of an older version of relora. A run may get another length only if that
        does not change its first `step` steps.
        """
        spec, fingerprints = _read(saved)
        compared = _fixed if spec.total_steps == self.spec.total_steps else _resolved
        if differences := list(_differences(compared(spec), compared(self.spec))):
            raise CheckpointError(
                f"the checkpoints are of another run: {'; '.join(differences)}. Use a new workdir, "
                "or the spec that the run was started with"
            )
        self._check_length(spec, step)
        if changed := self._changed(fingerprints):
            raise CheckpointError(
                f"changed since the checkpoint: {', '.join(changed)}. The run would go on with "
                "other data than it began with: bring that back (for hf://, name its revision in "
                "the uri), or train from the start in a new workdir"
            )

    def _check_length(self, saved: TrainSpec, step: int) -> None:
        before, now = Timeline.of(saved), Timeline.of(self.spec)
        if before.total_steps == now.total_steps:
            return  # there is nothing to compare step by step
        lengths = f"training.steps: {before.total_steps} in the checkpoint, {now.total_steps} now"
        if now.total_steps < step:
            raise CheckpointError(f"{lengths}, and {step} are taken already")
        if any(before.learning_rate_at(at) != now.learning_rate_at(at) for at in range(step)):
            raise CheckpointError(
                f"{lengths}, but the learning rates up to step {step} depend on it "
                f"under schedule.name {self.spec.schedule.name}. Begin a new run with these "
                "weights instead, in a new workdir with method.warm_start_from or "
                "model.pretrained, or as a fork of the job. A run under wsd can be made longer "
                "until its decay begins"
            )

    def _changed(self, saved: DataFingerprints) -> list[str]:
        changed = [
            name
            for name, value in saved.items()
            if name in self.fingerprints and self.fingerprints[name] != value
        ]
        return list(dict.fromkeys(self._source(name) for name in changed))

    def _source(self, name: str) -> str:
        """Return the field of the spec that a part of the data comes from, with its value."""
        data, tokenizer = self.spec.data, self.spec.tokenizer
        source_name = name.partition(".")[2]
        if source_name:  # of a mixture
            places = {source.name: source.place for source in data.mixture}
            return f"data.train, {source_name} ({places[source_name]})"
        if name == "tokenizer" and isinstance(tokenizer, PretrainedTokenizer):
            return f"tokenizer.pretrained ({tokenizer.pretrained})"
        if name == "validation" and isinstance(data.validation, Source):
            return f"data.validation ({data.validation.place})"
        return f"data.train ({data.training_places})"


def _fixed(spec: TrainSpec) -> dict[str, Any]:
    document = spec.model_dump(mode="json", exclude=MAY_CHANGE_ON_RESUME)
    document["training"] = {
        key: value
        for key, value in document["training"].items()
        if key not in _MAY_CHANGE_IN_TRAINING
    }
    return document


def _resolved(spec: TrainSpec) -> dict[str, Any]:
    """Return the spec without its length. Replace defaults that depend on it by their values."""
    document = _fixed(spec)
    for name in ("steps", "tokens"):
        del document["training"][name]
    del document["schedule"]["decay_steps"]  # these steps are at the end of the run
    document["schedule"]["warmup_steps"] = spec.warmup_steps
    if isinstance(spec.method, LowRank):
        document["schedule"]["restart_warmup_steps"] = spec.restart_warmup_steps
        document["method"]["warm_start_steps"] = spec.warm_start_steps
    if spec.phases.is_automatic:
        document["method"]["shortest_cycle"] = spec.reset_every
        document["method"]["longest_cycle"] = spec.phases.longest_cycle
    elif "reset_every" in document["method"]:
        document["method"]["reset_every"] = spec.reset_every
    return document


def _read(saved: Mapping[str, Any]) -> tuple[TrainSpec, DataFingerprints]:
    """Read a saved spec. One of an older version gets today's defaults for missing fields."""
    fingerprints = dict(saved.get("contents", {}))
    data = dict(saved["data"])
    if "train_examples" in data:  # older versions saved only this number, and no contents
        fingerprints["train_examples"] = data.pop("train_examples")
    written = {key: value for key, value in saved.items() if key != "contents"}
    try:
        return read_accepted(TrainSpec, {**written, "data": data}), fingerprints
    except ValidationError as error:
        raise CheckpointError(
            f"the checkpoints were saved by a version of relora with another spec: {error}; go on "
            "with that version, or use a new workdir"
        ) from error


def _differences(saved: Any, now: Any, path: str = "") -> Iterator[str]:
    """Yield each path whose value differs. If a part's `name` differs, compare no other field."""
    if not isinstance(saved, Mapping) or not isinstance(now, Mapping):
        if saved != now:
            yield f"{path}: {_shown(saved)} in the checkpoint, {_shown(now)} now"
        return
    keys = ["name"] if saved.get("name") != now.get("name") else [*saved, *(now.keys() - saved)]
    for key in keys:
        below = f"{path}.{key}" if path else key
        yield from _differences(saved.get(key, _UNSET), now.get(key, _UNSET), below)


def _shown(value: Any) -> str:
    if value is _UNSET:
        return "not set"
    return value if isinstance(value, str) else json.dumps(value)
