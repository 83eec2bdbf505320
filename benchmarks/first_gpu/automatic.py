"""The defaults of a user: the micro-batch that is found by itself, before and after the switch."""

from torch._dynamo.utils import counters

from benchmarks.first_gpu.part import PartFailed, Results, Setting
from benchmarks.first_gpu.runs import run, short_spec
from relora_core.events import PhaseStarted, StepFinished, Warned

STEPS = 12


def switch(setting: Setting) -> Results:
    """llama_350m with 512 sequences a step: what the probe takes, and what its steps take."""
    spec = short_spec(
        setting,
        steps=STEPS,
        preset="llama_350m" if setting.on_gpu else None,
        training={"global_batch_size": 512 if setting.on_gpu else 4, "micro_batch_size": "auto"},
    )
    begun = run(spec, setting, "automatic")
    yield "run", begun.told()
    yield "compiler", dict(counters["stats"])  # one graph for each phase and one to evaluate
    yield "phases", [event.model_dump(mode="json") for event in begun.of(PhaseStarted)]
    yield "steps", [event.model_dump(mode="json") for event in begun.of(StepFinished)]
    smaller = [event.message for event in begun.of(Warned) if event.code == "out_of_memory"]
    if smaller:
        raise PartFailed(f"the micro-batch that was found did not fit: {smaller[0]}")
