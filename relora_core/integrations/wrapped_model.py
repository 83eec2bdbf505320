"""ReLoRA for a Hugging Face model in a training loop of your own."""

from functools import wraps
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from relora_core.errors import ModelError
from relora_core.events import AnyTrainEvent
from relora_core.export.hf_model import merged_model
from relora_core.lowrank.inject import (
    frozen_parameters,
    inject,
    low_rank_layers,
    prepare_frozen,
    residuals,
)
from relora_core.lowrank.optimizer_reset import can_rotate
from relora_core.lowrank.restart import NewFactors, reinitialize, restart
from relora_core.spec import FrozenDtype, OptimizerReset, ReloraMethod, Reset, Variant
from relora_core.spec.restarts import check_part
from relora_core.spec.written import SpecConflict


class ReLoRAOptions(TypedDict, total=False):
    """The fields of `method` in the spec. Only the default of `frozen_dtype` differs.

    docs/spec.md describes the fields.
    """

    rank: int
    alpha: float
    target_modules: Literal["all_linear"] | list[str]
    dropout: float
    trainable_scaling: bool
    frozen_dtype: FrozenDtype  # default: bf16 if the model's weights are bf16, else fp32
    variant: Variant
    factor_init: Literal["random", "orthogonal"]  # without batches there is no gradient
    train_a: bool
    reset: Reset
    optimizer_reset: OptimizerReset


class ReLoRA(nn.Module):
    """A Hugging Face model whose linear layers train by low-rank updates (arXiv 2307.05695).

    Call it like the model. It has the attributes of the model. The factors, embeddings, norms,
    biases and the head are trained; the weights of the blocks' linear layers are frozen.
    """

    restarts: Tensor  # the number of restarts so far

    def __init__(
        self, model: PreTrainedModel, *, seed: int = 0, **options: Unpack[ReLoRAOptions]
    ) -> None:
        """Wrap `model` and replace its layers in place. `seed` seeds each draw of the factors.

        Raise `ModelError` if the options do not fit the model, and pydantic's `ValidationError` if
        an option is not valid.
        """
        super().__init__()
        if not isinstance(model, PreTrainedModel):
            raise ModelError(
                f"ReLoRA takes a model of transformers (a PreTrainedModel), not {type(model)}"
            )
        own_dtype: FrozenDtype = "bf16" if model.dtype == torch.bfloat16 else "fp32"
        self.method = ReloraMethod.model_validate({"frozen_dtype": own_dtype, **options})
        _check_factors(self.method)
        self.seed = seed
        self.__class__ = _class_for(type(model))
        inject(model, self.method)
        reinitialize(model, step=0, restart=0, seed=seed)
        prepare_frozen(model)
        self.model = model
        self.register_buffer("restarts", torch.tensor(0))  # in the state, because it seeds draws
        _add_residuals_to_state(self)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the model if this module does not have it."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "model":
                raise
            return getattr(self.model, name)

    def extra_repr(self) -> str:
        trained = sum(p.numel() for p in self.parameters() if p.requires_grad)
        return (
            f"rank={self.method.rank}, {trained:,} parameters trained, "
            f"{frozen_parameters(self.model):,} frozen"
        )

    def restart(self, optimizer: Optimizer, *, step: int = 0) -> list[AnyTrainEvent]:
        """Merge the updates, draw new factors and reset the optimizer state of the factors.

        With `reset="rolling"` do it for one component, the next of `rank`.

        Call it between two optimizer steps, on every process, when gradients are zero. Return
        events of what was done, which have the step `step`. Raise `ModelError` as `check_optimizer`
        does.
        """
        check_optimizer(self, optimizer)
        self.restarts += 1
        return restart(
            self.model,
            optimizer,
            self.method,
            step=step,
            number=int(self.restarts),
            new=NewFactors(self.seed),
        )

    def merged(self, dtype: torch.dtype | None = None) -> PreTrainedModel:
        """Return a plain model on the CPU that computes the same, by default in its own type."""
        return merged_model(self.model, dtype or self.model.dtype).train(self.training)

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Save the merged model in a form that `from_pretrained` can load."""
        self.merged().save_pretrained(folder, **options)

    def push_to_hub(self, name: str, **options: Any) -> Any:
        """Push the merged model to the Hugging Face Hub."""
        plain: Any = self.merged()  # a decorator hides the types of its method
        return plain.push_to_hub(name, **options)


def _check_factors(method: ReloraMethod) -> None:
    if method.factor_init == "gradient":
        raise ModelError(
            "ReLoRA has no batches to compute a gradient on; take factor_init random or orthogonal"
        )
    if method.rotation_conflict is not None:
        raise ModelError(f"optimizer_reset {method.rotation_conflict}")
    try:
        check_part(method)
    except SpecConflict as conflict:
        raise ModelError(f"{conflict.path}: {conflict}") from conflict


def check_optimizer(model: ReLoRA, optimizer: Optimizer) -> None:
    """Raise `ModelError` if the optimizer misses a factor, or if a restart cannot reset it."""
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for name, layer in low_rank_layers(model):
        for factor in layer.trained_factors:
            if id(factor) not in groups:
                raise ModelError(
                    f"the optimizer does not train the factors of {name}: make it after ReLoRA, "
                    "from the parameters of the wrapped model"
                )
            if "betas" not in groups[id(factor)]:
                raise ModelError(
                    "a restart resets the moments of Adam, and this optimizer has no betas: take "
                    "torch.optim.AdamW, or AdamW8bit of bitsandbytes"
                )
        if model.method.optimizer_reset.mode == "rotate" and not can_rotate(optimizer, layer):
            raise ModelError(
                f"optimizer_reset rotate needs moments in fp32, and this optimizer has those of "
                f"{name} in 8 bits: take torch.optim.AdamW, or another mode"
            )


def _class_for(model_class: type[PreTrainedModel]) -> type[ReLoRA]:
    """Return a subclass of ReLoRA with the signature of the model's `forward`.

    transformers.Trainer reads from the signature which columns of a dataset the model takes, and
    which are labels.
    """
    forward = wraps(model_class.forward)(lambda self, *args, **kwargs: self.model(*args, **kwargs))
    return type(f"ReLoRA{model_class.__name__}", (ReLoRA,), {"forward": forward})


def _add_residuals_to_state(module: nn.Module) -> None:
    """Make the state dict contain everything that a resumed run needs, and no tensor twice.

    It gets the residuals of the frozen weights, and keeps tied weights under one name only, so that
    safetensors can write it.
    """
    module.register_state_dict_post_hook(_complete)
    module.register_load_state_dict_pre_hook(_load_residuals)
    module.register_load_state_dict_post_hook(lambda loaded, _: prepare_frozen(loaded))


def _complete(module: nn.Module, state: dict[str, Tensor], prefix: str, _: object) -> None:
    for name in _tied(module):
        del state[prefix + name]
    for name, _layer, residual in residuals(module):
        state[prefix + name] = residual


def _load_residuals(module: nn.Module, state: dict[str, Tensor], prefix: str, *others: Any) -> None:
    _metadata, _strict, missing, _unexpected, _errors = others
    for name, first in _tied(module).items():
        if prefix + first in state:
            state[prefix + name] = state[prefix + first]
    for name, layer, _residual in residuals(module):
        if prefix + name in state:
            layer.frozen.residual = state.pop(prefix + name)
        else:
            missing.append(prefix + name)


def _tied(module: nn.Module) -> dict[str, str]:
    """Map each additional name of a tied parameter to the first name of the parameter."""
    first: dict[int, str] = {}
    names = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if first.setdefault(id(parameter), name) != name:
            names[name] = first[id(parameter)]
    return names
