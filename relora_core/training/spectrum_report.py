"""Report how the total update W - W0 of a run grows, as JSON and as a picture.

The report measures at restarts and at the end. The picture is drawn only at the end, because
drawing takes the time of many steps. The initial weights W0 and all measurements so far are part
of the run's state and of its checkpoints, because a resumed run needs them, also on another
machine.
"""

import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from statistics import mean

from torch import Tensor
from torch.linalg import LinAlgError  # type: ignore[attr-defined] # its stubs leave it out

from relora_core.distributed.dtensor import full_tensor, is_fsdp_model
from relora_core.distributed.world import World
from relora_core.events import Emit, SpectrumMeasured, Warned
from relora_core.files import publish_file
from relora_core.lowrank.inject import exact_weight, num_weights, target_layers
from relora_core.lowrank.spectrum import (
    SpectrumFile,
    UpdateSpectrum,
    mean_condition,
    update_spectrum,
)
from relora_core.lowrank.spectrum_picture import picture
from relora_core.optim.timeline import Timeline
from relora_core.spec import Factors, Targets, TrainSpec
from relora_core.state import TrainState
from relora_core.workdir.files import REPORTS

REPORT = f"{REPORTS}/spectrum.json"
PICTURE = f"{REPORTS}/spectrum.png"


class SpectrumReport:
    """The report of one run. The trainer calls it before each step.

    Only the main rank measures. The others have a part in it if the model is sharded: the whole
    weights are gathered layer by layer.
    """

    def __init__(
        self,
        spec: TrainSpec,
        state: TrainState,
        timeline: Timeline,
        *,
        workdir: Path,
        world: World,
        emit: Emit,
    ) -> None:
        self.spec = spec
        self.timeline = timeline
        self.workdir = workdir
        self.emit = emit
        self.world = world
        self.sharded = is_fsdp_model(state.model)
        self.measures = (world.is_main or self.sharded) and self._is_wanted(state)
        if not (self.measures and world.is_main):
            state.reference = {}

    def before_step(self, state: TrainState) -> None:
        """Keep a copy of W0 at the step that the spec names, and measure at the end of a cycle.

        Call it before any merge.
        """
        step = state.counters.step
        if not self.measures:
            return
        if step == self.spec.spectrum_since_step:
            layers = target_layers(state.model, self._targets)
            weights = ((name, exact_weight(layer)) for name, layer in layers)
            state.reference = self.world.gather_to_main(weights)
        elif self._is_due(step):
            restarts = state.counters.restarts + self.timeline.is_restart(step)
            self._measure(state, restarts)

    def finish(self, state: TrainState) -> None:
        if self.measures:
            self._measure(state, state.counters.restarts)

    @property
    def _targets(self) -> Targets:
        """Return the method's target layers, or every linear layer of the blocks if it has none."""
        return self.spec.method if isinstance(self.spec.method, Targets) else Targets(rank=1)

    def _is_wanted(self, state: TrainState) -> bool:
        layers = target_layers(state.model, self._targets)
        return self.spec.spectrum.covers(sum(num_weights(layer) for _, layer in layers))

    def _is_due(self, step: int) -> bool:
        every = self.spec.spectrum.every
        if step < self.spec.spectrum_since_step:
            return False
        return self.timeline.ends_cycle(step) or (every is not None and step % every == 0)

    def _measure(self, state: TrainState, restart: int) -> None:
        started = time.perf_counter()
        step = state.counters.step
        if not self._has_reference(state):
            self._warn(step, "the checkpoint does not hold the weights that it is counted from")
            return
        layers = self._layers(state)
        try:
            spectrum = update_spectrum(layers, step=step, restart=restart)
        except LinAlgError as error:  # a failed report must not end the run
            self._warn(step, str(error))
            return
        finally:
            deque(layers, maxlen=0)  # all ranks gather all layers, also after an error of the main
        if not self.world.is_main:
            return
        state.spectra.append(spectrum)
        file = self._file(state.spectra)
        publish_file(self.workdir / REPORT, file.model_dump_json().encode())
        if step == self.spec.total_steps:
            publish_file(self.workdir / PICTURE, picture(file))
        self.emit(_event(spectrum, seconds=time.perf_counter() - started))

    def _has_reference(self, state: TrainState) -> bool:
        """Return whether the main rank has W0. Where all ranks take part, all know it."""
        known = bool(state.reference)
        return bool(self.world.broadcast(int(known))) if self.sharded else known

    def _layers(self, state: TrainState) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Yield the name, the update and the weight, both (d_out, d_in), of every target layer.

        Only the main rank gets them; the others help to gather them.
        """
        for name, layer in target_layers(state.model, self._targets):
            weight = full_tensor(exact_weight(layer))
            if self.world.is_main:
                yield name, weight - state.reference[name].to(weight.device), weight

    def _file(self, spectra: list[UpdateSpectrum]) -> SpectrumFile:
        method = self.spec.method
        return SpectrumFile(
            method=method.name,
            rank=method.rank if isinstance(method, Factors) else None,
            since_step=self.spec.spectrum_since_step,
            spectra=tuple(spectra),
        )

    def _warn(self, step: int, reason: str) -> None:
        message = f"no spectrum of the update before step {step}: {reason}"
        self.emit(Warned(code="no_spectrum", step=step, message=message))


def _event(spectrum: UpdateSpectrum, *, seconds: float) -> SpectrumMeasured:
    return SpectrumMeasured(
        step=spectrum.step,
        restart=spectrum.restart,
        layers=len(spectrum.layers),
        effective_rank=spectrum.mean("effective_rank"),
        stable_rank=spectrum.mean("stable_rank"),
        numerical_rank=spectrum.mean("numerical_rank"),
        condition_number=mean_condition(spectrum.layers.values()),
        weight_effective_rank=mean(weight.effective_rank for weight in spectrum.weights.values()),
        weight_condition_number=mean_condition(spectrum.weights.values()),
        path=REPORT,
        seconds=seconds,
    )
