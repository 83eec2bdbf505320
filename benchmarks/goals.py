"""The goals of the figures."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

R = TypeVar("R")

MET_OR_MISSED = "met / missed"  # the title of the column


@dataclass(frozen=True)
class AtLeast:
    number: float

    def met_by(self, figure: float) -> bool:
        return figure >= self.number

    def written(self, form: str) -> str:
        """Return the goal as text, in the format of its figure."""
        return f"{_written(self.number, form)} or more"


@dataclass(frozen=True)
class AtMost:
    number: float

    def met_by(self, figure: float) -> bool:
        return figure <= self.number

    def written(self, form: str) -> str:
        return f"{_written(self.number, form)} or less"


@dataclass(frozen=True)
class Goal(Generic[R]):
    """A number of the results that must not be more than `most`."""

    key: str
    title: str
    most: float
    unit: str
    number: Callable[[R], float]

    def met_by(self, results: R) -> bool:
        return self.number(results) <= self.most

    def cells(self, results: R) -> list[str]:
        """Return its row of a table: the title, the goal, what was measured and the verdict."""
        return [
            self.title,
            f"{self.most:,g} {self.unit}".strip(),
            f"{_rounded(self.number(results))} {self.unit}".strip(),
            verdict(met=self.met_by(results)),
        ]


def _rounded(number: float) -> str:
    if number == int(number):
        return f"{number:,.0f}"
    return f"{number:,.1f}" if number >= 10 else f"{number:.2f}"


def verdict(*, met: bool) -> str:
    return "met" if met else "missed"


def _written(number: float, form: str) -> str:
    return f"{number * 100:g}%" if form.endswith("%") else f"{number:,g}"
