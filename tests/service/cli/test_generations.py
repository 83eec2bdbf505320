"""Text of a model, on the command line."""

import threading

from jobs.backends import Backends
from jobs.schemas.job import Job
from tests.service.cli.conftest import Relora
from tests.service.files import AddFile, play_generator


def test_a_model_writes(
    relora: Relora, backends: Backends, running: Job, add_file: AddFile
) -> None:
    add_file("final/config.json", b"{}")
    generator = threading.Thread(target=play_generator, args=(backends,))
    generator.start()
    result = relora("jobs", "generate", running.id, "In the beginning")
    generator.join()
    assert (result.exit_code, result.stdout) == (0, "In the beginning was\n")
    _, row = relora("jobs", "generations", running.id).stdout.splitlines()
    assert row.split() == [*row.split()[:1], "succeeded", "0", "In", "the", "beginning", "was"]
