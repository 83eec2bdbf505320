"""Start A with the directions in which the gradient of W is largest.

A gets the first r right singular vectors of the gradient of the loss with respect to W, as in LoQT
(arXiv 2405.16528, section 3.1): of all updates B A with orthonormal rows of A, B can then follow
the gradient the furthest. The gradient is the sum over several batches, for the directions of one
batch are largely noise.

W is frozen and has no gradient of its own. Hooks compute it from the input and the gradient of the
output of a layer, for some layers at a time: as many as need no more memory than the gradients of
a step, which do not exist between two steps. For the other layers, backward runs again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from relora_core.distributed.world import World
from relora_core.lowrank.inject import low_rank_layers
from relora_core.lowrank.linear import LowRankLinear

Backward = Callable[[PreTrainedModel], None]


def follow_the_gradient(model: PreTrainedModel, backward: Backward, world: World) -> None:
    """Set A in every layer whose gradient is finite. B must be zero, so that the update stays zero.

    `backward` computes gradients of the loss on several batches. It is called once or more, and
    always with the same batches. The ranks share their gradients and get the same A.
    """
    most = sum(p.numel() for p in model.parameters() if p.requires_grad)
    for layers in _portions([layer for _, layer in low_rank_layers(model)], most):
        gradients = [torch.zeros(_shape(layer), device=layer.lora_a.device) for layer in layers]
        with ExitStack() as hooks:
            for layer, gradient in zip(layers, gradients, strict=True):
                hooks.callback(_accumulate(layer, gradient).remove)
            backward(model)
        for layer, gradient in zip(layers, gradients, strict=True):
            _set_directions(layer, world.sum(gradient), world)


def _portions(layers: Sequence[LowRankLinear], most: int) -> Iterator[list[LowRankLinear]]:
    """Divide the layers into portions of at most `most` weights, or of one layer."""
    portion: list[LowRankLinear] = []
    weights = 0
    for layer in layers:
        size = _shape(layer).numel()
        if portion and weights + size > most:
            yield portion
            portion, weights = [], 0
        portion.append(layer)
        weights += size
    yield portion


def _shape(layer: LowRankLinear) -> torch.Size:
    return torch.Size((layer.lora_b.shape[0], layer.lora_a.shape[1]))


def _accumulate(layer: LowRankLinear, total: Tensor) -> RemovableHandle:
    """Add the gradient of W to `total` whenever the layer runs backward."""

    def after_forward(_: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        if not output.requires_grad:  # a forward pass that no backward pass follows
            return
        x = inputs[0].detach().flatten(0, -2)  # (M, d_in)

        def after_backward(grad: Tensor) -> None:
            total.addmm_(grad.flatten(0, -2).float().T, x.float())  # (d_out, d_in)

        output.register_hook(after_backward)

    return layer.register_forward_hook(after_forward)


@torch.no_grad()
def _set_directions(layer: LowRankLinear, gradient: Tensor, world: World) -> None:
    if not gradient.isfinite().all():  # it has no directions: the drawn rows remain
        return
    rank = layer.lora_a.shape[0]
    if world.is_main:  # alone, so that no rank can round in another way
        right = torch.linalg.svd(gradient, full_matrices=False)[2]
        layer.lora_a.copy_(right[:rank])
    world.copy_from_main(layer.lora_a)
