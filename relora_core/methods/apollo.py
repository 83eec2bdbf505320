"""APOLLO (arXiv 2412.05270): full-rank weights whose gradients are scaled as in a subspace.

It is a baseline. The scaling is in its optimizer (`relora_core.optim.apollo`).
"""

from relora_core.methods.method import Method
from relora_core.methods.subspace import Subspace
from relora_core.optim.apollo import ApolloAdamW
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec
from relora_core.spec.subspace_methods import ApolloMethod


def build(spec: TrainSpec, method: ApolloMethod, _timeline: Timeline) -> Method:
    return Subspace(method, ApolloAdamW, granularity=method.granularity, seed=spec.training.seed)
