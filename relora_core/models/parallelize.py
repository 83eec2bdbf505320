"""Place the model on the devices: a replica on each device, or sharded over all of them."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import ClassVar, Protocol

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from transformers import PreTrainedModel

from relora_core.distributed.dtensor import (
    distribute_like,
    full_tensor,
    is_fsdp_model,
    is_sharded,
    to_local,
)
from relora_core.distributed.world import SINGLE_PROCESS, World
from relora_core.lowrank.frozen.weight import without_residuals
from relora_core.lowrank.inject import PlainLinear, low_rank_layers, prepare_frozen
from relora_core.models.meta_parameters import allocate, has_weights
from relora_core.shapes import FAMILIES
from relora_core.spec import TrainingSpec

_AS_AUTOCAST = MixedPrecisionPolicy(
    param_dtype=torch.bfloat16, reduce_dtype=torch.float32, cast_forward_inputs=False
)

Change = Callable[[PreTrainedModel], None]


class Parallelism(Protocol):
    """A way to spread a model over the devices."""

    @property
    def shards(self) -> bool:
        """Whether each rank holds only a part of the model."""

    def apply(self, model: PreTrainedModel) -> PreTrainedModel:
        """Move an unsharded model from the CPU to the devices on which it is trained.

        The parameters of a model that will be sharded may be on the meta device: on the main rank
        if they are loaded afterwards, on the others always.
        """

    def rebuild_with(self, model: PreTrainedModel, change: Change) -> PreTrainedModel:
        """Return the placed model after `change` replaced its layers. Do not use the old one.

        New factors are not initialized yet.
        """


class Replicated:
    """The whole model on the device of each rank."""

    shards: ClassVar[bool] = False

    def __init__(self, world: World = SINGLE_PROCESS) -> None:
        self.world = world

    def apply(self, model: PreTrainedModel) -> PreTrainedModel:
        allocate(model, self.world.device)
        model.to(self.world.device)  # type: ignore[arg-type] # transformers wraps it without types
        self._replicate(model)
        return model

    def rebuild_with(self, model: PreTrainedModel, change: Change) -> PreTrainedModel:
        with nullcontext() if self.world.is_main else without_residuals():
            change(model)
        self._replicate(model)
        return model

    def _replicate(self, model: PreTrainedModel) -> None:
        if self.world.size > 1:
            for _, layer in low_rank_layers(model):
                layer.frozen.replicate(self.world)
        prepare_frozen(model)


def parallelism_of(
    spec: TrainingSpec, world: World, build: Callable[[], PreTrainedModel]
) -> Parallelism:
    """Return what `training.parallelism` names. A single rank always has the whole model.

    `build` makes a plain model of the same shape, with its parameters on the meta device.
    """
    if world.size == 1 or not spec.shards:
        return Replicated(world)
    mesh = mesh_of(world, replicas=world.nodes if spec.parallelism == "hsdp" else 1)
    return Sharded(world, mesh, build, autocast=spec.precision == "bf16")


def mesh_of(world: World, *, replicas: int) -> DeviceMesh:
    """Return the mesh of all ranks: one dimension, or (replicas, shards)."""
    device = world.device.type
    if replicas == 1:
        return init_device_mesh(device, (world.size,))
    shape, names = (replicas, world.size // replicas), ("replicas", "shards")
    return init_device_mesh(device, shape, mesh_dim_names=names)


class Sharded:
    """FSDP2: each rank holds some rows of every tensor. A block is gathered only while it runs.

    In a mesh of two dimensions, the ranks of the second one share the rows, and those of the first
    one are replicas, which exchange gradients.

    With `autocast`, the weights of linear layers are gathered in bf16. Autocast would round them in
    the same way, but only after twice the bytes were sent, and it would keep the rounded copies
    until the backward pass. Other weights, such as those of norms, are used in fp32.

    No device ever holds more than its rows and one whole block. Neither does the memory of the
    host, except for the main rank, which has the whole model when it draws the initial weights.
    """

    shards: ClassVar[bool] = True

    def __init__(
        self,
        world: World,
        mesh: DeviceMesh,
        build: Callable[[], PreTrainedModel],
        *,
        autocast: bool = False,
    ) -> None:
        """Shard over `mesh`. `build` makes a plain model of the same shape, on the meta device.

        `autocast` says that the model is called within torch's autocast to bf16.
        """
        self.world = world
        self.mesh = mesh
        self.build = build
        self.autocast = autocast

    def apply(self, model: PreTrainedModel) -> PreTrainedModel:
        filled = bool(self.world.broadcast(int(has_weights(model))))
        for part in (*blocks(model), model):  # the model last: it shards what is in no block
            allocate(part, self.world.device)
            if filled:
                self._send(part)
            if part is not model and self.autocast and model.config.model_type in FAMILIES:
                for linears in _parts_of_linears(part):
                    fully_shard(
                        linears, mesh=self.mesh, reshard_after_forward=True, mp_policy=_AS_AUTOCAST
                    )
            # the root too, so that its parameters outside of a step are the optimizer's
            fully_shard(part, mesh=self.mesh, reshard_after_forward=True)
        return model

    @torch.no_grad()
    def rebuild_with(self, model: PreTrainedModel, change: Change) -> PreTrainedModel:
        """Build a new model, because the layers of a wrapped one cannot be replaced.

        Each rank copies its own rows. It also stores its own rows of W, as each row is stored
        separately.
        """
        new = self.build()
        change(new)
        self.apply(new)
        old = model.state_dict()
        for name, tensor in new.state_dict().items():
            if name in old:
                to_local(tensor).copy_(to_local(old[name]))
        for name, layer in low_rank_layers(new):
            weight = old[f"{name}.weight"]
            if layer.transposed:  # its rows are the columns of W
                weight = distribute_like(full_tensor(weight).T, like=weight)
            layer.frozen.replace(to_local(weight))
        return new

    @torch.no_grad()
    def _send(self, part: nn.Module) -> None:
        """Give all ranks the main rank's values of the parameters that are not sharded yet."""
        for parameter in part.parameters():
            if not is_sharded(parameter):
                self.world.copy_from_main(parameter)


def _parts_of_linears(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the largest parts of a module that have no parameters but those of linear layers."""
    for child in module.children():
        owners = [part for part in child.modules() if part._parameters]
        if owners and all(isinstance(owner, PlainLinear) for owner in owners):
            yield child
        else:
            yield from _parts_of_linears(child)


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
