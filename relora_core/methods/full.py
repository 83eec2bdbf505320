"""The method full: full-rank training, as a baseline."""

from relora_core.events import AnyTrainEvent
from relora_core.methods.method import Method, enter_phase
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec
from relora_core.spec.method import FullMethod
from relora_core.state import TrainState


def build(_spec: TrainSpec, _method: FullMethod, _timeline: Timeline) -> Method:
    return Full()


class Full(Method):
    def before_step(self, state: TrainState) -> list[AnyTrainEvent]:
        return [enter_phase(state, "full_rank")] if state.counters.phase is None else []
