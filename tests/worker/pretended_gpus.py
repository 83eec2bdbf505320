"""A worker with the scripted trainer, which has GPUs by the word of a driver alone."""

from worker.node import health


def _works(num_gpus: int) -> None:  # noqa: ARG001
    return None


health.gpu_problem = _works

from tests.worker.scripted_worker import app  # noqa: E402, F401 # looks at GPUs when it starts
