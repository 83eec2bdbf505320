"""What a run is told: `TrainSpec` and its parts. Frozen, torch-free, without I/O.

The server validates with the very classes that the trainer reads. Steps are optimizer
steps, sizes are sequences, tokens or images as the field says.
"""

from relora_core.spec.accepted import read_accepted, was_accepted
from relora_core.spec.data import (
    DEFAULT_IMAGE_SIZE,
    SOURCE_SCHEMES,
    STAGED_SCHEMES,
    DataSpec,
    HeldOut,
    Source,
    ValidationSpec,
    is_hub_dataset,
)
from relora_core.spec.method import (
    ControlMethod,
    Factors,
    FrozenDtype,
    FullMethod,
    GaloreMethod,
    LoraMethod,
    LowRank,
    LowrankMethod,
    MagnitudeReset,
    MethodSpec,
    OptimizerReset,
    RandomReset,
    ReloraMethod,
    Targets,
    Variant,
    ZeroReset,
)
from relora_core.spec.model import (
    ConfigModel,
    ModelSpec,
    NoTokenizer,
    PresetModel,
    PretrainedModel,
    PretrainedTokenizer,
    TokenizerSpec,
    TokenizerTraining,
    TrainedTokenizer,
    check_no_kernels,
    written_vocab_size,
)
from relora_core.spec.part import Document, Line, Spec, SpecWarning, Steps
from relora_core.spec.paths import with_absolute_paths
from relora_core.spec.phases import Phases
from relora_core.spec.task import TaskName
from relora_core.spec.train_spec import SERVICE_FIELDS, TrainSpec, train_part
from relora_core.spec.training import (
    CheckpointSpec,
    EvaluationSpec,
    ExportSpec,
    OptimizerSpec,
    ScheduleSpec,
    SpectrumSpec,
    TrainingSpec,
)
from relora_core.spec.written import MAX_WHOLE, SpecConflict, check_written

__all__ = [
    "DEFAULT_IMAGE_SIZE",
    "MAX_WHOLE",
    "SERVICE_FIELDS",
    "SOURCE_SCHEMES",
    "STAGED_SCHEMES",
    "CheckpointSpec",
    "ConfigModel",
    "ControlMethod",
    "DataSpec",
    "Document",
    "EvaluationSpec",
    "ExportSpec",
    "Factors",
    "FrozenDtype",
    "FullMethod",
    "GaloreMethod",
    "HeldOut",
    "Line",
    "LoraMethod",
    "LowRank",
    "LowrankMethod",
    "MagnitudeReset",
    "MethodSpec",
    "ModelSpec",
    "NoTokenizer",
    "OptimizerReset",
    "OptimizerSpec",
    "Phases",
    "PresetModel",
    "PretrainedModel",
    "PretrainedTokenizer",
    "RandomReset",
    "ReloraMethod",
    "ScheduleSpec",
    "Source",
    "Spec",
    "SpecConflict",
    "SpecWarning",
    "SpectrumSpec",
    "Steps",
    "Targets",
    "TaskName",
    "TokenizerSpec",
    "TokenizerTraining",
    "TrainSpec",
    "TrainedTokenizer",
    "TrainingSpec",
    "ValidationSpec",
    "Variant",
    "ZeroReset",
    "check_no_kernels",
    "check_written",
    "is_hub_dataset",
    "read_accepted",
    "train_part",
    "was_accepted",
    "with_absolute_paths",
    "written_vocab_size",
]
