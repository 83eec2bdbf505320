"""What a figure has to reach, and whether it does."""

from dataclasses import dataclass

MET_OR_MISSED = "met / missed"  # the title of the column


@dataclass(frozen=True)
class AtLeast:
    number: float

    def met_by(self, figure: float) -> bool:
        return figure >= self.number

    def written(self, form: str) -> str:
        """As a person reads it, beside figures of this form."""
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
