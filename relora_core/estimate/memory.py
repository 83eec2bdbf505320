"""Estimate the bytes that one phase needs on one device, part by part.

The estimate counts the tensors of the run itself: parameters, gradients, moments, activations and
the loss. It does not count the CUDA context, libraries and fragmentation (`GpuModel.usable_bytes`
leaves room for them), the batch of token ids, dropout masks in the blocks, workspaces of kernels,
and restarts, whose merge needs less memory than the step before it.

Activations are approximate: they are the tensors that torch 2.13 keeps for the families of
`relora_core.shapes`, eager or compiled. Another version may keep others.
"""

from dataclasses import dataclass

from relora_core.estimate import activations
from relora_core.estimate.activations import Pass
from relora_core.estimate.storage import (
    directions_bytes,
    kept_for_backward_bytes,
    residual_bytes,
    stored_bytes,
)
from relora_core.spec import FrozenDtype, GradientCheckpointing, OptimizerSpec

_FP32 = 4


@dataclass(frozen=True)
class Memory:
    """The bytes on one device.

    `residual` is on the host, or in a file if the CPU is the device. `directions` are on the host
    of the main process.
    """

    weights: int  # fp32: all trained weights, frozen weights that are not targets, A
    frozen: int  # W of the targets in its storage type, with its scales
    gradients: int  # with several GPUs, as parts of the buffers that they send
    optimizer: int
    weight_copies: int  # in the compute type, kept from forward to backward
    activations: int  # kept from forward to backward
    recomputed: int  # the activations of one block, with gradient checkpointing
    loss: int
    residual: int
    directions: int  # of earlier cycles, for the angle that the report of a restart tells
    peak: int


def memory(
    step: Pass,
    *,
    frozen_dtype: FrozenDtype,
    optimizer: OptimizerSpec,
    checkpointing: GradientCheckpointing,
    gpus: int,
    accumulates: bool,
) -> Memory:
    """Return the memory of a pass.

    If `accumulates`, the gradients of one micro-batch stay in memory while the next one runs. With
    several GPUs they always do.
    """
    plan = step.plan
    weights = _FP32 * (plan.trained + plan.still + plan.fixed)
    frozen = sum(
        stored_bytes(linear, frozen_dtype, as_stored=plan.as_stored)
        for linear in plan.frozen_linears
    )
    gradients = _FP32 * plan.gradients
    fewer = 2 - optimizer.moments_of_matrices
    state = optimizer.moment_bytes * (plan.state - fewer * plan.trained_matrices)
    copies, recomputed = _trained_copies(step), 0
    if checkpointing == "none":
        kept = activations.block_activations(step)
        copies += _frozen_copies(step, frozen_dtype)
    else:
        results = activations.block_products(step) if checkpointing == "selective" else 0
        kept = activations.block_input(step) + results
        recomputed = max(0, activations.block_activations(step) - results)
        recomputed += _frozen_copies(step, frozen_dtype) // plan.shape.layers
    kept = kept * plan.shape.layers + activations.end_activations(step)
    loss = activations.around_the_loss(step)
    # A compiled backward returns all gradients at once, before they can be projected.
    whole = _FP32 * plan.trained if step.compiled and plan.gradients < plan.trained else 0
    # At the end of forward, all activations and the loss are in memory. Backward frees them block
    # by block while it creates the gradients.
    stay = accumulates or gpus > 1  # buffers that are sent are always there
    end_of_forward = copies + kept + max(loss, recomputed) + (gradients if stay else 0)
    return Memory(
        weights=weights,
        frozen=frozen,
        gradients=gradients,
        optimizer=state,
        weight_copies=copies,
        activations=kept,
        recomputed=recomputed,
        loss=loss,
        residual=sum(residual_bytes(linear, frozen_dtype) for linear in plan.frozen_linears),
        directions=sum(
            directions_bytes(linear, rank=plan.rank, cycles=plan.compared_cycles)
            for linear in plan.frozen_linears
        ),
        peak=weights + frozen + state + max(end_of_forward, gradients + whole + recomputed),
    )


def _trained_copies(step: Pass) -> int:
    """Return the bytes of the copies of trained weights: autocast casts once and keeps the copy."""
    if not step.autocast:
        return 0
    cast = step.plan.cast(tokens=step.tokens)
    head = activations.head_in_chunks(step)  # its copy is freed after the loss
    return step.compute_bytes * (cast - (head.weights if head else 0))


def _frozen_copies(step: Pass, dtype: FrozenDtype) -> int:
    plan = step.plan
    frozen = sum(
        linear.weights
        for linear in plan.frozen_linears
        if not plan.is_merged(linear, tokens=step.tokens)
    )
    still = plan.still if step.autocast else 0
    per_number = kept_for_backward_bytes(dtype, compute_bytes=step.compute_bytes)
    return frozen * per_number + still * step.compute_bytes
