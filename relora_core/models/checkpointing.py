"""Which activations the blocks keep for the backward pass (`training.gradient_checkpointing`)."""

from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import CheckpointPolicy, create_selective_checkpoint_contexts
from transformers import PreTrainedModel

from relora_core.spec import GradientCheckpointing

_OWN_NAMESPACE = "relora"  # of the products with frozen weights
_aten = torch.ops.aten
_PRODUCTS = {
    _aten.mm.default,
    _aten.addmm.default,
    _aten._int_mm.default,
    _aten._scaled_mm.default,
    _aten._scaled_dot_product_flash_attention.default,
    _aten._scaled_dot_product_efficient_attention.default,
    _aten._scaled_dot_product_cudnn_attention.default,
    _aten._scaled_dot_product_flash_attention_for_cpu.default,
}


def checkpoint_blocks(model: PreTrainedModel, kept: GradientCheckpointing) -> None:
    """Let each block of the model keep what `kept` says, and compute the rest again in backward.

    `full` keeps the block's input alone. `selective` also keeps the results of linear layers and
    of fused attention, which take nearly all of the time; norms, activation functions and casts
    are computed again.
    """
    if kept == "none":
        return
    options: dict[str, Any] = {"use_reentrant": False}
    if kept == "selective":
        options["context_fn"] = partial(create_selective_checkpoint_contexts, _policy)
    model.activation_checkpointing_enable(options)


def _policy(_: object, operation: Any, *_args: Any, **_kwargs: Any) -> CheckpointPolicy:
    if operation in _PRODUCTS or operation.namespace == _OWN_NAMESPACE:
        return CheckpointPolicy.MUST_SAVE
    return CheckpointPolicy.PREFER_RECOMPUTE
