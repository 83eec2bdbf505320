"""The events that a run reports. The trainer writes them as JSON lines to `events.jsonl`.

Every event has a time. `id` and `attempt` are unset until the store of a job numbers the event. No
torch needed.
"""

from collections.abc import Callable
from typing import Annotated

from pydantic import Field, TypeAdapter

from relora_core.events.data import DataPrepared, DataProgress, Split
from relora_core.events.event import Event, Phase, Unit
from relora_core.events.restart import (
    LearningRateRestarted,
    Merged,
    OptimizerReset,
    Reinitialized,
    RestartDecided,
    RestartReason,
)
from relora_core.events.restart_report import RestartReport, RestartReported
from relora_core.events.run import (
    Evaluated,
    LossSpiked,
    MemoryMeasured,
    PhaseMemory,
    PhaseStarted,
    Rewound,
    SetEvaluated,
    SourceRead,
    SpectrumMeasured,
    StepFinished,
    TrainFailed,
    TrainFinished,
    TrainStarted,
    TrainStopped,
    WarmStarted,
    Warned,
)
from relora_core.events.saved import CheckpointDeleted, CheckpointSaved, Exported, ProfileSaved

__all__ = [
    "AnyTrainEvent",
    "CheckpointDeleted",
    "CheckpointSaved",
    "DataPrepared",
    "DataProgress",
    "Emit",
    "Evaluated",
    "Event",
    "Exported",
    "LearningRateRestarted",
    "LossSpiked",
    "MemoryMeasured",
    "Merged",
    "OptimizerReset",
    "Phase",
    "PhaseMemory",
    "PhaseStarted",
    "ProfileSaved",
    "Reinitialized",
    "RestartDecided",
    "RestartReason",
    "RestartReport",
    "RestartReported",
    "Rewound",
    "SetEvaluated",
    "SourceRead",
    "SpectrumMeasured",
    "Split",
    "StepFinished",
    "TrainEvent",
    "TrainFailed",
    "TrainFinished",
    "TrainStarted",
    "TrainStopped",
    "Unit",
    "WarmStarted",
    "Warned",
    "from_line",
    "to_line",
    "train_event_adapter",
]

AnyTrainEvent = (
    DataPrepared
    | DataProgress
    | WarmStarted
    | TrainStarted
    | PhaseStarted
    | StepFinished
    | RestartDecided
    | Merged
    | Reinitialized
    | OptimizerReset
    | LearningRateRestarted
    | RestartReported
    | Evaluated
    | SetEvaluated
    | SpectrumMeasured
    | MemoryMeasured
    | CheckpointSaved
    | CheckpointDeleted
    | ProfileSaved
    | Exported
    | Warned
    | LossSpiked
    | Rewound
    | TrainFinished
    | TrainStopped
    | TrainFailed
)
Emit = Callable[[AnyTrainEvent], None]
TrainEvent = Annotated[AnyTrainEvent, Field(discriminator="type")]
train_event_adapter: TypeAdapter[AnyTrainEvent] = TypeAdapter(TrainEvent)


def to_line(event: Event) -> str:
    """Return the event as one JSON object, without a line break."""
    return event.model_dump_json(exclude_none=True)


def from_line(line: str | bytes) -> AnyTrainEvent:
    """Read an event that `to_line` wrote. Raise `pydantic.ValidationError` if it is not valid."""
    return train_event_adapter.validate_json(line)
