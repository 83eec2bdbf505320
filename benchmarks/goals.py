"""The goals of the figures."""

from dataclasses import dataclass

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


def verdict(*, met: bool) -> str:
    return "met" if met else "missed"


def _written(number: float, form: str) -> str:
    return f"{number * 100:g}%" if form.endswith("%") else f"{number:,g}"
