"""The parts of the first minutes on a GPU, in order of worth, and what each may take.

Imports nothing but the standard library, so that a missing package is told as a part's failure.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FROZEN_TYPES = ("bf16", "int8", "fp8", "fp32")


@dataclass(frozen=True)
class Part:
    """A function that measures or checks something, in a process of its own.

    `function` is `module:name`. `needs` are packages, and `gpu`. Without them the part is not run.
    """

    name: str
    function: str
    limit_seconds: float
    needs: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()


Stage = Sequence[Part]  # parts that run at the same time, because none of them measures speed

_HERE = "benchmarks.first_gpu"

STAGES: Sequence[Stage] = (
    [Part("environment", f"{_HERE}.environment:look", 40)],
    [Part("gpu_tests", f"{_HERE}.gpu_tests:run", 140, needs=("gpu", "pytest"))],
    [Part("llama_350m", f"{_HERE}.speed:pair", 120)],
    [
        *(
            Part(f"frozen_{dtype}", f"{_HERE}.lifecycle:of_type", 150, arguments=(dtype,))
            for dtype in FROZEN_TYPES
        ),
        Part("one_rank", f"{_HERE}.one_rank:layouts", 120),
        Part("repeats", f"{_HERE}.repeats:compare", 120),
        Part(
            "frozen_nf4",
            f"{_HERE}.lifecycle:of_type",
            150,
            needs=("bitsandbytes",),
            arguments=("nf4",),
        ),
        Part("adamw_8bit", f"{_HERE}.lifecycle:of_adamw_8bit", 150, needs=("bitsandbytes",)),
    ],
    [Part("llama_1b", f"{_HERE}.speed:one_billion", 220)],
    [Part("automatic", f"{_HERE}.automatic:switch", 150)],
)
