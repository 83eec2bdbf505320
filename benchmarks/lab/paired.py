"""Statistics of paired differences: Student's t, equivalence by two one-sided tests, and Holm."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

import mpmath


@dataclass(frozen=True)
class Paired:
    """Differences between two arms, one for each seed, in ln(perplexity)."""

    differences: tuple[float, ...]

    @property
    def mean(self) -> float:
        return mean(self.differences)

    @property
    def standard_error(self) -> float:
        """The standard error of the mean; it needs two differences."""
        return stdev(self.differences) / math.sqrt(len(self.differences))

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        half = t_quantile((1 + level) / 2, len(self.differences) - 1) * self.standard_error
        return self.mean - half, self.mean + half

    def ends(self, level: float = 0.95) -> tuple[float, ...]:
        """Return the ends of the interval; none if there are less than two differences."""
        return self.interval(level) if len(self.differences) > 1 else ()

    def p_below(self, bound: float = 0.0) -> float:
        """Return the p-value of the claim that the true mean is below the bound."""
        return self._p(self.mean - bound)

    def p_within(self, margin: float) -> float:
        """Return the p-value of the claim that the true mean is within the margin around zero.

        It is the larger one of two one-sided tests (Schuirmann 1987).
        """
        return max(self.p_below(margin), self._p(-self.mean - margin))

    def _p(self, distance: float) -> float:
        error = self.standard_error
        if error == 0:
            return 0.0 if distance < 0 else 1.0
        return t_cdf(distance / error, len(self.differences) - 1)


def t_cdf(t: float, degrees: int) -> float:
    """Return the probability that Student's t with these degrees of freedom is below `t`."""
    tail = mpmath.betainc(degrees / 2, 0.5, 0, degrees / (degrees + t * t), regularized=True) / 2
    return float(tail if t < 0 else 1 - tail)


def t_quantile(probability: float, degrees: int) -> float:
    """Return the t below which Student's t falls with this probability, 0.5 to 1."""
    low, high = 0.0, 1.0
    while t_cdf(high, degrees) < probability:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if t_cdf(middle, degrees) < probability else (low, middle)
    return high


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number (Holm 1979), in the same order."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    by_size = sorted(range(len(p_values)), key=p_values.__getitem__)
    for place, index in enumerate(by_size):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = highest
    return adjusted
