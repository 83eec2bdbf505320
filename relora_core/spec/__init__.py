"""The spec of a run: `TrainSpec` and its parts. They are immutable, and need no torch and no I/O.

The server validates with the same classes that the trainer reads. Steps are optimizer steps. Sizes
are sequences, tokens or images, as the field says.
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
    METHODS,
    ControlMethod,
    FactorInit,
    Factors,
    FrozenDtype,
    FullMethod,
    LoraMethod,
    LowRank,
    LowrankMethod,
    MethodName,
    MethodSpec,
    ReloraMethod,
    Reset,
    Variant,
    names_of,
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
from relora_core.spec.optimizer import (
    OPTIMIZERS,
    Adamw8bitOptimizer,
    AdamwOptimizer,
    BaseOptimizer,
    MuonOptimizer,
    OptimizerSpec,
)
from relora_core.spec.optimizer_reset import (
    KeepReset,
    MagnitudeReset,
    OptimizerReset,
    RandomReset,
    RotateReset,
    ZeroReset,
)
from relora_core.spec.part import Document, Line, Spec, SpecWarning, Steps
from relora_core.spec.paths import with_absolute_paths
from relora_core.spec.phases import Phases, default_restart_warmup
from relora_core.spec.subspace_methods import ApolloMethod, FiraMethod, GaloreMethod
from relora_core.spec.targets import Targets
from relora_core.spec.task import TaskName
from relora_core.spec.text_pattern import TextPattern
from relora_core.spec.train_spec import SERVICE_FIELDS, TrainSpec, train_part
from relora_core.spec.training import (
    CheckpointSpec,
    EvaluationSpec,
    ExportSpec,
    GradientCheckpointing,
    ScheduleSpec,
    SpectrumSpec,
    TrainingSpec,
)
from relora_core.spec.written import MAX_INT64, SpecConflict, check_written

__all__ = [
    "DEFAULT_IMAGE_SIZE",
    "MAX_INT64",
    "METHODS",
    "OPTIMIZERS",
    "SERVICE_FIELDS",
    "SOURCE_SCHEMES",
    "STAGED_SCHEMES",
    "Adamw8bitOptimizer",
    "AdamwOptimizer",
    "ApolloMethod",
    "BaseOptimizer",
    "CheckpointSpec",
    "ConfigModel",
    "ControlMethod",
    "DataSpec",
    "Document",
    "EvaluationSpec",
    "ExportSpec",
    "FactorInit",
    "Factors",
    "FiraMethod",
    "FrozenDtype",
    "FullMethod",
    "GaloreMethod",
    "GradientCheckpointing",
    "HeldOut",
    "KeepReset",
    "Line",
    "LoraMethod",
    "LowRank",
    "LowrankMethod",
    "MagnitudeReset",
    "MethodName",
    "MethodSpec",
    "ModelSpec",
    "MuonOptimizer",
    "NoTokenizer",
    "OptimizerReset",
    "OptimizerSpec",
    "Phases",
    "PresetModel",
    "PretrainedModel",
    "PretrainedTokenizer",
    "RandomReset",
    "ReloraMethod",
    "Reset",
    "RotateReset",
    "ScheduleSpec",
    "Source",
    "Spec",
    "SpecConflict",
    "SpecWarning",
    "SpectrumSpec",
    "Steps",
    "Targets",
    "TaskName",
    "TextPattern",
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
    "default_restart_warmup",
    "is_hub_dataset",
    "names_of",
    "read_accepted",
    "train_part",
    "was_accepted",
    "with_absolute_paths",
    "written_vocab_size",
]
