"""The restarts of ReLoRA in `transformers.Trainer`."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from relora_core.errors import ModelError
from relora_core.integrations.wrapped_model import ReLoRA, check_optimizer
from relora_core.optim.timeline import Timeline
from relora_core.spec import Phases, default_restart_warmup

logger = logging.getLogger("relora_core")


class ReLoRACallback(TrainerCallback):
    """Restart a `ReLoRA` model every `reset_every` optimizer steps.

    After each restart, the learning rate warms up again to the value of the Trainer's schedule.
    With `lr_scheduler_type="cosine"`, this is the jagged cosine of the paper. A checkpoint of the
    Trainer has everything that a resumed run needs. A finished run saves the merged model to the
    folder `final` in the Trainer's output folder.
    """

    def __init__(self, *, reset_every: int, restart_warmup_steps: int | None = None) -> None:
        """Restart at each multiple of `reset_every`.

        The learning rate warms up for `restart_warmup_steps`, by default a tenth of `reset_every`
        and at most 100. Raise `ValueError` if that is not less than `reset_every`.
        """
        if restart_warmup_steps is None:
            restart_warmup_steps = default_restart_warmup(reset_every)
        if not 0 <= restart_warmup_steps < reset_every:
            raise ValueError(
                f"restart_warmup_steps must be less than reset_every ({reset_every}); "
                f"got {restart_warmup_steps}"
            )
        self.reset_every = reset_every
        self.restart_warmup_steps = restart_warmup_steps

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 # the Trainer gives it
        **parts: Any,
    ) -> None:
        """Check the Trainer's setup, and add the warm-up after restarts to its schedule.

        Raise `ModelError` if the setup does not work with ReLoRA.
        """
        model, scheduler = parts["model"], parts["lr_scheduler"]
        _check(args, model, parts["optimizer"], scheduler)
        scheduler.lr_lambdas = [
            self._timeline(args, state, envelope).learning_rate_at
            for envelope in scheduler.lr_lambdas
        ]

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 # the Trainer gives it
        **parts: Any,
    ) -> None:
        """Restart if a restart is due, after the checkpoint of this step was saved."""
        if self._timeline(args, state).is_restart(state.global_step):
            for event in parts["model"].restart(parts["optimizer"], step=state.global_step):
                logger.info("%s", event)

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002 # the Trainer gives it
        **parts: Any,
    ) -> None:
        """Save the merged model of a finished run."""
        if state.global_step < state.max_steps or not state.is_world_process_zero:
            return
        folder = Path(args.output_dir or ".") / "final"
        parts["model"].save_pretrained(folder)
        if parts["processing_class"] is not None:
            parts["processing_class"].save_pretrained(folder)

    def _timeline(
        self,
        args: TrainingArguments,
        state: TrainerState,
        envelope: Callable[[int], float] = lambda _: 1.0,
    ) -> Timeline:
        return Timeline(
            total_steps=state.max_steps,
            phases=Phases("low_rank", 0, reset_every=self.reset_every),
            warmup_steps=args.get_warmup_steps(state.max_steps),
            restart_warmup_steps=self.restart_warmup_steps,
            envelope=envelope,
            learning_rate=1.0,  # LambdaLR multiplies by the learning rate of each group
            low_rank_learning_rate=1.0,
        )


def _check(
    args: TrainingArguments, model: object, optimizer: Optimizer, scheduler: LRScheduler
) -> None:
    if args.fsdp or args.deepspeed:
        raise ModelError(
            "ReLoRACallback needs the whole model on each process, without FSDP or DeepSpeed; for "
            "models in parts, train a spec with training.parallelism fsdp"
        )
    if not isinstance(model, ReLoRA):
        raise ModelError(
            "ReLoRACallback restarts a ReLoRA model: give the Trainer ReLoRA(model, rank=...)"
        )
    if model.method.reset == "rolling":
        raise ModelError(
            "ReLoRACallback lowers the learning rate for each restart, and a rolling one needs no "
            "such dip: take reset whole or half, or call model.restart in a loop of your own"
        )
    if not isinstance(scheduler, LambdaLR):
        raise ModelError(
            "ReLoRACallback needs a learning rate that is a function of the step: take "
            f'lr_scheduler_type="cosine", not {type(scheduler).__name__}'
        )
    check_optimizer(model, optimizer)
