"""Estimate the activations: the bytes that autograd keeps between forward and backward."""

from dataclasses import dataclass

from relora_core.estimate.parameter_plan import ParameterPlan
from relora_core.models.loss_chunks import number_of_chunks
from relora_core.shapes import Linear

_FP32 = 4
# Bytes for each output of the head in eager mode: the softmax in fp32, its gradient and the
# gradient of the logits.
_EAGER_LOSS = 3 * _FP32


@dataclass(frozen=True)
class Pass:
    """One forward and backward pass: its micro-batch and its precision."""

    plan: ParameterPlan
    sequences: int  # the micro-batch
    sequence_length: int  # in tokens
    compute_bytes: int  # bytes of a number in the compute type
    compiled: bool
    dropout: bool = False

    @property
    def tokens(self) -> int:
        return self.sequences * self.sequence_length

    @property
    def autocast(self) -> bool:
        return self.compute_bytes != _FP32


def block_activations(step: Pass) -> int:
    """Return the bytes of activations of one block, without copies of weights."""
    shape = step.plan.shape
    kept = shape.compiled if step.compiled else shape.eager
    if step.autocast:
        normed = step.compute_bytes * (kept.normed if step.compiled else kept.casts)
    else:
        normed = _FP32 * kept.normed
    per_token = _FP32 * kept.fp32 + step.compute_bytes * kept.compute + normed
    return step.tokens * (per_token + _scores(step) + _factors(step) // shape.layers)


def _scores(step: Pass) -> int:
    """Return the bytes a token of the softmax and its copy, if attention is not one kernel."""
    shape = step.plan.shape
    if not shape.keeps_scores:
        return 0
    copy = step.compute_bytes if step.autocast else 0
    return (_FP32 + copy) * shape.heads * step.sequence_length


def _factors(step: Pass) -> int:
    """Return the bytes a token, in all blocks, of A x and of dropout's mask and output."""
    targets = step.plan.targets
    apart = (w for w in targets if not step.plan.is_merged(w, tokens=step.tokens))
    kept = step.plan.rank * sum(linear.count for linear in apart)
    if step.dropout:
        kept += 2 * sum(linear.count * linear.d_in for linear in targets)
    return step.compute_bytes * kept


def block_input(step: Pass) -> int:
    """Return the bytes that gradient checkpointing keeps of a block: its input."""
    return _FP32 * step.plan.shape.hidden * step.tokens


def block_products(step: Pass) -> int:
    """Return the bytes of the results of a block's linear layers and of its attention.

    They are what selective gradient checkpointing keeps. A target that is not merged has two
    results, of W and of the update, and A x.
    """
    shape, plan = step.plan.shape, step.plan
    results = sum(
        linear.count * linear.d_out * (2 if _is_apart(linear, step) else 1)
        for linear in shape.linears
        if linear.in_block
    )
    attention = 0 if shape.keeps_scores else shape.heads * shape.head_dim
    logarithms = 0 if shape.keeps_scores else _FP32 * shape.heads
    per_token = step.compute_bytes * (results // shape.layers + attention) + logarithms
    return step.tokens * (per_token + _factors(step) // plan.shape.layers)


def _is_apart(linear: Linear, step: Pass) -> bool:
    """Return whether a frozen W and its update are multiplied one by one."""
    is_target = linear in step.plan.frozen_linears
    return is_target and not step.plan.is_merged(linear, tokens=step.tokens)


def end_activations(step: Pass) -> int:
    """Return the bytes of activations after the last block.

    They are the input and an inner tensor of the last norm, and the head's input. If the loss is
    computed in chunks, the gradient of the head's input takes the place of that input.
    """
    return (2 * _FP32 + step.compute_bytes) * step.plan.shape.hidden * step.tokens


def head_in_chunks(step: Pass) -> Linear | None:
    """Return the head if the loss is computed in chunks, or None if it is not.

    It is not in an image classifier, or if the head is a target.
    """
    if step.plan.shape.image_tokens is not None:
        return None
    heads = (linear for linear in step.plan.shape.linears if not linear.in_block)
    return next((head for head in heads if head not in step.plan.targets), None)


def around_the_loss(step: Pass) -> int:
    """Return the bytes that the loss needs.

    In chunks, they are the head's gradient, a copy of the head, and one chunk's logits with their
    gradient.
    """
    shape = step.plan.shape
    head = head_in_chunks(step)
    if head is None:
        heads = step.sequences if shape.image_tokens is not None else step.tokens
        return _EAGER_LOSS * shape.outputs * heads
    logits = shape.outputs * step.tokens
    chunk = logits // number_of_chunks(logits, itemsize=step.compute_bytes, on_gpu=True)
    copy = step.compute_bytes * head.weights if step.autocast else 0
    with_gradient = 2 * step.compute_bytes if step.compiled else step.compute_bytes + _EAGER_LOSS
    return _FP32 * head.weights + copy + with_gradient * chunk
