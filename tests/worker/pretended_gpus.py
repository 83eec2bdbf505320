"""The worker's app, for tests of a worker that has GPUs by the word of a driver alone."""

from worker import health


def _works(num_gpus: int) -> None:  # noqa: ARG001
    return None


health.gpu_problem = _works

from worker.tasks import app  # noqa: E402, F401 # it looks at the GPUs when it starts
