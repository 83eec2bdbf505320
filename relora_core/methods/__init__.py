"""Training methods: what each does to the model and the optimizer between steps.

The module of a method has its name and a function `build`; its fields and its facts are in
`relora_core.spec.method`.
"""

from importlib import import_module

from relora_core.methods.method import Method
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec


def build_method(spec: TrainSpec, timeline: Timeline) -> Method:
    """Build the method that the spec names."""
    module = import_module(f"{__name__}.{spec.method.name}")
    method: Method = module.build(spec, spec.method, timeline)
    return method
