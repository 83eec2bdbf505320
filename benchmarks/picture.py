"""A chart of the speeds in a comparison: a bar for each median, a point for each round."""

from collections.abc import Mapping
from io import BytesIO

from matplotlib.figure import Figure

from benchmarks.results import Comparison


def picture(comparison: Comparison, titles: Mapping[str, str]) -> bytes:
    """Return the chart as a PNG."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots()
    for place, (name, measured) in enumerate(comparison.contenders.items()):
        color = "tab:blue" if name in {"relora", "lora"} else "tab:gray"
        speeds = measured.tokens_per_second
        axes.barh(place, measured.median, color=color, alpha=0.6)
        axes.plot(speeds, [place] * len(speeds), "|", color="black", markersize=12)
    names = [titles[name].replace("`", "") for name in comparison.contenders]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="tokens/s (bar: median; marks: rounds)", title=comparison.model)
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
