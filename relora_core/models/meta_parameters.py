"""Models without numbers: their parameters are on the meta device, which holds shapes alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from relora_core.distributed.dtensor import is_sharded


@contextmanager
def parameters_on_meta() -> Iterator[None]:
    """Put each parameter that a module gets on the meta device.

    Buffers stay as they are, because a model computes them and no checkpoint has all of them.
    """
    register = nn.Module.register_parameter

    def register_on_meta(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        register(module, name, None if parameter is None else _on_meta(parameter))

    nn.Module.register_parameter = register_on_meta  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def drop_weights(model: nn.Module) -> None:
    """Move the parameters of a model to the meta device. What was tied stays tied."""
    moved: dict[nn.Parameter, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if parameter not in moved:
                moved[parameter] = _on_meta(parameter)
            module.register_parameter(name, moved[parameter])


def allocate(model: nn.Module, device: torch.device) -> None:
    """Move the parameters to `device`. Those on the meta device get memory there, without values.

    Sharded parameters stay as they are. What was tied stays tied.
    """
    moved: dict[nn.Parameter, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if is_sharded(parameter):
                continue
            if parameter not in moved:
                whole = parameter.detach()
                there = (
                    torch.empty_like(whole, device=device) if whole.is_meta else whole.to(device)
                )
                moved[parameter] = nn.Parameter(there, requires_grad=parameter.requires_grad)
            module.register_parameter(name, moved[parameter])


def has_weights(model: nn.Module) -> bool:
    return not any(parameter.is_meta for parameter in model.parameters())


def _on_meta(parameter: nn.Parameter) -> nn.Parameter:
    if parameter.is_meta:  # a tied one stays the same object
        return parameter
    return nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
