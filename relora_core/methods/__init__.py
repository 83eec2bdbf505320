"""Training methods: what each does to the model and the optimizer between steps.

A new one is a spec in `relora_core.spec`, a module here and a case in `build_method`.
"""

from typing import assert_never

from relora_core.methods.control import Control
from relora_core.methods.full import Full
from relora_core.methods.galore import Galore
from relora_core.methods.lora import Lora
from relora_core.methods.lowrank import Lowrank
from relora_core.methods.method import Method
from relora_core.methods.relora import Relora
from relora_core.optim.timeline import Timeline
from relora_core.spec import (
    ControlMethod,
    FullMethod,
    GaloreMethod,
    LoraMethod,
    LowrankMethod,
    ReloraMethod,
    TrainSpec,
)


def build_method(spec: TrainSpec, timeline: Timeline) -> Method:
    match spec.method:
        case FullMethod():
            return Full()
        case ControlMethod():
            return Control(spec.method)
        case LowrankMethod():
            return Lowrank(spec, spec.method)
        case LoraMethod():
            return Lora(spec, spec.method, timeline)
        case ReloraMethod():
            return Relora(spec, spec.method, timeline)
        case GaloreMethod():
            return Galore(spec.method)
        case _:
            assert_never(spec.method)
