"""`python -m worker.generator`: samples text from the models of jobs, also while they train.

The generator is a separate process, so that users do not wait for a training job to end. PyTorch
runs in subprocesses with a time limit. The one that samples keeps its model in memory for the next
text. It serves one project, and ends before a text of another one begins. By default it runs on the
CPU, because a trainer may use the GPUs of this node.
"""

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jobs.backends import Backends, open_backends
from jobs.errors import JobsError
from jobs.garbage.local_disk import GENERATION
from jobs.generations import Claim
from jobs.liveness import show_life
from jobs.logs import log_to_stderr
from jobs.outages import DATABASE_OUTAGES, FailureLog
from jobs.schemas.generations import GeneratedText
from jobs.schemas.status import JobError
from jobs.settings import Settings
from relora_core.errors import CheckpointError
from worker.attempt.environment import child_environment
from worker.failures import told
from worker.launchers.process import TiedProcess, forbid_inspection, log_tail
from worker.launchers.sampler import SamplerLost, SamplerProcess
from worker.node.heartbeat import worker_name
from worker.transfers.model_cache import model_folder

logger = logging.getLogger(__name__)

EVERY_SECONDS = 0.25  # short, because a user waits for the text
POLL_SECONDS = 0.05
BETWEEN_TEXTS_SECONDS = 0.2  # between two changes of the text that a user sees
KEPT_SECONDS = 300.0  # how long a model stays in memory without a request
AFTER_FAILURE_SECONDS = 2.0
# The claim lasts this much longer than the time limit, so that a timeout can still be stored.
SPARE_SECONDS = 30.0


class Leaving(Exception):
    """The generator shuts down before the generation has ended."""


class GenerationFailed(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Generator:
    def __init__(
        self, backends: Backends, shutting_down: Callable[[], bool], *, device: str = "cpu"
    ) -> None:
        self._backends = backends
        self._shutting_down = shutting_down
        self._device = device
        self._name = worker_name()
        self._sampler: SamplerProcess | None = None

    def work(self) -> bool:
        """Claim a generation and complete it. Return False if no generation waits."""
        show_life(self._backends.settings, "generator")
        store, seconds = self._backends.generations, self._seconds
        claim = store.claim(worker=self._name, seconds=seconds + SPARE_SECONDS)
        if claim is None:
            self._end_idle_sampler()
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

    def close(self) -> None:
        """End the process that samples, if there is one."""
        if self._sampler is not None:
            self._sampler.end()
            self._sampler = None

    def _generate(self, claim: Claim, *, give_up_at: float) -> GeneratedText:
        generation = claim.generation
        job = self._backends.store.get(generation.job_id)
        project = self._backends.store.project_of(job.id)
        with TemporaryDirectory(prefix=GENERATION) as name:
            merge = partial(self._merge, project=project, folder=Path(name), give_up_at=give_up_at)
            model = model_folder(self._backends, job, generation.step, merge)
        asked = generation.request.model_dump(exclude={"step"})
        try:
            return self._sample(claim, project, model, asked, give_up_at)
        except BaseException:
            self.close()  # it may still sample, or its model may be broken
            raise

    def _sample(
        self,
        claim: Claim,
        project: str,
        model: Path,
        asked: dict[str, Any],
        give_up_at: float,
    ) -> GeneratedText:
        told_at = 0.0
        try:
            for answer in self._sampler_of(project).ask(model, asked):
                if answer is None:
                    self._check_time(give_up_at)
                    time.sleep(POLL_SECONDS)
                elif "sample" in answer:
                    return GeneratedText.model_validate(answer["sample"])
                elif "error" in answer:
                    raise GenerationFailed("generation_failed", answer["error"])
                elif time.monotonic() - told_at > BETWEEN_TEXTS_SECONDS:
                    self._backends.generations.tell(claim, answer["text"])
                    told_at = time.monotonic()
        except SamplerLost as error:
            raise GenerationFailed("generation_failed", str(error)) from None
        raise AssertionError("a sampler answers until its end")

    def _sampler_of(self, project: str) -> SamplerProcess:
        if self._sampler is not None and self._sampler.project != project:
            self.close()
        if self._sampler is None:
            self._sampler = SamplerProcess(
                self._backends.settings, project=project, device=self._device
            )
        return self._sampler

    def _end_idle_sampler(self) -> None:
        if self._sampler and time.monotonic() - self._sampler.used_at > KEPT_SECONDS:
            self.close()

    def _merge(
        self, workdir: Path, to: Path, *, project: str, folder: Path, give_up_at: float
    ) -> None:
        """Merge a checkpoint in a subprocess, which gets half of the CPU cores as well."""
        process = TiedProcess(
            [
                *(sys.executable, "-m", "relora_core", "export", "--supervised"),
                *("--workdir", str(workdir), "--to", str(to)),
            ],
            environ=child_environment(self._backends.settings, project=project, num_processes=2),
            cwd=folder / "empty",
            log=folder / "log",
        )
        try:
            while (exit_code := process.exit_code()) is None:
                self._check_time(give_up_at)
                time.sleep(POLL_SECONDS)
        finally:
            process.kill()
        if exit_code:
            raise GenerationFailed("generation_failed", log_tail(folder / "log"))

    def _check_time(self, give_up_at: float) -> None:
        """Raise `Leaving` or `GenerationFailed` if the generation must end now."""
        if self._shutting_down():
            raise Leaving
        if time.monotonic() > give_up_at:
            message = f"It took longer than {self._seconds:g} s; ask for fewer tokens."
            raise GenerationFailed("generation_too_slow", message)

    @property
    def _seconds(self) -> float:
        return self._backends.settings.generation_seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m worker.generator", description=__doc__)
    parser.add_argument("--device", default="cpu", help="of torch, such as cuda (default: cpu)")
    arguments = parser.parse_args()
    settings = Settings()
    log_to_stderr(settings)
    forbid_inspection()
    shutting_down = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: shutting_down.set())
    generator = Generator(open_backends(settings), shutting_down.is_set, device=arguments.device)
    logger.info("generating on %s", arguments.device)
    with closing(generator):
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
