"""The result of each run, as a JSON file that is committed. What is there is not run again."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from benchmarks.lab.experiments import Experiment, Run
from benchmarks.machine import Machine
from benchmarks.results import FOLDER
from relora_core.counted import counted
from relora_core.files import publish_file

RESULTS = FOLDER / "lab"


class Evaluation(BaseModel):
    model_config = ConfigDict(frozen=True)

    step: int
    loss: float  # nats per token
    tokens: int  # that were scored


class Ranks(BaseModel):
    """What `train.spectrum` says of the total update, and of W itself."""

    model_config = ConfigDict(frozen=True)

    step: int
    restart: int
    effective_rank: float
    stable_rank: float
    condition_number: float | None
    weight_effective_rank: float | None
    weight_condition_number: float | None


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
    tokens_per_second: float | None  # the median of its reports, if there is one
    peak_memory_bytes: int | None

    @property
    def loss(self) -> float:
        """The last validation loss, ln(perplexity); infinite if the run diverged."""
        return math.inf if self.diverged else self.evaluations[-1].loss

    @property
    def restarts(self) -> int:
        return max((each.restart for each in self.ranks), default=0)

    @property
    def bits_per_byte(self) -> float:
        """The same in bits for each byte of the held-out text."""
        return self.loss / math.log(2) * self.validation_tokens / self.validation_bytes


Results = Mapping[Run, Record]


def spec_hash(experiment: Experiment, run: Run) -> str:
    return sha256(json.dumps(experiment.document(run), sort_keys=True).encode()).hexdigest()


class Records:
    """The stored results of one experiment, those of each text apart.

    A run that another experiment stored counts too, if it is the same in all that a run is told.
    """

    def __init__(self, experiment: Experiment, folder: Path = RESULTS) -> None:
        self._experiment = experiment
        self._folder = folder

    def read(self, text_sha256: str) -> Results:
        """Return the results of runs on this text, as the experiment describes them today."""
        return self.by_text().get(text_sha256, {})

    def by_text(self) -> dict[str, Results]:
        """Return the results by the hash of their text, the text with the most results first."""
        found: dict[str, dict[Run, Record]] = defaultdict(dict)
        for file in sorted(self._folder.rglob("*.json")):
            record = Record.model_validate_json(file.read_text())
            if self._holds(record):
                found[record.text_sha256][record.run] = record
        return dict(sorted(found.items(), key=lambda item: len(item[1]), reverse=True))

    def write(self, record: Record) -> None:
        """Store a result, in a folder of its experiment and its text."""
        folder = self._folder / self._experiment.name / record.text_sha256[:12]
        folder.mkdir(parents=True, exist_ok=True)
        content = record.model_dump_json(indent=1) + "\n"
        publish_file(folder / f"{record.run.name}.json", content.encode())

    def _holds(self, record: Record) -> bool:
        known = record.run.arm in {arm.name for arm in self._experiment.arms}
        return known and record.spec_sha256 == spec_hash(self._experiment, record.run)


def others_in_words(by_text: Mapping[str, Results], shown: str) -> list[str]:
    """Return a line for each text but the one that is shown."""
    return [
        f"Kept apart: {counted(len(results), 'result')} of another text, `{text[:12]}`."
        for text, results in by_text.items()
        if text != shown
    ]
