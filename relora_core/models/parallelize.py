"""How a run's model lies on the devices: in one piece on each, or in parts over all of them."""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import PreTrainedModel

from relora_core.distributed.dtensor import distribute_like, full_tensor, is_fsdp_model, to_local
from relora_core.distributed.world import World
from relora_core.lowrank.inject import low_rank_layers, prepare_frozen
from relora_core.spec import TrainingSpec

Change = Callable[[PreTrainedModel], None]


class Layout(Protocol):
    def place(self, model: PreTrainedModel) -> PreTrainedModel:
        """Move a model from the CPU, where it is whole, to where it is trained."""

    def changed(self, model: PreTrainedModel, change: Change) -> PreTrainedModel:
        """The placed model with other layers; `change` replaces them. The old one is given up."""


class Replicated:
    """The whole model on one device."""

    def __init__(self, device: torch.device | None = None) -> None:
        """By default on the CPU."""
        self.device = device or torch.device("cpu")

    def place(self, model: PreTrainedModel) -> PreTrainedModel:
        model.to(self.device)  # type: ignore[arg-type] # transformers wraps `to` without its types
        prepare_frozen(model)
        return model

    def changed(self, model: PreTrainedModel, change: Change) -> PreTrainedModel:
        change(model)
        prepare_frozen(model)
        return model


def layout_of(spec: TrainingSpec, world: World, build: Callable[[], PreTrainedModel]) -> Layout:
    """Lay the model out as `training.parallelism` says; one rank alone holds all of it.

    `build` makes a plain model of the same shape.
    """
    if world.size == 1 or spec.parallelism == "ddp":
        return Replicated(world.device)
    return Sharded(init_device_mesh(world.device.type, (world.size,)), build)


class Sharded:
    """FSDP2: each rank holds some rows of every tensor, and a block is whole only while it runs.

    What FSDP has wrapped cannot be given other layers, so these come in a fresh model, which is
    filled in from the old one on the CPU of every rank.
    """

    def __init__(self, mesh: DeviceMesh, build: Callable[[], PreTrainedModel]) -> None:
        """`build` makes a plain model of the same shape; what its weights are is of no matter."""
        self.mesh = mesh
        self.build = build

    def place(self, model: PreTrainedModel) -> PreTrainedModel:
        for block in blocks(model):
            fully_shard(block, mesh=self.mesh, reshard_after_forward=True)
        # the root too, so that outside of a step its parameters are always those of the optimizer
        fully_shard(model, mesh=self.mesh, reshard_after_forward=True)
        for _, layer in low_rank_layers(model):
            residual = layer.frozen.residual
            if residual is not None:
                rows = to_local(distribute_like(residual, like=layer.lora_b))
                layer.frozen.residual = rows.to("cpu")
        return model

    @torch.no_grad()
    def changed(self, model: PreTrainedModel, change: Change) -> PreTrainedModel:
        plain = self.build()
        parts = model.state_dict()
        for name, tensor in plain.state_dict().items():
            tensor.copy_(full_tensor(parts[name]))
        change(plain)
        return self.place(plain)


def compiled_parts(model: nn.Module) -> list[nn.Module]:
    """What torch.compile takes as one: of a sharded model each block, as it is put together."""
    return list(blocks(model)) if is_fsdp_model(model) else [model]


def blocks(model: nn.Module) -> Iterator[nn.Module]:
    """The transformer blocks: what stands in the outermost module lists."""
    outer: list[str] = []
    for name, module in model.named_modules():
        if isinstance(module, nn.ModuleList) and not name.startswith(tuple(outer)):
            outer.append(f"{name}.")
            yield from module
