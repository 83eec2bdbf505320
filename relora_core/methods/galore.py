"""GaLore (arXiv 2403.03507): full-rank weights with gradients projected to a low rank.

It is a baseline. The projection is in its optimizer (`relora_core.optim.galore`).
"""

from relora_core.methods.method import Method
from relora_core.methods.subspace import Subspace
from relora_core.optim.galore import GaloreAdamW
from relora_core.optim.galore_in_backward import GaloreInBackward
from relora_core.optim.timeline import Timeline
from relora_core.spec import TrainSpec
from relora_core.spec.subspace_methods import GaloreMethod


def build(_spec: TrainSpec, method: GaloreMethod, _timeline: Timeline) -> Method:
    return Subspace(method, GaloreInBackward if method.projects_in_backward else GaloreAdamW)
