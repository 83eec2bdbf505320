"""The parameters that a phase trains and freezes, and how they are stored."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from relora_core.lowrank.targets import (
    check_rank,
    check_untied,
    is_below_rank,
    is_target,
    no_targets,
)
from relora_core.lowrank.variant import is_merged
from relora_core.shapes import Linear, ModelShape
from relora_core.spec import Factors, LowRank, Targets, Variant
from relora_core.spec.targets import BaseMethod


@dataclass(frozen=True)
class ParameterPlan:
    """The numbers of parameters of a model in one phase.

    `trained` are fp32 with a gradient. `frozen` are the targets' weights in the storage type.
    `still` are the other frozen linear layers of the blocks: fp32, without a gradient. `fixed` is A
    if it is not trained, likewise.
    """

    shape: ModelShape
    trained: int
    frozen: int = 0
    still: int = 0
    fixed: int = 0
    rank: int = 0
    targets: frozenset[Linear] = frozenset()
    narrow: frozenset[Linear] = frozenset()  # too narrow for the rank: trained in full
    factored: bool = False  # the targets' W is s B A itself, without a frozen part
    variant: Variant = "branches"
    dropout: float = 0.0  # on the input of the update
    as_stored: bool = False  # the device multiplies W as it is stored
    moments: int | None = None  # values in the optimizer state; None: two for each trained one
    gradient: int | None = None  # values in the gradients; None: one for each trained one
    compared_cycles: int = 0  # whose directions are kept for the reports of restarts

    @property
    def total(self) -> int:
        return self.trained + self.frozen + self.still + self.fixed

    @property
    def state(self) -> int:
        """The number of values in the optimizer state."""
        return 2 * self.trained if self.moments is None else self.moments

    @property
    def gradients(self) -> int:
        """The number of values in the gradients that are in memory after backward."""
        return self.trained if self.gradient is None else self.gradient

    @property
    def trained_matrices(self) -> int:
        """The number of weights of the blocks' linear layers that are trained in full."""
        return sum(
            w.weights
            for w in self.shape.linears
            if w.in_block and self.is_dense(w) and not self.is_frozen(w)
        )

    @property
    def frozen_linears(self) -> frozenset[Linear]:
        return frozenset() if self.factored else self.targets

    def cast(self, *, tokens: int) -> int:
        """Return the number of entries of trained matrices that autocast copies to bf16.

        A counts too if it is not trained. Factors that are merged with W are not copied.
        """
        return sum(
            (w.weights if self.is_dense(w) and not self.is_frozen(w) else 0)
            + (0 if self.is_merged(w, tokens=tokens) else self.factor_elements(w))
            for w in self.shape.linears
        )

    def is_dense(self, linear: Linear) -> bool:
        return not (self.factored and linear in self.targets)

    def is_frozen(self, linear: Linear) -> bool:
        if self.factored or not self.targets:
            return False
        return linear in self.targets or (linear.in_block and linear not in self.narrow)

    def is_merged(self, linear: Linear, *, tokens: int) -> bool:
        """Return whether a layer is computed as `merged` for this many tokens: W + s B A first."""
        return linear in self.frozen_linears and is_merged(
            self.variant,
            tokens=tokens,
            d_in=linear.d_in,
            d_out=linear.d_out,
            dropout=self.dropout,
            as_stored=self.as_stored,
        )

    def is_in_8_bits(self, linear: Linear, *, tokens: int) -> bool:
        """Return whether both products use W as it is stored, for this many tokens."""
        is_frozen_target = linear in self.frozen_linears
        return self.as_stored and is_frozen_target and not self.is_merged(linear, tokens=tokens)

    def factor_elements(self, linear: Linear) -> int:
        """Return the number of entries of A and B of a layer."""
        if linear not in self.targets:
            return 0
        return linear.count * self.rank * (linear.d_out + linear.d_in)


def full_rank(shape: ModelShape, method: BaseMethod) -> ParameterPlan:
    """Return the plan of a phase that trains all parameters. Raise as `low_rank` does.

    The method gives the sizes of a target's gradient and optimizer state.
    """
    if not isinstance(method, Targets) or method.changes_shape:
        return ParameterPlan(shape, trained=shape.parameters)
    shape, targets = _targets(shape, method)
    state = sum(w.count * method.state_of_target(*w.shape) for w in targets)
    gradient = sum(w.count * method.gradient_of_target(*w.shape) for w in targets)
    others = shape.parameters - sum(w.weights for w in targets)
    return ParameterPlan(
        shape, trained=shape.parameters, moments=2 * others + state, gradient=others + gradient
    )


def low_rank(shape: ModelShape, method: LowRank, *, as_stored: bool = False) -> ParameterPlan:
    """Return the plan with W frozen and trained factors, as `relora_core.lowrank.inject` does it.

    `as_stored` says whether the device and the precision allow to multiply W as it is stored.
    Raise `ModelError` if the method fits no layer, or if its rank does not fit a layer.
    """
    shape, targets = _targets(shape, method)
    narrow = frozenset(w for w in shape.linears if is_below_rank(w.names[0], w.shape, method))
    still = sum(w.weights for w in shape.linears if w.in_block and w not in targets | narrow)
    frozen = sum(linear.weights for linear in targets)
    fixed = 0 if method.train_a else sum(w.count * method.rank * w.d_in for w in targets)
    return ParameterPlan(
        shape,
        trained=shape.parameters - frozen - still + _update_elements(targets, method) - fixed,
        frozen=frozen,
        still=still,
        fixed=fixed,
        rank=method.rank,
        targets=targets,
        narrow=narrow,
        variant=method.variant,
        dropout=method.dropout,
        as_stored=as_stored,
    )


def factored(shape: ModelShape, method: Factors) -> ParameterPlan:
    """Return the plan with factors instead of W, all trained. Raise as `low_rank` does."""
    shape, targets = _targets(shape, method)
    replaced = sum(linear.weights for linear in targets)
    return ParameterPlan(
        shape,
        trained=shape.parameters - replaced + _update_elements(targets, method),
        rank=method.rank,
        targets=targets,
        factored=True,
    )


def _update_elements(targets: Iterable[Linear], method: Factors) -> int:
    """Return the number of entries of A and B, and of the gains if the scale is trained."""
    gain = int(method.trainable_scaling)
    return sum(
        linear.count * (method.rank * (linear.d_out + linear.d_in) + gain) for linear in targets
    )


def _targets(shape: ModelShape, method: Targets) -> tuple[ModelShape, frozenset[Linear]]:
    """Return the targets, and the shape with its linear layers divided into targets and others."""
    shape = replace(shape, linears=tuple(_divided(shape.linears, method)))
    check_rank({linear.names[0]: linear.shape for linear in shape.linears}, method)
    targets = frozenset(w for w in shape.linears if is_target(w.names[0], w.shape, method))
    if not targets:
        raise no_targets(method, [linear.names[0] for linear in shape.linears])
    if isinstance(method, Factors):
        check_untied(sorted(linear.name for linear in targets if linear.tied))
    return shape, targets


def _divided(linears: Iterable[Linear], method: Targets) -> Iterator[Linear]:
    """Yield the layers, divided where a pattern matches a layer only in some blocks."""
    for linear in linears:
        matched: dict[bool, list[int]] = {}
        for number, name in zip(linear.blocks, linear.names, strict=False):
            matched.setdefault(is_target(name, linear.shape, method), []).append(number)
        if len(matched) < 2:
            yield linear
        else:
            yield from (replace(linear, blocks=tuple(blocks)) for blocks in matched.values())
