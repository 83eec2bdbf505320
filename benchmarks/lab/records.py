"""The result of each run, as a JSON file that is committed. What is there is not run again."""

import json
import math
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from benchmarks.lab.experiments import Experiment, Run
from benchmarks.machine import Machine
from benchmarks.results import FOLDER
from relora_core.files import publish_file

RESULTS = FOLDER / "lab"


class Evaluation(BaseModel):
    model_config = ConfigDict(frozen=True)

    step: int
    loss: float  # nats per token
    tokens: int  # that were scored


class Ranks(BaseModel):
    """What `train.spectrum` says of the total update."""

    model_config = ConfigDict(frozen=True)

    step: int
    restart: int
    effective_rank: float
    stable_rank: float


class Record(BaseModel):
    model_config = ConfigDict(frozen=True)

    run: Run
    spec_sha256: str  # of what the experiment says of the run
    text_sha256: str
    validation_bytes: int  # of the whole held-out text
    validation_tokens: int
    machine: Machine
    diverged: bool
    evaluations: list[Evaluation]
    ranks: list[Ranks]
    trained_parameters: int  # at the end
    tokens: int  # trained on
    executed_flops: float  # estimated
    seconds: float  # from the start of the job to its end
    tokens_per_second: float  # the median of its reports
    peak_memory_bytes: int | None

    @property
    def loss(self) -> float:
        """The last validation loss, ln(perplexity); infinite if the run diverged."""
        return math.inf if self.diverged else self.evaluations[-1].loss

    @property
    def bits_per_byte(self) -> float:
        """The same in bits for each byte of the held-out text."""
        return self.loss / math.log(2) * self.validation_tokens / self.validation_bytes


def spec_hash(experiment: Experiment, run: Run) -> str:
    return sha256(json.dumps(experiment.document(run), sort_keys=True).encode()).hexdigest()


class Records:
    """The stored results of one experiment."""

    def __init__(self, experiment: Experiment, folder: Path = RESULTS) -> None:
        self._experiment = experiment
        self._folder = folder / experiment.name

    def read(self) -> dict[Run, Record]:
        """Return the results of runs as the experiment describes them today."""
        files = sorted(self._folder.glob("*.json"))
        records = [Record.model_validate_json(file.read_text()) for file in files]
        return {record.run: record for record in records if self._holds(record)}

    def write(self, record: Record) -> None:
        content = record.model_dump_json(indent=1) + "\n"
        publish_file(self._folder / f"{record.run.name}.json", content.encode())

    def _holds(self, record: Record) -> bool:
        known = record.run.arm in {arm.name for arm in self._experiment.arms}
        return known and record.spec_sha256 == spec_hash(self._experiment, record.run)


def other_texts(records: Mapping[Run, Record], text_sha256: str) -> set[str]:
    """Return the hashes of the texts of stored results that are not of this one."""
    return {record.text_sha256 for record in records.values()} - {text_sha256}
