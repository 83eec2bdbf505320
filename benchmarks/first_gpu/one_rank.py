"""FSDP2 and DDP in a process group of one rank, over NCCL or gloo: layouts, gathers, a restart."""

from collections.abc import Iterable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from benchmarks.first_gpu.part import PartFailed, Results, Setting
from benchmarks.first_gpu.runs import sizes
from relora_core.distributed.dtensor import full_tensor
from relora_core.distributed.world import World
from relora_core.lowrank.inject import inject
from relora_core.lowrank.restart import merge, reinitialize
from relora_core.models.attention import known_sequences
from relora_core.models.meta_parameters import parameters_on_meta
from relora_core.models.parallelize import Parallelism, Replicated, Sharded, compiled_parts
from relora_core.spec import LowRank

STEPS, RESTART = 8, 5
VOCABULARY = 512
NEAR = 0.02  # between the losses of both layouts
FROZEN_TYPES = ("bf16", "fp8", "int8")
LAYOUTS = ("fsdp", "ddp")


def layouts(setting: Setting) -> Results:
    """Compare the losses of both layouts for each frozen type."""
    device = torch.device(setting.device)
    dist.init_process_group(
        "nccl" if setting.on_gpu else "gloo",
        init_method=f"file://{setting.scratch / 'one-rank'}",
        rank=0,
        world_size=1,
    )
    problems = []
    try:
        for dtype in FROZEN_TYPES:
            try:
                losses = {name: _losses(name, dtype, setting, device) for name in LAYOUTS}
            except Exception as error:  # the other types may still tell something
                problems.append(f"{dtype}: {error}")
                continue
            yield dtype, losses
            apart = max(abs(a - b) for a, b in zip(*losses.values(), strict=True))
            if not apart < NEAR:
                problems.append(f"{dtype}: FSDP's and DDP's losses differ by {apart}")
    finally:
        dist.destroy_process_group()
    if problems:
        raise PartFailed("; ".join(problems))


def _losses(layout: str, dtype: Any, setting: Setting, device: torch.device) -> list[float]:
    """Return the losses of some steps, with a restart among them."""
    model, replica = _placed(layout, dtype, setting, device)
    torch.compiler.reset()
    for part in compiled_parts(model) if setting.on_gpu else ():
        part.compile()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, fused=True)
    losses = []
    with known_sequences():
        for step in range(STEPS):
            if step == RESTART:
                merge(model, step=step, restart=1)
                reinitialize(model, step=step, restart=1, seed=0)
            losses.append(_step(replica, trained, step, device))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    return [round(float(loss), 5) for loss in losses]


def _step(
    replica: nn.Module, trained: Iterable[nn.Parameter], step: int, device: torch.device
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step % 2)
    tokens = torch.randint(0, VOCABULARY, (4, 64), generator=generator).to(device)
    with torch.autocast(device.type, torch.bfloat16):
        logits = replica(input_ids=tokens).logits  # (4, 64, vocabulary)
    loss = nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(), tokens[:, 1:].flatten()
    )
    loss.backward()
    norm = full_tensor(nn.utils.clip_grad_norm_(trained, 1.0))
    if not bool(norm.isfinite()):
        raise PartFailed(f"the gradient norm of step {step} is {float(norm)}")
    return loss.detach()


def _placed(
    layout: str, dtype: Any, setting: Setting, device: torch.device
) -> tuple[PreTrainedModel, nn.Module]:
    """Return the model on its device and what to call, which averages the gradients."""

    def plain(*, weights: bool = True) -> PreTrainedModel:
        torch.manual_seed(0)
        config = AutoConfig.for_model(
            "llama", **sizes(setting), num_hidden_layers=2, vocab_size=VOCABULARY, use_cache=False
        )
        with nullcontext() if weights else parameters_on_meta():
            return AutoModelForCausalLM.from_config(config)

    world = World(0, 1, device)
    parallelism: Parallelism = Replicated(world)
    if layout == "fsdp":
        mesh = init_device_mesh(device.type, (1,))
        parallelism = Sharded(world, mesh, partial(plain, weights=False))
    low_rank = partial(inject, method=LowRank(rank=4, frozen_dtype=dtype))
    model = parallelism.rebuild_with(parallelism.apply(plain()), low_rank)
    reinitialize(model, step=0, restart=0, seed=0)
    return model, model if parallelism.shards else DistributedDataParallel(model)
