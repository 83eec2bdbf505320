"""The scores of an evaluation in a spec: what ends a run early, and which checkpoint is best."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field

from relora_core.spec.data import DataSpec, HeldOut
from relora_core.spec.part import Count, Spec
from relora_core.spec.task import TaskName
from relora_core.spec.text_pattern import TextPattern
from relora_core.spec.written import SpecConflict
from relora_core.suggestions import no_such

OF_TASK: dict[TaskName, tuple[str, ...]] = {
    "causal_lm": ("validation_loss", "validation_perplexity"),
    "image_classification": (
        "validation_loss",
        "validation_accuracy",
        "validation_top5_accuracy",
    ),
}
ScoreName = Annotated[
    str,
    Field(max_length=100),
    TextPattern(
        r"^validation_(loss|perplexity|accuracy|top5_accuracy)(/[A-Za-z0-9][A-Za-z0-9_-]*)?$",
        "a score such as validation_loss or, of a validation set, validation_loss/NAME",
    ),
]


class StopWhenSpec(Spec):
    """When a run ends before its last step. It then succeeds and says why."""

    max_seconds: float | None = Field(
        default=None,
        gt=0,
        le=10**9,
        description="Seconds of training, over all attempts. It is checked at each report. "
        "Default: no limit.",
    )
    target: float | None = Field(
        default=None,
        ge=0,
        le=10**9,
        description="The run ends at an evaluation whose score is this good. Default: none.",
    )
    patience: Count | None = Field(
        default=None,
        description="The run ends after so many evaluations in a row without a better score. "
        "Default: never.",
    )
    min_improvement: float = Field(
        default=0.0,
        ge=0,
        le=10**9,
        description="For `patience`, a score counts as better if it is better by more than this.",
    )
    metric: ScoreName = Field(
        default="validation_loss",
        description="The score of `target` and `patience`. Of a validation set or of a source of "
        "a mixture: `validation_loss/NAME`.",
    )


class KeepBestSpec(Spec):
    """The best checkpoint, which is kept beside the newest ones."""

    metric: ScoreName = Field(
        default="validation_loss",
        description="The score that says which is best. Of a validation set or of a source of a "
        "mixture: `validation_loss/NAME`. A checkpoint counts if its step was evaluated.",
    )
    mode: Literal["min", "max"] | None = Field(
        default=None,
        description="Whether the lowest or the highest score is best. Default: max of an "
        "accuracy, else min.",
    )

    @property
    def highest(self) -> bool:
        return is_better_if_higher(self.metric) if self.mode is None else self.mode == "max"


def is_better_if_higher(score: str) -> bool:
    return "accuracy" in score


def check_score(
    path: str, score: str, *, task: TaskName, data: DataSpec, sets: Iterable[str]
) -> None:
    """Raise `SpecConflict` if no evaluation of the run has this score."""
    name, _, part = score.partition("/")
    if name not in OF_TASK[task]:
        raise SpecConflict(path, f"task {task} has {', '.join(OF_TASK[task])}; got {name}")
    parts = [*sets]
    if isinstance(data.validation, HeldOut):
        parts += [source.name for source in data.mixture]
    if part and part not in parts:
        raise SpecConflict(path, no_such("validation set", part, parts))
