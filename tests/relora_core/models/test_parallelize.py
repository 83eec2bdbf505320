"""How a model is spread: a sharded one is built without that any rank has the whole of it."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from relora_core.distributed.dtensor import full_tensor, to_local
from relora_core.distributed.world import World
from relora_core.lowrank.frozen import offload, weight
from relora_core.lowrank.inject import exact_weight, inject, low_rank_layers
from relora_core.lowrank.restart import reinitialize
from relora_core.models.attention import known_sequences
from relora_core.models.parallelize import blocks, compiled_parts
from relora_core.spec import FrozenDtype, LowRank
from tests.relora_core.conftest import TINY_LLAMA, MakeModel
from tests.relora_core.estimate.live_memory import LiveMemory
from tests.relora_core.sharding import sharded

CPU = torch.device("cpu")
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {**TINY_LLAMA, "vocab_size": 300},
    "tied llama": {**TINY_LLAMA, "vocab_size": 300, "tie_word_embeddings": True},
    # its linear layers are stored the other way round
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2, "vocab_size": 300},
}
WIDE = {**TINY_LLAMA, "hidden_size": 256, "intermediate_size": 512, "vocab_size": 300}


@pytest.fixture
def second_of_two() -> Iterator[World]:
    """A rank whose partner does not exist: what it receives has no meaning."""
    dist.init_process_group("fake", store=FakeStore(), rank=1, world_size=2)
    yield World(rank=1, size=2, device=CPU)
    dist.destroy_process_group()


class RankMemory(LiveMemory):
    """Of a sharded tensor it counts the rows of this rank."""

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: Any = (), keywords: Any = None
    ) -> Any:
        if any(issubclass(each, DTensor) for each in types):
            return NotImplemented  # the tensor goes on with its rows, which come here again
        return super().__torch_dispatch__(operation, types, arguments, keywords)

    def track(self, tensor: torch.Tensor) -> None:
        if not tensor.is_meta and not isinstance(tensor, DTensor):
            super().track(tensor)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("frozen_dtype", ["fp32", "bf16", "int8", "fp8", "nf4"])
def test_a_model_that_was_switched_in_rows_is_the_one_that_was_switched_whole(
    family: str, frozen_dtype: FrozenDtype, one_rank: World, make_model: MakeModel
) -> None:
    method = LowRank(rank=4, frozen_dtype=frozen_dtype)
    whole, config = make_model(**FAMILIES[family]), FAMILIES[family]
    inject(whole, method)
    reinitialize(whole, step=0, restart=0, seed=0)
    parallelism = sharded(one_rank, make_model, config)
    in_rows = parallelism.apply(make_model(**config))
    in_rows = parallelism.rebuild_with(in_rows, partial(inject, method=method))
    reinitialize(in_rows, step=0, restart=0, seed=0)
    expected = whole.state_dict()
    assert {name: t.shape for name, t in in_rows.state_dict().items()} == {
        name: t.shape for name, t in expected.items()
    }
    for name, tensor in in_rows.state_dict().items():
        assert torch.equal(full_tensor(tensor), expected[name]), name
    for (_, mine), (_, theirs) in zip(
        low_rank_layers(in_rows), low_rank_layers(whole), strict=True
    ):
        assert torch.equal(full_tensor(exact_weight(mine)), exact_weight(theirs))


@pytest.mark.parametrize("frozen_dtype", ["bf16", "int8"])
def test_a_rank_has_its_rows_and_one_block_at_most(
    frozen_dtype: FrozenDtype,
    second_of_two: World,
    make_model: MakeModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offloaded: list[int] = []

    def offload_to_disk(tensor: torch.Tensor) -> Any:
        offloaded.append(tensor.numel())
        return offload.offload_to_disk(tensor)

    monkeypatch.setattr(weight, "offload_to_disk", offload_to_disk)
    config = {**WIDE, "num_hidden_layers": 8}
    parallelism = sharded(second_of_two, make_model, config)
    model = parallelism.build()
    numbers = sum(p.numel() for p in model.parameters())
    block = sum(p.numel() for p in model.model.layers[0].parameters())
    with RankMemory() as memory:
        model = parallelism.apply(model)
        assert memory.now == 4 * numbers / 2
        assert memory.peak <= 4 * (numbers / 2 + block)
        memory.peak = memory.now
        method = LowRank(rank=4, frozen_dtype=frozen_dtype)
        switched = parallelism.rebuild_with(model, partial(inject, method=method))
        assert memory.peak <= memory.now + 4 * block  # the old rows and the new ones
    rows = [layer.frozen.residual for _, layer in low_rank_layers(switched)]
    assert offloaded == [part.numel() for part in rows if part is not None]
    assert sum(offloaded) == sum(p.numel() for p in frozen_numbers(switched))


def frozen_numbers(model: PreTrainedModel) -> list[torch.Tensor]:
    """This rank's rows of each W, however they are stored."""
    return [layer.frozen(torch.float32) for _, layer in low_rank_layers(model)]


SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 300}
OF_LINEARS: dict[str, dict[str, Any]] = {
    **FAMILIES,
    "gpt_neox": {"model_type": "gpt_neox", **SMALL, "intermediate_size": 64},
    "qwen2": {"model_type": "qwen2", **SMALL, "intermediate_size": 64, "num_key_value_heads": 1},
    "opt": {"model_type": "opt", **SMALL, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "bloom": {"model_type": "bloom", **SMALL},
}


def types_of_weights(model: PreTrainedModel) -> set[torch.dtype]:
    """Collect the types in which the linear layers of the blocks have their weights."""
    types: set[torch.dtype] = set()
    for block in blocks(model):
        for module in block.modules():
            if isinstance(module, nn.Linear | Conv1D):
                module.register_forward_pre_hook(lambda layer, _: types.add(layer.weight.dtype))
    return types


@pytest.mark.filterwarnings("ignore:FSDP2-wrapped module .* returned a view")
@pytest.mark.parametrize("family", OF_LINEARS)
def test_weights_that_autocast_rounds_are_rounded_before_they_are_gathered(
    family: str, one_rank: World, make_model: MakeModel
) -> None:
    config = OF_LINEARS[family]
    found = []
    for autocast in (False, True):
        parallelism = sharded(one_rank, make_model, config, autocast=autocast)
        model = parallelism.apply(make_model(**config)).eval()
        gathered = types_of_weights(model)
        gradients = []
        for first in range(2):
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(input_ids=torch.arange(first, first + 16)[None]).logits
            logits.float().logsumexp(-1).sum().backward()
            gradients += [full_tensor(p.grad) for p in model.parameters() if p.grad is not None]
        assert gathered == {torch.bfloat16 if autocast else torch.float32}
        found.append([logits, *gradients])
    assert len(found[0]) == len(found[1])
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.usefixtures("compiler")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_blocks_share_their_graphs(one_rank: World, make_model: MakeModel) -> None:
    graphs: dict[int, int] = {}

    def backend(graph: torch.fx.GraphModule, _: list[Any]) -> Any:
        graphs[layers] += 1
        return graph.forward

    for layers in (2, 4):
        graphs[layers] = 0
        config = {**FAMILIES["llama"], "num_hidden_layers": layers, "use_cache": False}
        model = sharded(one_rank, make_model, config, autocast=True).apply(make_model(**config))
        torch.compiler.reset()
        for part in compiled_parts(model):
            part.compile(backend=backend, dynamic=False)
        with torch.autocast("cpu", torch.bfloat16), known_sequences():
            model(input_ids=torch.arange(8)[None]).logits.sum().backward()
    # the parts that are gathered by themselves, and what is between them
    assert graphs == {2: 5, 4: 5}


def test_no_rounded_copies_wait_for_the_backward_pass(
    one_rank: World, make_model: MakeModel
) -> None:
    kept = []
    for autocast in (False, True):
        parallelism = sharded(one_rank, make_model, WIDE, autocast=autocast)
        model = parallelism.apply(make_model(**WIDE))
        with RankMemory() as memory:
            with torch.autocast("cpu", torch.bfloat16):
                loss = model(input_ids=torch.arange(4)[None]).logits.sum()
            kept.append(memory.now)
            loss.backward()
    in_blocks = sum(p.numel() for p in model.model.layers.parameters() if p.ndim == 2)
    assert kept[0] - kept[1] >= 2 * in_blocks


def test_whoever_has_no_weights_gets_those_of_the_main_rank(
    second_of_two: World, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = {name: p.detach() for name, p in make_model().named_parameters()}
    of_main = iter(sent.values())

    def copy_from_main(_: World, values: torch.Tensor) -> torch.Tensor:
        return values.fill_(1) if values.ndim == 0 else values.copy_(next(of_main))

    parallelism = sharded(second_of_two, make_model, FAMILIES["llama"])
    model = parallelism.build()
    order = [*(p for layer in model.model.layers for p in layer.parameters())]
    names = {id(p): name for name, p in model.named_parameters()}
    others = [p for p in model.parameters() if id(p) not in {id(q) for q in order}]
    of_main = iter([sent[names[id(p)]] for p in (*order, *others)])
    monkeypatch.setattr(World, "copy_from_main", copy_from_main)
    model = parallelism.apply(model)
    for name, parameter in model.named_parameters():
        rows = to_local(parameter)
        assert torch.equal(rows, sent[name][-len(rows) :] if len(rows) else rows), name
    assert next(of_main, None) is None


def test_nothing_is_sent_before_a_checkpoint_is_loaded(
    second_of_two: World, make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_from_main(_: World, values: torch.Tensor) -> torch.Tensor:
        assert values.ndim == 0, "only whether there is anything to send"
        return values.fill_(0)

    monkeypatch.setattr(World, "copy_from_main", copy_from_main)
    parallelism = sharded(second_of_two, make_model, FAMILIES["llama"])
    parallelism.apply(parallelism.build())
