"""What a run is told: `TrainSpec` and its parts. Frozen, torch-free, without I/O.

The server validates with the very classes that the trainer reads. Steps are optimizer
steps, sizes are sequences or tokens as the field says.
"""

from relora_core.spec.data import SOURCE_SCHEMES, DataSpec, HeldOut, Source, ValidationSpec
from relora_core.spec.method import (
    FullMethod,
    LoraMethod,
    LowRank,
    MagnitudeReset,
    MethodSpec,
    OptimizerReset,
    RandomReset,
    ReloraMethod,
    ZeroReset,
)
from relora_core.spec.model import (
    ConfigModel,
    ModelSpec,
    PresetModel,
    PretrainedModel,
    PretrainedTokenizer,
    TokenizerSpec,
    TokenizerTraining,
    TrainedTokenizer,
)
from relora_core.spec.part import Spec, SpecConflict, Steps
from relora_core.spec.train_spec import SERVICE_FIELDS, TrainSpec, train_part
from relora_core.spec.training import (
    CheckpointSpec,
    EvaluationSpec,
    ExportSpec,
    OptimizerSpec,
    ScheduleSpec,
    TrainingSpec,
)

__all__ = [
    "SERVICE_FIELDS",
    "SOURCE_SCHEMES",
    "CheckpointSpec",
    "ConfigModel",
    "DataSpec",
    "EvaluationSpec",
    "ExportSpec",
    "FullMethod",
    "HeldOut",
    "LoraMethod",
    "LowRank",
    "MagnitudeReset",
    "MethodSpec",
    "ModelSpec",
    "OptimizerReset",
    "OptimizerSpec",
    "PresetModel",
    "PretrainedModel",
    "PretrainedTokenizer",
    "RandomReset",
    "ReloraMethod",
    "ScheduleSpec",
    "Source",
    "Spec",
    "SpecConflict",
    "Steps",
    "TokenizerSpec",
    "TokenizerTraining",
    "TrainSpec",
    "TrainedTokenizer",
    "TrainingSpec",
    "ValidationSpec",
    "ZeroReset",
    "train_part",
]
