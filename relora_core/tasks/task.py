"""The interface of a task: everything in training that depends on the kind of model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn
from transformers import PreTrainedModel

from relora_core.data.batch import Batch, Dataset
from relora_core.data.fingerprints import DataFingerprints
from relora_core.data.order import Mixture
from relora_core.data.validation import ValidationSet
from relora_core.events import Evaluated
from relora_core.methods.method import Method
from relora_core.models.build import AutoModel


class Processor(Protocol):
    """The tokenizer or image processor of a model. It is exported with the model."""

    def save_pretrained(self, save_directory: Path) -> object: ...


class TaskParts(Protocol):
    """The parts of a task that an exported model needs, without data."""

    @property
    def processor(self) -> Processor: ...

    @property
    def auto_model(self) -> AutoModel:
        """The class of transformers that builds the model and loads the exported one."""


class Task(TaskParts, Protocol):
    """A task with its data, ready to train on."""

    @property
    def train(self) -> Dataset | Mixture: ...

    @property
    def validation(self) -> Sequence[ValidationSet[Dataset]]:
        """What an evaluation scores. The weights add up to 1."""

    @property
    def fingerprints(self) -> DataFingerprints:
        """The hashes of the data and of the tokenizer or labels."""

    def build_model(self, method: Method, *, weights: bool = True) -> PreTrainedModel:
        """Return the plain model that a run of this method starts from, in fp32 on the CPU.

        Without `weights`, its parameters are on the meta device. Raise `ModelError` if the model is
        wrong or does not fit the data.
        """

    def example_bytes(self, model: PreTrainedModel) -> int:
        """Return roughly the bytes that one example takes in a forward pass in fp32."""

    def objective(self, model: PreTrainedModel) -> nn.Module:
        """Return the module that a step calls, compiles and replicates: the model or a wrapper."""

    def sum_of_losses(self, objective: nn.Module, batch: Batch) -> Tensor:
        """Return the loss summed over the batch's targets, with its autograd graph."""

    @property
    def num_sums(self) -> int:
        """The number of sums that `measure` returns."""

    def measure(self, objective: nn.Module, batch: Batch) -> Tensor:
        """Score a batch, without the examples whose targets are `IGNORED`.

        Return sums that can be added over batches and ranks, fp64 (num_sums,). The second is the
        number of targets.
        """

    def evaluated(self, step: int, sums: Tensor) -> Evaluated:
        """Return the evaluation event for the added sums of `measure`."""
