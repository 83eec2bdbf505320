"""The training methods: how each changes the model and the optimizer between steps.

The module of a method has the method's name and a function `build`. The fields and properties of a
method are in `relora_core.spec.method`.
"""

from importlib import import_module

from relora_core.methods.method import Method
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec


def build_method(spec: TrainSpec, timeline: Timeline) -> Method:
    """Return the method that the spec names."""
    module = import_module(f"{__name__}.{spec.method.name}")
    method: Method = module.build(spec, spec.method, timeline)
    return method
