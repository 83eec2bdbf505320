"""Put low-rank layers into a Hugging Face model, and get a plain model back from it."""

from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from relora_core.distributed.dtensor import is_sharded
from relora_core.lowrank.linear import FactoredLinear, LowRankLinear
from relora_core.lowrank.targets import (
    check_blocks,
    check_family,
    check_rank,
    check_untied,
    is_below_rank,
    is_target,
    no_targets,
)
from relora_core.shapes import is_in_a_block
from relora_core.spec import Factors, LowRank, Targets

PlainLinear = nn.Linear | Conv1D
TargetLayer = PlainLinear | LowRankLinear | FactoredLinear


def low_rank_layers(model: nn.Module) -> Iterator[tuple[str, LowRankLinear]]:
    for name, module in model.named_modules():
        if isinstance(module, LowRankLinear):
            yield name, module


def residuals(model: nn.Module) -> Iterator[tuple[str, LowRankLinear, Tensor]]:
    """Yield the residuals of the stored frozen weights: name in a checkpoint, layer, value."""
    for name, layer in low_rank_layers(model):
        residual = layer.frozen.residual
        if residual is not None:
            yield residual_name(name), layer, residual


def residual_name(layer: str) -> str:
    """Return the name of a layer's residual in a checkpoint."""
    return f"{layer}.frozen.residual"


def prepare_frozen(model: nn.Module) -> None:
    """Prepare the frozen weights for fast products. Call it once they are on their device.

    Sharded ones stay as they are, because a rank has only some of the rows.
    """
    for _, layer in low_rank_layers(model):
        if not is_sharded(layer.lora_b):
            layer.frozen.prepare()


def factored_layers(model: nn.Module) -> Iterator[tuple[str, FactoredLinear]]:
    for name, module in model.named_modules():
        if isinstance(module, FactoredLinear):
            yield name, module


def inject(model: PreTrainedModel, method: LowRank) -> None:
    """Replace each target layer by a `LowRankLinear` with the same weight and a zero update.

    Freeze the other linear layers of the blocks, except those that are too narrow for the rank.
    Embeddings, norms, biases and the head stay trainable. A is not initialized:
    `LowRankLinear.reinitialize` draws it. Raise `ModelError` as `find_targets` does.
    """
    targets = find_targets(model, method)
    for name, module in _linears(model):
        if is_in_a_block(name) and not is_below_rank(name, module.weight.shape, method):
            module.weight.requires_grad = False
    for name, module in targets:
        transposed = isinstance(module, Conv1D)
        layer = LowRankLinear(_weight(module), module.bias, method, transposed=transposed)
        model.set_submodule(name, layer)


def factorize(model: PreTrainedModel, method: Factors) -> None:
    """Replace each target layer by a `FactoredLinear` whose factors are not initialized yet.

    Everything else stays trainable, also the other linear layers of the blocks, because a frozen
    random weight would be useless. Raise `ModelError` as `find_targets` does.
    """
    for name, module in find_targets(model, method):
        d_out, d_in = _weight(module).shape
        transposed = isinstance(module, Conv1D)
        device = module.weight.device
        layer = FactoredLinear(
            d_out, d_in, module.bias, method, transposed=transposed, device=device
        )
        model.set_submodule(name, layer)


def _weight(module: PlainLinear) -> Tensor:
    return module.weight.T if isinstance(module, Conv1D) else module.weight  # (d_out, d_in)


def find_targets(model: nn.Module, method: Targets) -> list[tuple[str, PlainLinear]]:
    """Return the layers that the method makes low-rank, with their names.

    Raise `ModelError` if there is none, if the rank does not fit one of them, if the method would
    replace a tied weight or a layer whose weight the model's own code reads, or if the blocks
    consist of more than linear layers and small parts.
    """
    require_linear_blocks(model)
    linears = _linears(model)
    check_rank({name: tuple(module.weight.shape) for name, module in linears}, method)
    targets = [pair for pair in linears if _is_target(*pair, method)]
    if not targets:
        raise no_targets(method, [name for name, _ in linears])
    if isinstance(method, Factors):
        check_family(getattr(getattr(model, "config", None), "model_type", None))
        uses = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
        check_untied(name for name, module in targets if uses[id(module.weight)] > 1)
    return targets


def narrow_layers(model: nn.Module, method: Targets) -> list[str]:
    """Return the names of the blocks' linear layers that are trained in full in every phase."""
    return [
        name for name, module in _linears(model) if is_below_rank(name, module.weight.shape, method)
    ]


def trained_block_weights(model: nn.Module) -> list[nn.Parameter]:
    """Return the weights of the blocks' linear layers that are trained in full now."""
    weights = [module.weight for name, module in _linears(model) if is_in_a_block(name)]
    return [w for w in weights if isinstance(w, nn.Parameter) and w.requires_grad]


def require_linear_blocks(model: nn.Module) -> None:
    """Raise `ModelError` if the blocks consist of more than linear layers and small parts."""
    linears, others = [], {}
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or not is_in_a_block(name):
            continue
        owner = model.get_submodule(name.rpartition(".")[0])
        if isinstance(owner, PlainLinear):
            linears.append(tuple(parameter.shape))
        elif not isinstance(owner, nn.Embedding):
            others[name] = tuple(parameter.shape)
    check_blocks(linears, others, model=type(model).__name__)


def _linears(model: nn.Module) -> list[tuple[str, PlainLinear]]:
    return [
        (name, module) for name, module in model.named_modules() if isinstance(module, PlainLinear)
    ]


def _is_target(name: str, module: PlainLinear, targets: Targets) -> bool:
    return is_target(name, module.weight.shape, targets)


def target_layers(model: nn.Module, targets: Targets) -> Iterator[tuple[str, TargetLayer]]:
    """Yield the target layers in any phase, low-rank or not yet."""
    for name, module in model.named_modules():
        if isinstance(module, LowRankLinear | FactoredLinear) or (
            isinstance(module, PlainLinear) and _is_target(name, module, targets)
        ):
            yield name, module


def num_weights(layer: TargetLayer) -> int:
    """Return d_out * d_in, however W is stored."""
    if isinstance(layer, PlainLinear):
        return layer.weight.numel()
    return layer.lora_b.shape[0] * layer.lora_a.shape[1]


@torch.no_grad()
def exact_weight(layer: TargetLayer) -> Tensor:
    """Return the weight of the layer including its update, fp32, (d_out, d_in)."""
    return _weight(layer).float() if isinstance(layer, PlainLinear) else layer.merged()


def frozen_parameters(model: nn.Module) -> int:
    """Return the number of frozen weights. Each entry of W counts once, however it is stored."""
    weights = [layer.frozen for _, layer in low_rank_layers(model)]
    stored = {id(parameter) for weight in weights for parameter in weight.parameters()}
    others = [p for p in model.parameters() if not p.requires_grad and id(p) not in stored]
    return sum(p.numel() for p in others) + sum(weight.d_out * weight.d_in for weight in weights)


@torch.no_grad()
def merged_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield the state dict of the plain model that computes the same. Merged weights are fp32.

    Each layer is merged when it is asked for, so only one merged weight has to be in memory.
    """
    layers: dict[str, LowRankLinear | FactoredLinear] = {
        **dict(low_rank_layers(model)),
        **dict(factored_layers(model)),
    }
    inside = tuple(f"{name}." for name in layers)
    for name, tensor in model.state_dict().items():
        if not name.startswith(inside):
            yield name, tensor
    for name, layer in layers.items():
        yield (
            f"{name}.weight",
            layer.merged().T.contiguous() if layer.transposed else layer.merged(),
        )
        if layer.bias is not None:
            yield f"{name}.bias", layer.bias.detach()
