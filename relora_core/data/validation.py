"""What an evaluation scores: one or several sets of examples."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from relora_core.data.batch import Dataset

D_co = TypeVar("D_co", bound=Dataset, covariant=True)


@dataclass(frozen=True)
class ValidationSet(Generic[D_co]):
    """A set of examples, of which an evaluation scores the first `num_scored`.

    `weight` is the share of its scores in the scores of the run. A set without a name is the whole
    validation data. A set with a name also gets scores of its own.
    """

    name: str | None
    dataset: D_co
    num_scored: int
    weight: float

    def __len__(self) -> int:
        return len(self.dataset)
