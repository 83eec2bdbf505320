"""What the trainer asks of a task: all that depends on the kind of model it trains."""

from pathlib import Path
from typing import Protocol

from torch import Tensor, nn
from transformers import PreTrainedModel

from relora_core.data.batch import Batch, Dataset
from relora_core.data.fingerprints import Contents
from relora_core.events import Evaluated
from relora_core.methods.method import Method
from relora_core.models.build import AutoModel


class Processor(Protocol):
    """What turns raw data into a model's inputs; it is exported beside the model."""

    def save_pretrained(self, save_directory: Path) -> object: ...


class TaskParts(Protocol):
    """What an exported model needs of its task; there is no data in it."""

    @property
    def processor(self) -> Processor: ...

    @property
    def auto_model(self) -> AutoModel:
        """The class of transformers that builds the model and loads what is exported."""


class Task(TaskParts, Protocol):
    """A task with its data, ready to train on."""

    @property
    def train(self) -> Dataset: ...

    @property
    def validation(self) -> Dataset: ...

    @property
    def contents(self) -> Contents:
        """Hashes of the data and of what turns it into a model's inputs."""

    @property
    def evaluation_examples(self) -> int:
        """How many examples an evaluation scores: the first of the validation split."""

    def build_model(self, method: Method) -> PreTrainedModel:
        """The plain model that a run of this method starts from, in fp32 on the CPU.

        Raises `ModelError` if it is wrong or does not fit the data.
        """

    def example_bytes(self, model: PreTrainedModel) -> int:
        """Roughly the memory that one example takes in a forward pass in fp32."""

    def objective(self, model: PreTrainedModel) -> nn.Module:
        """The module that a step calls, compiles and replicates: the model, or one around it."""

    def sum_of_losses(self, objective: nn.Module, batch: Batch) -> Tensor:
        """The loss summed over the batch's targets, with a graph to differentiate."""

    @property
    def num_sums(self) -> int:
        """How many numbers `measure` returns."""

    def measure(self, objective: nn.Module, batch: Batch) -> Tensor:
        """Score a batch: sums that add up over batches and ranks, fp64 (num_sums,)."""

    def evaluated(self, step: int, sums: Tensor) -> Evaluated:
        """The report of what `measure` returned, added up."""
