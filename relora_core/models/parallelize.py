"""Place the model on the devices: a replica on each device, or sharded over all of them."""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import PreTrainedModel

from relora_core.distributed.dtensor import distribute_like, full_tensor, is_fsdp_model, to_local
from relora_core.distributed.world import World
from relora_core.lowrank.inject import prepare_frozen, residuals
from relora_core.spec import TrainingSpec

Change = Callable[[PreTrainedModel], None]


class Parallelism(Protocol):
    """A way to spread a model over the devices."""

    def apply(self, model: PreTrainedModel) -> PreTrainedModel:
        """Move an unsharded model from the CPU to the devices on which it is trained."""

    def rebuild_with(self, model: PreTrainedModel, change: Change) -> PreTrainedModel:
        """Return the placed model after `change` replaced its layers. Do not use the old one."""


class Replicated:
    """The whole model on one device."""

    def __init__(self, device: torch.device | None = None) -> None:
        """Place the model on `device`, by default the CPU."""
        self.device = device or torch.device("cpu")

    def apply(self, model: PreTrainedModel) -> PreTrainedModel:
        model.to(self.device)  # type: ignore[arg-type] # transformers wraps `to` without its types
        prepare_frozen(model)
        return model

    def rebuild_with(self, model: PreTrainedModel, change: Change) -> PreTrainedModel:
        change(model)
        prepare_frozen(model)
        return model


def parallelism_of(
    spec: TrainingSpec, world: World, build: Callable[[], PreTrainedModel]
) -> Parallelism:
    """Return what `training.parallelism` names. A single rank always has the whole model.

    `build` makes a plain model of the same shape.
    """
    if world.size == 1 or spec.parallelism == "ddp":
        return Replicated(world.device)
    return Sharded(init_device_mesh(world.device.type, (world.size,)), build)


class Sharded:
    """FSDP2: each rank holds some rows of every tensor. A block is gathered only while it runs.

    The layers of a wrapped model cannot be replaced. So `rebuild_with` builds a new model on the
    CPU of every rank and copies the weights from the old one.
    """

    def __init__(self, mesh: DeviceMesh, build: Callable[[], PreTrainedModel]) -> None:
        """Shard over `mesh`. `build` makes a plain model of the same shape, with any weights."""
        self.mesh = mesh
        self.build = build

    def apply(self, model: PreTrainedModel) -> PreTrainedModel:
        for block in blocks(model):
            fully_shard(block, mesh=self.mesh, reshard_after_forward=True)
        # shard the root too, so that its parameters outside of a step are the optimizer's
        fully_shard(model, mesh=self.mesh, reshard_after_forward=True)
        for _, layer, residual in residuals(model):
            rows = to_local(distribute_like(residual, like=layer.lora_b))
            layer.frozen.residual = rows.to("cpu")
        return model

    @torch.no_grad()
    def rebuild_with(self, model: PreTrainedModel, change: Change) -> PreTrainedModel:
        plain = self.build()
        parts = model.state_dict()
        for name, tensor in plain.state_dict().items():
            tensor.copy_(full_tensor(parts[name]))
        change(plain)
        return self.apply(plain)


def compiled_parts(model: nn.Module) -> list[nn.Module]:
    """Return the modules to compile separately: the blocks of a sharded model, else the model."""
    return list(blocks(model)) if is_fsdp_model(model) else [model]


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the transformer blocks: the modules in the outermost module lists."""
    outer: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and not name.startswith(tuple(outer)):
            outer.append(f"{name}.")
            yield from module
