"""GaLore with gradients that are projected in backward, against GaLore with whole ones."""

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from relora_core.distributed.world import World
from relora_core.optim.galore import GaloreAdamW
from relora_core.optim.galore_in_backward import GaloreInBackward, with_gradients
from tests.relora_core.optim.subspaces import ADAM, each_shape


def layers(shape: tuple[int, int]) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(shape[1], shape[0], bias=False), nn.Linear(shape[0], 8))


def built(model: nn.Module, kind: type[GaloreAdamW], **changes: Any) -> GaloreAdamW:
    projected, *others = model.parameters()
    group = {"params": [projected], "rank": 4, "update_projection_every": 3, "scale": "auto"}
    return kind({**group, "weight_decay": 0.1, **changes}, [{"params": others}], **ADAM)


def batches(shape: tuple[int, int], count: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(64, shape[1], generator=generator) for _ in range(count)]


def backward(model: nn.Module, batch: Tensor) -> None:
    model(batch).square().mean().backward()


@each_shape
def test_with_one_micro_batch_a_step_it_is_galore_to_the_bit(shape: tuple[int, int]) -> None:
    trained = []
    for kind in (GaloreAdamW, GaloreInBackward):
        model = layers(shape)
        optimizer = built(model, kind)
        for batch in batches(shape, 7):
            backward(model, batch)
            optimizer.step()
            optimizer.zero_grad()
        trained.append([p.detach() for p in model.parameters()])
    assert all(torch.equal(*pair) for pair in zip(*trained, strict=True))


@each_shape
def test_no_gradient_of_a_target_outlives_backward_and_its_stand_in_has_it_projected(
    shape: tuple[int, int],
) -> None:
    model = layers(shape)
    optimizer = built(model, GaloreInBackward)
    backward(model, batches(shape, 1)[0])
    weight = next(model.parameters())
    assert weight.grad is None
    stand_in, *others = with_gradients(model, optimizer)
    assert stand_in.grad is not None
    assert stand_in.grad.shape == ((4, shape[1]) if shape[0] <= shape[1] else (shape[0], 4))
    assert stand_in.untyped_storage().nbytes() == 4  # of no size of its own
    assert others == list(model.parameters())[1:]


def test_micro_batches_add_up_in_the_subspace_of_the_first() -> None:
    shape = (12, 20)
    model, plain = layers(shape), layers(shape)
    optimizer = built(model, GaloreInBackward)
    for batch in batches(shape, 2):
        backward(model, batch)
        backward(plain, batch)
    [weight, *_], [same, *_] = list(model.parameters()), list(plain.parameters())
    assert isinstance(optimizer, GaloreInBackward)
    assert same.grad is not None
    found = optimizer.stand_ins[weight].grad
    projection = optimizer.state[weight]["projection"]
    torch.testing.assert_close(found, projection.T @ same.grad)
    alone = layers(shape)
    first = built(alone, GaloreInBackward)
    backward(alone, batches(shape, 1)[0])
    assert torch.equal(first.state[next(alone.parameters())]["projection"], projection)


def test_a_step_that_is_not_taken_leaves_no_gradient_and_no_broken_subspace() -> None:
    shape = (12, 20)
    model = layers(shape)
    optimizer = built(model, GaloreInBackward)
    before = [p.detach().clone() for p in model.parameters()]
    backward(model, torch.full((64, 20), torch.nan))
    optimizer.zero_grad()  # as after a step that was skipped
    backward(model, batches(shape, 1)[0])
    optimizer.step()
    for old, weight in zip(before, model.parameters(), strict=True):
        assert weight.isfinite().all()
        assert not torch.equal(weight, old)


class WithAnother(World):
    """The main rank beside one that has this gradient."""

    gradient: Tensor

    def mean(self, value: Tensor) -> Tensor:
        return (value + self.gradient) / 2


def test_the_ranks_choose_a_subspace_from_the_mean_of_their_gradients() -> None:
    shape = (12, 20)
    [one, other] = batches(shape, 2)
    model, both = layers(shape), layers(shape)
    optimizer, of_both = built(model, GaloreInBackward), built(both, GaloreInBackward)
    assert isinstance(optimizer, GaloreInBackward)
    theirs = layers(shape)
    backward(theirs, other)
    gradient = next(theirs.parameters()).grad
    assert gradient is not None
    optimizer.world = WithAnother(rank=0, size=1, device=torch.device("cpu"))
    object.__setattr__(optimizer.world, "gradient", gradient)
    backward(model, one)
    backward(both, torch.cat([one, other]))
    mine, expected = (
        o.state[next(m.parameters())]["projection"]
        for o, m in ((optimizer, model), (of_both, both))
    )
    torch.testing.assert_close(mine @ mine.T, expected @ expected.T, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", [GaloreAdamW, GaloreInBackward])
def test_an_optimizer_that_is_dropped_is_freed_without_a_search_for_cycles(
    kind: type[GaloreAdamW],
) -> None:
    model = layers((12, 20))
    optimizer = built(model, kind)
    reference = weakref.ref(optimizer)
    gc.disable()
    try:
        del optimizer
        assert reference() is None
    finally:
        gc.enable()
    backward(model, batches((12, 20), 1)[0])  # the hook is still there, and does nothing
    assert next(model.parameters()).grad is not None
