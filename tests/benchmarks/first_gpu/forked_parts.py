"""The processes of parts, forked from one that has loaded torch and transformers."""

import os
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from benchmarks import interleaved
from benchmarks.first_gpu.part import main
from tests.fixtures.forking import FORKING, begin, preload

preload(
    __name__,
    "benchmarks.contenders",
    "relora_core.process",
    "torch._dynamo",
    "transformers.models.llama.modeling_llama",
)


class ForkedPart:
    """A process of which the driver knows what it knows of `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self._process: BaseProcess = FORKING.Process(
            target=_run, args=(list(arguments), {**os.environ}, log)
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self) -> int:
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode


def _run(arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
    begin(environment, log)
    os.setsid()
    interleaved.PROCESSES = FORKING  # the contenders of a part are forked, too
    main(arguments)
