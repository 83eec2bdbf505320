"""Muon (kellerjordan.github.io/posts/muon, arXiv 2502.16982): orthogonalized momentum.

The weights W (m, n) of the linear layers of the blocks get steps O = U Vᵀ, where U S Vᵀ is their
momentum. Newton and Schulz's iteration computes O in bf16. With a factor of 0.2 √max(m, n), its
entries are as large as those of Adam's steps, so AdamW and Muon have one learning rate
(arXiv 2502.16982, section 2.2). All other parameters train with AdamW.
"""

from torch import nn
from torch.optim import AdamW, Muon, Optimizer

from relora_core.lowrank.inject import trained_block_weights
from relora_core.optim import adamw
from relora_core.optim.parameter_groups import parameter_groups
from relora_core.spec import MuonOptimizer


def build(model: nn.Module, spec: MuonOptimizer) -> Optimizer:
    """Return AdamW alone if all weights of the blocks are frozen."""
    matrices = trained_block_weights(model)
    if not matrices:
        return adamw.build(model, spec)
    muon = Muon(
        matrices,
        lr=spec.learning_rate,
        weight_decay=spec.weight_decay,
        momentum=spec.momentum,
        adjust_lr_fn="match_rms_adamw",
    )
    others = parameter_groups(model, spec, without=matrices)
    return MuonAndAdamW(muon, adamw.of_groups(others, spec))


class MuonAndAdamW(Optimizer):
    """Both as one optimizer, which shares its groups and its state with them."""

    def __init__(self, muon: Muon, adamw: AdamW) -> None:
        super().__init__([*muon.param_groups, *adamw.param_groups], {})
        self.parts = (muon, adamw)
        for part in self.parts:
            part.state = self.state

    def step(self, closure: None = None) -> None:  # type: ignore[override] # nothing is re-evaluated
        for part in self.parts:
            part.step(closure)  # type: ignore[no-untyped-call] # that of torch's Muon
