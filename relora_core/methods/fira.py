"""Fira (arXiv 2410.01623): GaLore that also uses the gradient outside of the subspace.

It is a baseline. The update is in its optimizer (`relora_core.optim.fira`).
"""

from relora_core.methods.method import Method
from relora_core.methods.subspace import Subspace
from relora_core.optim.fira import FiraAdamW
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec
from relora_core.spec.subspace_methods import FiraMethod


def build(_spec: TrainSpec, method: FiraMethod, _timeline: Timeline) -> Method:
    return Subspace(method, FiraAdamW)
