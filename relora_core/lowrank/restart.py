"""A restart of ReLoRA: merge, reinitialize and prune the optimizer state, with an event for each.

The learning rate warms up again after it (`relora_core.optim.timeline`).
"""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from relora_core.distributed.dtensor import full_tensor, sum_over_shards, to_local
from relora_core.events import AnyTrainEvent, Merged, OptimizerReset, Reinitialized
from relora_core.lowrank.inject import low_rank_layers
from relora_core.lowrank.linear import ALL, LowRankLinear
from relora_core.lowrank.optimizer_reset import (
    clear_component,
    reset_optimizer_state,
    rotate_state,
)
from relora_core.lowrank.update_directions import used_directions
from relora_core.seeds import generator_seed
from relora_core.spec import ReloraMethod, RotateReset, ZeroReset


@dataclass(frozen=True)
class NewFactors:
    """Where the factors of a new cycle come from."""

    seed: int
    directions: Callable[[], None] | None = None  # sets A after the draw, for `gradient`


def restart(
    model: nn.Module,
    optimizer: Optimizer,
    method: ReloraMethod,
    *,
    step: int,
    number: int,
    new: NewFactors,
) -> list[AnyTrainEvent]:
    """Restart before the step `step`. `number` is 1 for the first restart.

    `method.reset` says whether all of B A is renewed, or one component, or A but for half.
    """
    if method.reset == "rolling":
        return _renew_component(model, optimizer, method.rank, step=step, number=number, new=new)
    merged = merge(model, step=step, restart=number)
    layers = [layer for _, layer in low_rank_layers(model)]
    rotates = isinstance(method.optimizer_reset, RotateReset)
    old = {layer: full_tensor(layer.lora_a).clone() for layer in layers} if rotates else {}
    directions = _keep_half(layers) if method.reset == "half" else new.directions
    drawn = reinitialize(model, step=step, restart=number, seed=new.seed, directions=directions)
    rotate_state(optimizer, old)
    generator = torch.Generator().manual_seed(generator_seed(new.seed * 1_000_003 + number))
    factors = [factor for layer in layers for factor in layer.trained_factors]
    kept = reset_optimizer_state(optimizer, factors, method.optimizer_reset, generator=generator)
    # the gain is one number, of which no share can be kept: clear its state in every mode
    gains = [layer.lora_gain for layer in layers if layer.lora_gain is not None]
    if gains:
        reset_optimizer_state(optimizer, gains, ZeroReset(), generator=generator)
    mode = method.optimizer_reset.mode
    return [merged, drawn, OptimizerReset(step=step, restart=number, mode=mode, kept=kept)]


def _keep_half(layers: Iterable[LowRankLinear]) -> Callable[[], None]:
    """Return what gives half of the rows of each new A the directions that B A uses most now."""
    kept = {layer: used_directions(layer, layer.lora_a.shape[0] // 2) for layer in layers}

    def keep() -> None:
        for layer, directions in kept.items():
            layer.keep_directions(directions)

    return keep


def _renew_component(
    model: nn.Module, optimizer: Optimizer, rank: int, *, step: int, number: int, new: NewFactors
) -> list[AnyTrainEvent]:
    """Restart one component of every layer. The components take turns."""
    component = (number - 1) % rank
    merged = merge(model, step=step, restart=number, component=component)
    for name, layer in low_rank_layers(model):
        layer.renew(component, seed=new.seed, restart=number, name=name)
    kept = clear_component(optimizer, (layer for _, layer in low_rank_layers(model)), component)
    return [
        merged,
        _reinitialized(model, step=step, restart=number, component=component),
        OptimizerReset(step=step, restart=number, mode="zero", kept=kept),
    ]


@torch.no_grad()
def merge(model: nn.Module, *, step: int, restart: int, component: int | None = None) -> Merged:
    """Add the update, or one component of it, to W in every layer.

    It must be reinitialized before the next step.
    """
    components = ALL if component is None else slice(component, component + 1)
    layers = [layer for _, layer in low_rank_layers(model)]
    # squares of updates, weights and residuals, read once: the host does not wait for each layer
    squares = torch.stack([_merge(layer, components) for layer in layers]).sum(dim=0)
    squares = sum_over_shards(squares, like=layers[0].lora_b)
    update_norm, weight_norm, residual_norm = squares.sqrt().tolist()
    return Merged(
        step=step,
        restart=restart,
        layers=len(layers),
        update_norm=update_norm,
        weight_norm=weight_norm,
        residual_norm=residual_norm,
        component=component,
    )


def _merge(layer: LowRankLinear, components: slice) -> Tensor:
    """Merge one layer. Return the squared norms of update, new weight and residual, fp64 (3,)."""
    update = layer.update(components)
    weight = layer.frozen.add(update)
    residual = weight - layer.frozen(torch.float32)
    parts = (to_local(update), weight, residual)
    return torch.stack([part.double().square().sum() for part in parts])


@torch.no_grad()
def reinitialize(
    model: nn.Module,
    *,
    step: int,
    restart: int,
    seed: int,
    directions: Callable[[], None] | None = None,
) -> Reinitialized:
    """Draw A, clear B and, if the scale is trained, reset it to alpha / r, in every layer.

    `directions`, if given, then sets every A.
    """
    for name, layer in low_rank_layers(model):
        layer.reinitialize(seed=seed, restart=restart, name=name)
    if directions is not None:
        with torch.enable_grad():
            directions()
    return _reinitialized(model, step=step, restart=restart)


def _reinitialized(
    model: nn.Module, *, step: int, restart: int, component: int | None = None
) -> Reinitialized:
    square, digest = 0.0, hashlib.sha256()
    for _, layer in low_rank_layers(model):
        drawn = full_tensor(layer.lora_a).detach().float().cpu()
        square += float(drawn.double().square().sum())
        digest.update(drawn.numpy().tobytes())
    return Reinitialized(
        step=step,
        restart=restart,
        factors_norm=square**0.5,
        factors_hash=digest.hexdigest(),
        component=component,
    )
