"""The tables and the chart in docs/performance.md, from the committed results.

`python -m benchmarks.report` writes them again without a new measurement.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.figures import FIGURES, Device, Figure
from benchmarks.goals import MET_OR_MISSED
from benchmarks.machine import ROOT
from benchmarks.picture import picture
from benchmarks.results import FOLDER, Comparison, Measured, Results
from relora_core.estimate.text_table import text_table

PAGE = ROOT / "docs" / "performance.md"
PICTURE = ROOT / "docs" / "pictures" / "performance.png"
NOT_MEASURED = "not measured"
COLUMNS = ("goal", "median", "lowest to highest", MET_OR_MISSED)
TITLES = {
    "full": "full rank, compiled",
    "lora": "lora",
    "relora": "relora",
    "relora_int8": "relora, int8 frozen weights",
    "relora_fp8": "relora, fp8 frozen weights",
    "peft_trainer": "peft LoRA, `transformers.Trainer`",
    "peft_compiled": "peft LoRA, compiled",
}


def write_page() -> None:
    results = read_results()
    PAGE.write_text(with_measured(PAGE.read_text(), measured_part(results)))
    if (cpu := results["cpu"]) and "speed" in cpu.comparisons:
        PICTURE.write_bytes(picture(cpu.comparisons["speed"], TITLES))


def read_results(folder: Path = FOLDER) -> dict[Device, Results | None]:
    files: dict[Device, Path] = {"cpu": folder / "cpu.json", "cuda": folder / "cuda.json"}
    return {device: Results.read(file) if file.exists() else None for device, file in files.items()}


def with_measured(page: str, part: str, name: str = "measured") -> str:
    """Return the page with `part` between the markers of this name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    pattern = re.compile(f"{begin}.*{end}", re.S)
    assert pattern.search(page), f"{PAGE} has both markers"
    return pattern.sub(lambda _: f"{begin}\n{part}\n{end}", page)


def measured_part(results: dict[Device, Results | None]) -> str:
    parts = ["### Figures and goals", "", *_figures(results)]
    if results["cpu"] is not None:
        parts += ["", f"![Tokens a second on the CPU](pictures/{PICTURE.name})"]
    for title, measured in (("CPU", results["cpu"]), ("GPU", results["cuda"])):
        parts += ["", f"### {title}", ""]
        parts += _measurements(measured) if measured else [f"{NOT_MEASURED.capitalize()}."]
    return "\n".join(parts)


def as_text(results: Results, device: Device) -> str:
    """Return the table as text for the terminal."""
    rows = [
        [figure.title, *_cells(figure, results)] for figure in FIGURES if figure.device == device
    ]
    return text_table(["figure", *COLUMNS], rows)


def _figures(results: dict[Device, Results | None]) -> Iterator[str]:
    yield f"| | figure | {' | '.join(COLUMNS)} |"
    yield f"| --- | --- | {' | '.join('---' for _ in COLUMNS)} |"
    for figure in FIGURES:
        device = "CPU" if figure.device == "cpu" else "GPU"
        yield f"| {' | '.join([device, figure.title, *_cells(figure, results[figure.device])])} |"


def _cells(figure: Figure, results: Results | None) -> list[str]:
    """Return the cells of a figure's row, in the order of `COLUMNS`."""
    goal = figure.goal.written(figure.form) if figure.goal else "none"
    numbers = figure.numbers(results) if results else None
    if not numbers:
        return [goal, NOT_MEASURED, "", ""]
    spread = f"{min(numbers):{figure.form}} to {max(numbers):{figure.form}}"
    return [
        goal,
        f"{figure.median(results):{figure.form}}",
        spread if len(numbers) > 1 else "",
        figure.verdict(results),
    ]


def _measurements(results: Results) -> Iterator[str]:
    machine = results.machine
    yield (
        f"{machine.cpu}{f', {machine.gpu}' if machine.gpu else ''}: {machine.cores} cores, "
        f"{machine.threads} threads, {machine.memory_gib} GiB, {', '.join(machine.flags)}. "
        f"torch {machine.torch}, transformers {machine.transformers}, Python {machine.python}, "
        f"commit {machine.commit}, {results.measured_at:%Y-%m-%d}, load average before "
        f"{machine.load_average}, after {results.load_average_after}; "
        f"{'quick bench' if results.quick else 'bench'}, {results.seconds:.0f} s."
    )
    for comparison in results.comparisons.values():
        yield ""
        yield from _comparison(comparison)


def _comparison(comparison: Comparison) -> Iterator[str]:
    rounds = max(len(c.tokens_per_second) for c in comparison.contenders.values())
    yield (
        f"{comparison.model}: rank {comparison.rank}, {comparison.sequences} x "
        f"{comparison.sequence_length} tokens a step, {comparison.precision}; rounds: {rounds}, "
        f"timed steps of each turn: {comparison.steps}."
    )
    yield ""
    yield "| contender | tokens/s, median | lowest to highest | peak memory, GiB | MFU | HFU |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for name, measured in comparison.contenders.items():
        yield f"| {' | '.join([TITLES[name], *_contender(measured)])} |"
    if counted := comparison.counted("relora", "full"):
        speed, memory = counted
        yield ""
        yield (
            f"Counted, not measured: relora computes {1 / speed:.0%} of what full rank computes "
            f"for a token, so with the same share of the peak it is {speed:.2f} times as fast; the "
            f"tensors of its step take {memory:.0%} of the memory."
        )


def _contender(measured: Measured) -> Sequence[str]:
    speeds = measured.tokens_per_second
    shares = [f"{share:.1%}" if share else "-" for share in (measured.mfu, measured.hfu)]
    return [
        f"{measured.median:,.0f}",
        f"{min(speeds):,.0f} to {max(speeds):,.0f}",
        f"{measured.peak_bytes / 1024**3:.2f}",
        *shares,
    ]


if __name__ == "__main__":
    write_page()
