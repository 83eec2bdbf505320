"""A worker with the scripted trainer. It pretends that the GPUs which the driver lists work."""

from worker.node import health


def _works(num_gpus: int) -> None:  # noqa: ARG001
    return None


health.gpu_problem = _works

from tests.worker.scripted_worker import app  # noqa: E402, F401 # it checks the GPUs when it starts
