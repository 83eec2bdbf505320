"""What the blocks compute again in backward."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from relora_core.lowrank.inject import inject
from relora_core.models.checkpointing import checkpoint_blocks
from relora_core.spec import GradientCheckpointing, ReloraMethod, TrainingSpec
from tests.relora_core.conftest import MakeModel
from tests.relora_core.estimate.live_memory import saved_for_backward

TOKENS = torch.arange(64).view(2, 32)
PRODUCTS = {"mm", "addmm", "_scaled_dot_product_flash_attention_for_cpu", "bf16_linear"}
NORMS = {"rsqrt"}


class Operations(TorchDispatchMode):
    """Counts the operations that run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch's, without types
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(
        self,
        operation: Callable[..., Any],
        types: Any,
        arguments: tuple[Any, ...] = (),
        keywords: Mapping[str, Any] | None = None,
    ) -> Any:
        self.counts[operation.overloadpacket.__name__] += 1  # type: ignore[attr-defined]
        return operation(*arguments, **(keywords or {}))


def step(
    make_model: MakeModel, kept: GradientCheckpointing, *, low_rank: bool
) -> tuple[Counter[str], int, list[Tensor]]:
    """The operations of a step, what autograd keeps in bytes, and the gradients."""
    model = make_model().train()
    if low_rank:
        inject(model, ReloraMethod(rank=4, variant="branches"))
        for number, parameter in enumerate(model.parameters()):
            if parameter.requires_grad:
                torch.nn.init.normal_(
                    parameter, std=0.1, generator=torch.Generator().manual_seed(number)
                )
    checkpoint_blocks(model, kept)
    parameters = list(model.parameters())

    def forward() -> Tensor:
        return model(input_ids=TOKENS, use_cache=False).logits.square().mean()

    _, saved = saved_for_backward(forward, parameters)
    with Operations() as operations:
        forward().backward()
    return operations.counts, saved, [p.grad for p in parameters if p.grad is not None]


@pytest.mark.parametrize("low_rank", [False, True])
def test_selective_computes_no_product_again_and_full_computes_all(
    make_model: MakeModel, *, low_rank: bool
) -> None:
    counted = {
        kept: step(make_model, kept, low_rank=low_rank)[0] for kept in ("none", "selective", "full")
    }
    for product in PRODUCTS:
        assert counted["none"][product] == counted["selective"][product] <= counted["full"][product]
    assert counted["full"]["mm"] > counted["none"]["mm"] > 0
    for norm in NORMS:
        assert counted["none"][norm] < counted["selective"][norm] == counted["full"][norm]


@pytest.mark.parametrize("low_rank", [False, True])
def test_gradients_are_the_same_and_memory_is_between(
    make_model: MakeModel, *, low_rank: bool
) -> None:
    _, most, expected = step(make_model, "none", low_rank=low_rank)
    _, some, selective = step(make_model, "selective", low_rank=low_rank)
    _, least, full = step(make_model, "full", low_rank=low_rank)
    assert least < most
    assert some <= most
    for mine, theirs, others in zip(expected, selective, full, strict=True):
        assert torch.equal(mine, theirs)
        assert torch.equal(mine, others)


@pytest.mark.parametrize(("written", "meant"), [(True, "full"), (False, "none")])
def test_a_boolean_means_what_it_meant(meant: str, *, written: bool) -> None:
    spec = TrainingSpec.model_validate({"steps": 1, "gradient_checkpointing": written})
    assert spec.gradient_checkpointing == meant
