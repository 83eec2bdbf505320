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
from relora_core.lowrank.restart import reinitialize, restart
from relora_core.spec import FrozenDtype, OptimizerReset, ReloraMethod, Variant


class ReLoRAOptions(TypedDict, total=False):
    """Fields of `method` in the spec, with the same defaults (docs/spec.md), but `frozen_dtype`."""

    rank: int
    alpha: float
    target_modules: Literal["all_linear"] | list[str]
    dropout: float
    trainable_scaling: bool
    frozen_dtype: FrozenDtype  # by default as the model's weights are: bf16, or else fp32
    variant: Variant
    optimizer_reset: OptimizerReset


class ReLoRA(nn.Module):
    """A Hugging Face model whose linear layers train by low-rank updates (arXiv 2307.05695).

    It is called as the model is, and has the model's attributes. Trained are the factors,
    embeddings, norms, biases and the head; the weights of the blocks' linear layers are frozen.
    """

    restarts: Tensor  # how many there were

    def __init__(
        self, model: PreTrainedModel, *, seed: int = 0, **options: Unpack[ReLoRAOptions]
    ) -> None:
        """Take over `model`, whose layers are replaced. `seed` decides each draw of the factors.

        Raises `ModelError` if the options do not fit the model, and pydantic's `ValidationError`
        if one of them is wrong by itself.
        """
        super().__init__()
        if not isinstance(model, PreTrainedModel):
            raise ModelError(
                f"ReLoRA takes a model of transformers (a PreTrainedModel), not {type(model)}"
            )
        own_dtype: FrozenDtype = "bf16" if model.dtype == torch.bfloat16 else "fp32"
        self.method = ReloraMethod.model_validate({"frozen_dtype": own_dtype, **options})
        self.seed = seed
        self.__class__ = _class_for(type(model))
        inject(model, self.method)
        reinitialize(model, step=0, restart=0, seed=seed)
        prepare_frozen(model)
        self.model = model
        self.register_buffer("restarts", torch.tensor(0))  # in the state, for it seeds the draws
        _add_residuals_to_state(self)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.model(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        """Give what this module does not have itself from the model."""
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
        """Merge the updates, draw the factors anew, reset the optimizer's state of the factors.

        Call it between two optimizer steps, on every process, with gradients that are zero. Return
        what was done, as events of `step`. Raises `ModelError` as `check_optimizer` does.
        """
        check_optimizer(self, optimizer)
        self.restarts += 1
        return restart(
            self.model,
            optimizer,
            self.method,
            step=step,
            number=int(self.restarts),
            seed=self.seed,
        )

    def merged(self, dtype: torch.dtype | None = None) -> PreTrainedModel:
        """A plain model, on the CPU, that computes the same; `dtype` is by default the model's."""
        return merged_model(self.model, dtype or self.model.dtype).train(self.training)

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Save the merged model, which `from_pretrained` loads."""
        self.merged().save_pretrained(folder, **options)

    def push_to_hub(self, name: str, **options: Any) -> Any:
        """Push the merged model."""
        plain: Any = self.merged()  # a decorator hides the types of its method
        return plain.push_to_hub(name, **options)


def check_optimizer(model: ReLoRA, optimizer: Optimizer) -> None:
    """Raise `ModelError` if the optimizer leaves out a factor, or a restart cannot reset it."""
    groups = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for name, layer in low_rank_layers(model):
        for factor in (layer.lora_a, layer.lora_b):
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


def _class_for(model_class: type[PreTrainedModel]) -> type[ReLoRA]:
    """ReLoRA with the signature of the model's `forward`.

    transformers.Trainer reads there which columns of a dataset the model takes, and its labels.
    """
    forward = wraps(model_class.forward)(lambda self, *args, **kwargs: self.model(*args, **kwargs))
    return type(f"ReLoRA{model_class.__name__}", (ReLoRA,), {"forward": forward})


def _add_residuals_to_state(module: nn.Module) -> None:
    """Let the state dict hold all that a resumed run needs, and no tensor twice.

    It then also has what the frozen weights leave out, and tied weights under one name, so that
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
    """The further names of parameters that have more than one, each with the first."""
    first: dict[int, str] = {}
    names = {}
    for name, parameter in module.named_parameters(remove_duplicate=False):
        if first.setdefault(id(parameter), name) != name:
            names[name] = first[id(parameter)]
    return names
