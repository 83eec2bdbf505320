"""Draw how the singular values of the update grow.

The drawing functions take a matplotlib `Axes`, so that several runs can share a figure.
"""

from io import BytesIO
from itertools import zip_longest
from statistics import mean
from typing import TYPE_CHECKING

from relora_core.lowrank.spectrum import Measure, SpectrumFile, UpdateSpectrum
from relora_core.spec import METHODS

if TYPE_CHECKING:  # matplotlib takes a second to import, and most runs draw nothing
    from matplotlib.axes import Axes

_FLOOR = 1e-6  # the lowest value drawn, as a share of the largest one; fp32 rounding is below it
_MAX_LABELS = 6
_MEASURES: dict[Measure, str] = {"numerical_rank": "numerical", "effective_rank": "effective"}


def picture(file: SpectrumFile) -> bytes:
    """Return a PNG: on the left the singular values at each measurement, on the right the ranks."""
    from matplotlib.figure import Figure  # imported late; without pyplot: no state, no display

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    draw_values(left, file)
    draw_ranks(right, file)
    figure.suptitle(
        f"{METHODS[file.method].title}: the update of the weights since step {file.since_step:,}"
    )
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def draw_values(axes: "Axes", file: SpectrumFile) -> None:
    """Draw the singular values by index: their mean over the layers, one line a measurement."""
    import matplotlib

    colors = matplotlib.colormaps["viridis"]
    last = len(file.spectra) - 1
    labelled = {round(last * i / (_MAX_LABELS - 1)) for i in range(_MAX_LABELS)}
    for number, spectrum in enumerate(file.spectra):
        values = mean_values(spectrum)
        color = colors(0.9 - 0.85 * number / max(1, last))  # dark is late
        label = f"step {spectrum.step:,}" if number in labelled else None
        axes.semilogy(range(1, len(values) + 1), values, color=color, label=label)
    largest = max((values[0] for s in file.spectra if (values := mean_values(s))), default=1.0)
    axes.set_ylim(bottom=max(largest, 1e-30) * _FLOOR)
    axes.set(xlabel="index of the singular value", ylabel="singular value, mean over layers")
    mark_rank(axes, file, along="x")
    axes.legend(fontsize="small", frameon=False)


def draw_ranks(axes: "Axes", file: SpectrumFile) -> None:
    """Draw numerical and effective rank by step. The band spans the lowest to the highest layer."""
    steps = [file.since_step, *(spectrum.step for spectrum in file.spectra)]
    for measure, label in _MEASURES.items():
        ranks = [[getattr(x, measure) for x in s.layers.values()] for s in file.spectra]
        [line] = axes.plot(steps, [0, *map(mean, ranks)], "o-", markersize=4, label=label)
        low, high = [0, *map(min, ranks)], [0, *map(max, ranks)]
        axes.fill_between(steps, low, high, alpha=0.15, color=line.get_color())
    axes.set_ylim(bottom=0)
    axes.set(xlabel="optimizer step", ylabel="rank, mean over layers (band: lowest to highest)")
    mark_rank(axes, file, along="y")
    axes.legend(fontsize="small", frameon=False)


def mark_rank(axes: "Axes", file: SpectrumFile, *, along: str) -> None:
    """Draw a dashed line at the rank of one low-rank update."""
    if file.rank is None:
        return
    line = axes.axvline if along == "x" else axes.axhline
    line(file.rank, color="gray", linestyle="--", linewidth=1, label=f"one update, r = {file.rank}")


def mean_values(spectrum: UpdateSpectrum) -> list[float]:
    """Return the mean singular value at each index, over the layers that have this index."""
    columns = zip_longest(*(layer.singular_values for layer in spectrum.layers.values()))
    return [mean(value for value in column if value is not None) for column in columns]
