"""The singular values of a matrix, and measures of its rank.

The total update W - W0 of a layer shows whether ReLoRA works: one low-rank update has rank r, a
sum of k updates has a rank of up to k r (arXiv 2307.05695, section 3).
"""

from collections.abc import Iterable
from statistics import geometric_mean, mean
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

MAX_VALUES = 512  # the most singular values kept of a matrix, and computed of a large one
LARGEST_EXACT = 1024  # all values are computed if the smaller side is at most this
_POWER_ITERATIONS = 2
_EPS = torch.finfo(torch.float32).eps

Measure = Literal["effective_rank", "stable_rank", "numerical_rank"]


class Spectrum(BaseModel):
    """The singular values of one matrix. A matrix of zeros has rank 0 by every measure."""

    model_config = ConfigDict(frozen=True)

    shape: tuple[int, int]
    singular_values: tuple[float, ...]  # the largest first, at most `MAX_VALUES`; six digits
    exact: bool  # whether all were computed; else effective and numerical rank are lower bounds
    norm: float  # Frobenius
    effective_rank: float
    stable_rank: float
    numerical_rank: int
    # of the values that the numerical rank counts: the largest over the smallest
    condition_number: float | None = None  # None for zeros, or if not all values were computed

    @property
    def conditioning(self) -> "Conditioning":
        return Conditioning(
            effective_rank=self.effective_rank, condition_number=self.condition_number
        )


class Conditioning(BaseModel):
    """How evenly a matrix scales the directions that it does not map to zero."""

    model_config = ConfigDict(frozen=True)

    effective_rank: float
    condition_number: float | None


class UpdateSpectrum(BaseModel):
    """The total update W - W0 of a model's target layers, before a step is taken."""

    model_config = ConfigDict(frozen=True)

    step: int
    restart: int  # the number of restarts so far, including one right before this step
    layers: dict[str, Spectrum]
    weights: dict[str, Conditioning] = {}  # of W itself; empty in files of older versions

    def mean(self, measure: Measure) -> float:
        return mean(float(getattr(layer, measure)) for layer in self.layers.values())


class SpectrumFile(BaseModel):
    """`reports/spectrum.json`: what a run has measured so far."""

    model_config = ConfigDict(frozen=True)

    method: str
    rank: int | None  # of one low-rank update; null for a full-rank method
    since_step: int  # W0 is the weight before this step
    spectra: tuple[UpdateSpectrum, ...]


def spectrum_of(matrix: Tensor, *, seed: int = 0) -> Spectrum:
    """Return the spectrum of a matrix (m, n) of finite numbers, computed on its device in fp32.

    The effective rank is the exponential of the entropy of the normalized singular values (Roy and
    Vetterli 2007). The stable rank is the squared Frobenius norm over the squared spectral norm.
    The numerical rank is the number of values over eps * sigma_max * max(m, n) with fp32's eps. The
    condition number is the largest of these values over the smallest. If both sides are over
    `LARGEST_EXACT`, compute only the first `MAX_VALUES` values, with a randomized method that is
    seeded with `seed`.
    """
    matrix = matrix.detach().float()
    m, n = matrix.shape
    exact = min(m, n) <= LARGEST_EXACT
    found = torch.linalg.svdvals(matrix) if exact else _leading_values(matrix, seed)
    values = found.double().cpu()  # (min(m, n) or MAX_VALUES,)
    norm = float(torch.linalg.vector_norm(matrix, dtype=torch.float64))
    largest = float(values[0])
    rank = int((values > _EPS * largest * max(m, n)).sum())
    return Spectrum(
        shape=(m, n),
        singular_values=tuple(float(f"{value:.6g}") for value in values[:MAX_VALUES].tolist()),
        exact=exact,
        norm=norm,
        effective_rank=_effective_rank(values),
        stable_rank=(norm / largest) ** 2 if largest else 0.0,
        numerical_rank=rank,
        condition_number=largest / float(values[rank - 1]) if rank and exact else None,
    )


def update_spectrum(
    layers: Iterable[tuple[str, Tensor, Tensor]], *, step: int, restart: int
) -> UpdateSpectrum:
    """Measure layers given as name, update W - W0 and weight W."""
    updates, weights = {}, {}
    for name, update, weight in layers:
        updates[name] = spectrum_of(update)
        weights[name] = spectrum_of(weight).conditioning
    return UpdateSpectrum(step=step, restart=restart, layers=updates, weights=weights)


def mean_condition(matrices: Iterable[Spectrum | Conditioning]) -> float | None:
    """Return the geometric mean of the condition numbers, or None if one is not known."""
    numbers = [matrix.condition_number for matrix in matrices]
    known = [number for number in numbers if number is not None]
    return geometric_mean(known) if known and len(known) == len(numbers) else None


def _effective_rank(values: Tensor) -> float:
    total = values.sum()
    return float(torch.special.entr(values / total).sum().exp()) if total else 0.0


def _leading_values(matrix: Tensor, seed: int) -> Tensor:
    """Compute the first `MAX_VALUES` values by a randomized range finder with power iterations.

    Source: Halko, Martinsson and Tropp (arXiv 0909.4061), algorithms 4.4 and 5.1.
    """
    generator = torch.Generator().manual_seed(seed)  # on the CPU: the same draw on any device
    probes = torch.randn(matrix.shape[1], MAX_VALUES, generator=generator).to(matrix.device)
    basis, _ = torch.linalg.qr(matrix @ probes)  # (m, MAX_VALUES)
    for _ in range(_POWER_ITERATIONS):
        rows, _ = torch.linalg.qr(matrix.T @ basis)  # (n, MAX_VALUES)
        basis, _ = torch.linalg.qr(matrix @ rows)
    return torch.linalg.svdvals(basis.T @ matrix)
