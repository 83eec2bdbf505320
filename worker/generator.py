"""`python -m worker.generator`: samples text from the models of jobs, also while they train.

The generator is a separate process, so that users do not wait for a training job to end. PyTorch
runs in subprocesses with a time limit. By default it runs on the CPU, because a trainer may use the
GPUs of this node.
"""

import argparse
import json
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from jobs.backends import Backends, open_backends
from jobs.errors import JobsError
from jobs.garbage.local_disk import GENERATION
from jobs.generations import Claim
from jobs.outages import DATABASE_OUTAGES, FailureLog
from jobs.schemas.generations import GeneratedText
from jobs.schemas.status import JobError
from jobs.settings import Settings
from relora_core.errors import CheckpointError
from worker.attempt.environment import child_environment
from worker.failures import told
from worker.launchers.process import TiedProcess, forbid_inspection, log_tail
from worker.node.heartbeat import worker_name
from worker.transfers.model_cache import model_folder

logger = logging.getLogger(__name__)

EVERY_SECONDS = 0.25  # short, because a user waits for the text
POLL_SECONDS = 0.05
AFTER_FAILURE_SECONDS = 2.0
# The claim lasts this much longer than the time limit, so that a timeout can still be stored.
SPARE_SECONDS = 30.0


class Leaving(Exception):
    """The generator shuts down before the generation has ended."""


class GenerationFailed(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Generator:
    backends: Backends
    shutting_down: Callable[[], bool]
    device: str = "cpu"
    name: str = field(default_factory=worker_name)

    def work(self) -> bool:
        """Claim a generation and complete it. Return False if no generation waits."""
        store, seconds = self.backends.generations, self._seconds
        claim = store.claim(worker=self.name, seconds=seconds + SPARE_SECONDS)
        if claim is None:
            return False
        try:
            store.succeed(claim, self._generate(claim, give_up_at=time.monotonic() + seconds))
        except Leaving:
            store.give_back(claim, seconds=seconds)
        except GenerationFailed as error:
            store.fail(claim, JobError(code=error.code, message=str(error)))
        except (CheckpointError, JobsError) as error:
            store.fail(claim, JobError(code="model_unavailable", message=str(error)))
        except DATABASE_OUTAGES:
            raise
        except Exception as error:
            logger.exception("generation %s broke", claim.generation.id)
            store.fail(claim, JobError(code="generator_error", message=told(error)))
        logger.info("generation %s of job %s is over", claim.generation.id, claim.generation.job_id)
        return True

    def _generate(self, claim: Claim, *, give_up_at: float) -> GeneratedText:
        generation = claim.generation
        job = self.backends.store.get(generation.job_id)
        with TemporaryDirectory(prefix=GENERATION) as name:
            folder = Path(name)
            project = self.backends.store.project_of(job.id)
            run = partial(self._run, project=project, folder=folder, give_up_at=give_up_at)

            def merge(workdir: Path, to: Path) -> None:
                run(["export", "--workdir", str(workdir), "--to", str(to)])

            model = model_folder(self.backends, job, generation.step, merge)
            request, result = folder / "request.json", folder / "result.json"
            request.write_text(generation.request.model_dump_json(exclude={"step"}))
            run(
                [
                    *("generate", "--model", str(model), "--request", str(request)),
                    *("--result", str(result), "--device", self.device),
                ]
            )
            return GeneratedText.model_validate(json.loads(result.read_text()))

    def _run(
        self, arguments: Sequence[str], *, project: str, folder: Path, give_up_at: float
    ) -> None:
        """Run a `relora_core` command in a subprocess.

        It gets half of the CPU cores, because a job may train on this node at the same time.
        """
        process = TiedProcess(
            [sys.executable, "-m", "relora_core", *arguments, "--supervised"],
            environ=child_environment(self.backends.settings, project=project, num_processes=2),
            cwd=folder / "empty",
            log=folder / "log",
        )
        try:
            while (exit_code := process.exit_code()) is None:
                if self.shutting_down():
                    raise Leaving
                if time.monotonic() > give_up_at:
                    message = f"It took longer than {self._seconds:g} s; ask for fewer tokens."
                    raise GenerationFailed("generation_too_slow", message)
                time.sleep(POLL_SECONDS)
        finally:
            process.kill()
        if exit_code:
            raise GenerationFailed("generation_failed", log_tail(folder / "log"))

    @property
    def _seconds(self) -> float:
        return self.backends.settings.generation_seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m worker.generator", description=__doc__)
    parser.add_argument("--device", default="cpu", help="of torch, such as cuda (default: cpu)")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    forbid_inspection()
    shutting_down = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: shutting_down.set())
    generator = Generator(open_backends(Settings()), shutting_down.is_set, device=arguments.device)
    logger.info("generating on %s", arguments.device)
    serve(generator.work, shutting_down)


def serve(work: Callable[[], bool], shutting_down: threading.Event) -> None:
    """Call `work` until the generator must shut down. An error does not end the loop.

    `work` returns whether there was a generation to do.
    """
    failures = FailureLog(logger, "generate text")
    while not shutting_down.is_set():
        try:
            pause = 0.0 if work() else EVERY_SECONDS
        except Exception as error:
            failures.failed(error)
            pause = AFTER_FAILURE_SECONDS
        else:
            failures.succeeded()
        shutting_down.wait(pause)


if __name__ == "__main__":
    main()
