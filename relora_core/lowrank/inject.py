"""Put low-rank layers into any Hugging Face model, and take a plain model out again."""

import fnmatch
import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from relora_core.errors import ModelError
from relora_core.lowrank.linear import LowRankLinear
from relora_core.spec import LowRank

# The blocks of a transformer stand in a ModuleList: a number in a layer's name says it is in one.
_IN_A_BLOCK = re.compile(r"\.\d+\.")


def low_rank_layers(model: nn.Module) -> Iterator[tuple[str, LowRankLinear]]:
    for name, module in model.named_modules():
        if isinstance(module, LowRankLinear):
            yield name, module


def inject(model: PreTrainedModel, method: LowRank) -> None:
    """Replace each target layer by a `LowRankLinear` with the same weight and a zero update.

    Linear layers of the blocks that are no target are frozen as they are; embeddings, norms,
    biases and the head stay trainable. A is left unset: `LowRankLinear.reinitialize` draws
    it. Raises `ModelError` if no layer is a target or the rank does not fit one.
    """
    linears = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
    ]
    targets = [(name, module) for name, module in linears if _is_target(name, method)]
    if not targets:
        raise ModelError(
            f"method.target_modules {method.target_modules!r} matches no linear layer of "
            f"{type(model).__name__}; use all_linear or patterns such as *.q_proj"
        )
    for name, module in linears:
        if _IN_A_BLOCK.search(name):
            module.weight.requires_grad = False
    for name, module in targets:
        model.set_submodule(name, _low_rank(name, module, method))


def _is_target(name: str, method: LowRank) -> bool:
    if method.target_modules == "all_linear":
        return _IN_A_BLOCK.search(name) is not None
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in method.target_modules)


def _low_rank(name: str, module: nn.Linear | Conv1D, method: LowRank) -> LowRankLinear:
    weight = module.weight.T if isinstance(module, Conv1D) else module.weight  # (d_out, d_in)
    if method.rank > min(weight.shape):
        raise ModelError(
            f"method.rank {method.rank} is over the smaller side of {name}, which is "
            f"{weight.shape[0]} x {weight.shape[1]}; take a rank below {min(weight.shape)}"
        )
    return LowRankLinear(weight, module.bias, method, transposed=isinstance(module, Conv1D))


@torch.no_grad()
def merged_state(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of the plain model that computes the same, in fp32 where trained."""
    state = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not name.endswith((".lora_a", ".lora_b", ".frozen.stored"))
    }
    for name, layer in low_rank_layers(model):
        merged = layer.merged()
        state[f"{name}.weight"] = merged.T.contiguous() if layer.transposed else merged
    return state
