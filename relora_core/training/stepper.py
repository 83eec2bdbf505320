"""One optimizer step on this rank: forward, backward, averaging, clipping, update."""

import gc
import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer
from transformers import PreTrainedModel

from relora_core.data.batch import Batch
from relora_core.distributed.dtensor import full_tensor, is_sharded
from relora_core.distributed.world import World
from relora_core.errors.out_of_memory import is_out_of_memory
from relora_core.events import Emit, Warned
from relora_core.host_memory import keep_freed_memory, return_freed_memory
from relora_core.models.compilation import compiles, missing_for_compiling
from relora_core.models.parallelize import compiled_parts
from relora_core.optim.galore import GaloreAdamW
from relora_core.optim.galore_in_backward import GaloreInBackward, with_gradients
from relora_core.optim.optimizers import set_learning_rate, step_if
from relora_core.spec import TrainSpec
from relora_core.state import Counters, TrainState
from relora_core.tasks.task import Task
from relora_core.training.device_memory import DeviceMemory, memory_of
from relora_core.training.expected_memory import ExpectedMemory, optimizer_bytes_to_come
from relora_core.training.micro_batch import cpu_micro_batch, halved
from relora_core.training.micro_batch_probe import MicroBatchProbe
from relora_core.training.step_result import PendingResult
from relora_core.workdir.micro_batch_limits import MicroBatchLimits


class Stepper:
    """Takes the optimizer steps. Call `prepare` in each phase: the trainable parameters change."""

    def __init__(
        self,
        spec: TrainSpec,
        task: Task,
        world: World,
        emit: Emit,
        limits: MicroBatchLimits,
        *,
        memory: DeviceMemory | None = None,
    ) -> None:
        """Build the stepper of one rank. `memory` is by default that of the rank's GPU."""
        self.spec = spec
        self.task = task
        self.world = world
        self.emit = emit
        self.limits = limits
        self.memory = memory or memory_of(world.device)
        self.expected: ExpectedMemory | None = None  # of the phase
        self.sequences_per_rank = spec.training.global_batch_size // world.size
        self.micro_batch_size = 1
        self._objective: nn.Module | None = None
        self._replica: nn.Module | None = None
        self._has_compiled = False  # the first step compiles

    @property
    def objective(self) -> nn.Module:
        """The task's module around the model, to compute scores on this rank alone."""
        assert self._objective is not None, "prepare comes first"
        return self._objective

    def prepare(self, state: TrainState, sample: Batch) -> None:
        """Compile the model, fit the micro-batch size and replicate the model over the ranks.

        `sample` is any batch of the data. Use the micro-batch size that the counters have for this
        phase if it was found with the same processes and devices: with another size, the same
        numbers would be summed in another order.
        """
        model = state.model
        self.release()  # the model of the phase before, with its DDP buckets
        if self.world.device.type == "cpu":
            keep_freed_memory()
            return_freed_memory()
        self._objective = self.task.objective(model)
        if compiles(self.spec.training, self.world.device):
            torch.compiler.reset()
            for part in compiled_parts(self.objective):
                part.compile(dynamic=False)
        elif self.spec.training.compile:
            missing = missing_for_compiling(self.world.device)
            message = f"torch.compile needs {missing}: running eagerly"
            self.emit(Warned(code="no_compiler", message=message))
        phase = state.counters.phase
        if self.memory is not None and phase is not None:
            self.expected = ExpectedMemory.of(self.spec, model, phase, self.world)
        self._replica = self._replicated(state.optimizer)
        kept = self._kept(state.counters)
        self.micro_batch_size = kept or self._fitting_micro_batch(state, sample)
        if isinstance(state.optimizer, GaloreAdamW):  # only now: ranks wait for each other
            state.optimizer.world = self.world
        self._has_compiled = False

    def keep_micro_batch(self, counters: Counters) -> None:
        """Record the micro-batch size in `counters`, so that a resumed run uses the same size."""
        if self.spec.training.micro_batch_size != "auto" or counters.phase is None:
            counters.micro_batches = {}
            return
        sizes = counters.micro_batches if counters.micro_batches_fit == self._fit() else {}
        counters.micro_batches = {**sizes, counters.phase: self.micro_batch_size}
        counters.micro_batches_fit = self._fit()

    def _kept(self, counters: Counters) -> int:
        """Return the recorded micro-batch size of this phase, or 0 if it must be determined again.

        The result is the same on every rank.
        """
        training = self.spec.training
        if training.micro_batch_size != "auto" or counters.phase is None:
            return 0
        known = counters.micro_batches_fit == self._fit()
        kept = counters.micro_batches.get(counters.phase, 0) if known else 0
        return self.world.minimum(kept if kept <= self._at_most(counters) else 0)

    def _at_most(self, counters: Counters) -> int:
        """Return the largest size to use: less than one that ran out of memory in this phase.

        The result is the same on every rank.
        """
        assert counters.phase is not None
        limit = self.limits.at_most(self._fit(), counters.phase)
        return self.world.minimum(self.sequences_per_rank if limit is None else limit)

    def _fit(self) -> str:
        training, device = self.spec.training, self.world.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        return (
            f"{self.world.size} x {name}, {training.parallelism}, compile {training.compile}, "
            f"gradient_checkpointing {training.gradient_checkpointing}"
        )

    def release(self) -> None:
        """Drop the references to the model, and free its memory if nothing else refers to it.

        A compiled module refers to itself, so only the garbage collector finds it.
        """
        self._objective = self._replica = None
        gc.collect()
        if self.memory is not None:
            self.memory.release()

    def step(
        self,
        state: TrainState,
        batch: Batch,
        learning_rate: float,
        *,
        asked_to_stop: bool = False,
    ) -> PendingResult:
        """Train on this rank's part of the global batch, without waiting for the device.

        The result says whether any rank was asked to stop, so that all ranks stop together.
        """
        assert self._replica is not None, "prepare comes first"
        self._replica.train()
        loss = self._gradients_that_fit(self._replica, batch, state)
        trained = list(with_gradients(state.model, state.optimizer))
        if isinstance(state.optimizer, GaloreInBackward):
            self._average(trained)
        grad_norm = nn.utils.clip_grad_norm_(trained, self.spec.training.max_grad_norm or math.inf)
        # one all-reduce for both numbers; `new_full` writes to the device without a sync
        means = self.world.mean(torch.stack([loss, loss.new_full((), float(asked_to_stop))]))
        mean_loss, share_asked = means.unbind()
        numbers = torch.stack([mean_loss, full_tensor(grad_norm).double(), share_asked])
        result = PendingResult(state.counters.step + 1, numbers)
        set_learning_rate(state.optimizer, learning_rate)
        step_if(numbers.isfinite().all(), state.optimizer)
        self._forget_gradients(state)
        if not self._has_compiled:
            self._has_compiled = True
            if self.world.device.type == "cpu":
                return_freed_memory()
        return result

    def backpropagate(self, model: PreTrainedModel, batch: Batch, number: int) -> None:
        """Run backward from the mean loss of this rank's part of the batch to the embeddings.

        No parameter gets a gradient; hooks of layers see those of their outputs. The model runs as
        in a step, with gradient checkpointing and with dropout, which the batch's number seeds. But
        it runs uncompiled, because a compiled one ignores new hooks. Its activations are larger
        then, so the micro-batches are smaller.
        """
        size = max(1, self.micro_batch_size // 2)
        objective = self.task.objective(model).train()
        trained = [p for p in model.parameters() if p.requires_grad]
        self.world.reseed(self.spec.training.seed, number)
        model.enable_input_require_grads()
        try:
            _require_gradients(trained, wanted=False)
            with torch.compiler.set_stance("force_eager"):
                for micro_batch in batch.split(size):
                    self._backward(objective, micro_batch, batch.targets.numel())
        finally:
            model.disable_input_require_grads()
            _require_gradients(trained, wanted=True)

    def autocast(self) -> AbstractContextManager[None]:
        if self.spec.training.precision == "bf16":
            return torch.autocast(self.world.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _replicated(self, optimizer: Optimizer) -> nn.Module:
        """Return what averages gradients in backward, unless they are projected there first."""
        if isinstance(optimizer, GaloreInBackward):
            return self.objective
        return self.world.replicate(self.objective)

    def _forget_gradients(self, state: TrainState) -> None:
        """Free the gradients. Set those of a replica to zero, because they are parts of buckets."""
        is_replica = isinstance(self._replica, DistributedDataParallel)
        state.optimizer.zero_grad(set_to_none=not is_replica)

    def _average(self, parameters: Iterable[nn.Parameter]) -> None:
        if self.world.size > 1:
            for parameter in parameters:
                assert parameter.grad is not None
                parameter.grad = self.world.mean(parameter.grad)

    def _gradients_that_fit(self, model: nn.Module, batch: Batch, state: TrainState) -> Tensor:
        """Accumulate the gradients. After out of memory, start again with smaller micro-batches."""
        step = state.counters.step
        while True:
            self._forget_gradients(state)  # of an attempt that did not fit
            self.world.reseed(self.spec.training.seed, step)
            try:
                return self._accumulate_gradients(model, batch)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if not self._may_shrink():
                    self._remember_limit(state.counters)
                    raise
            self._shrink(model, step)  # outside `except`: its traceback holds the activations

    def _may_shrink(self) -> bool:
        """Return whether a smaller micro-batch can be tried. With several ranks it cannot.

        There, the other ranks already wait for this rank's gradients.
        """
        automatic = self.spec.training.micro_batch_size == "auto"
        return automatic and self.world.size == 1 and self.micro_batch_size > 1

    def _remember_limit(self, counters: Counters) -> None:
        """Let the next attempt use a smaller micro-batch."""
        automatic = self.spec.training.micro_batch_size == "auto"
        if automatic and counters.phase is not None and self.micro_batch_size > 1:
            smaller = halved(self.micro_batch_size, self.sequences_per_rank)
            self.limits.record(self._fit(), counters.phase, smaller)

    def _shrink(self, model: nn.Module, step: int) -> None:
        model.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        before = self.micro_batch_size
        self.micro_batch_size = halved(before, self.sequences_per_rank)
        self.emit(
            Warned(
                code="out_of_memory",
                step=step,
                message=f"{before} sequences at once were too many for the memory before step "
                f"{step}; going on with {self.micro_batch_size}",
            )
        )

    def _accumulate_gradients(self, model: nn.Module, batch: Batch) -> Tensor:
        """Run forward and backward; return the mean loss of this rank's part, fp64 ()."""
        targets = batch.targets.numel()
        total = torch.zeros((), dtype=torch.float64, device=self.world.device)
        micro_batches = batch.split(self.micro_batch_size)
        for number, micro_batch in enumerate(micro_batches, start=1):
            last = number == len(micro_batches)
            with nullcontext() if last else self.world.no_sync(model):
                loss = self._backward(model, micro_batch, targets)
            total += loss.detach().double()
        return total

    def _backward(self, model: nn.Module, batch: Batch, targets: int) -> Tensor:
        with self.autocast():
            loss = self.task.sum_of_losses(model, batch.to(self.world.device)) / targets
        loss.backward()
        return loss

    def _fitting_micro_batch(self, state: TrainState, sample: Batch) -> int:
        wanted = self.spec.training.micro_batch_size
        if wanted != "auto":
            return min(wanted, self.sequences_per_rank)
        if self.memory is None:
            return cpu_micro_batch(self.sequences_per_rank, self.task.example_bytes(state.model))
        assert self._replica is not None
        at_most = self._at_most(state.counters)
        return self._probe(self._replica.train(), state, self.memory).largest(
            sample,
            start=self._start(state, self.memory, at_most),
            at_most=at_most,
        )

    def _probe(self, model: nn.Module, state: TrainState, memory: DeviceMemory) -> MicroBatchProbe:
        def backward(batch: Batch) -> None:
            with self.world.no_sync(model):  # a rank that runs out of memory must not be waited for
                self._backward(model, batch, batch.targets.numel())

        return MicroBatchProbe(
            memory,
            self.world,
            self.sequences_per_rank,
            backward,
            partial(self._forget_gradients, state),
            to_come=optimizer_bytes_to_come(state, self.spec, self.expected),
        )

    def _start(self, state: TrainState, memory: DeviceMemory, at_most: int) -> int:
        """Return the first size to try, the same on all ranks."""
        if is_sharded(next(state.model.parameters())):
            return 1  # ranks wait for each other within an attempt, so none may run out of memory
        estimated = self.expected and self.expected.largest_micro_batch(memory.usable())
        return self.world.minimum(min(estimated or at_most, at_most))


def _require_gradients(parameters: Iterable[nn.Parameter], *, wanted: bool) -> None:
    for parameter in parameters:
        parameter.requires_grad = wanted
