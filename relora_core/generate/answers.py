"""Requests for text and their answers, as files of a folder, and the model that answers them.

A folder has the file `SAMPLE_REQUEST`. The file `SAMPLE_ANSWER` gets a line of JSON whenever the
text has grown (`{"text": ...}`), and a last one with the `sample` or the `error`.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from relora_core.errors import TrainError
from relora_core.errors.unexpected import as_train_error
from relora_core.generate.sampler import Sampler, SampleRequest
from relora_core.workdir.files import SAMPLE_ANSWER, SAMPLE_REQUEST

BETWEEN_LINES_SECONDS = 0.1


class ModelRequest(SampleRequest):
    """A request for text from one model."""

    model: Path  # a merged model


class Answers:
    """Answers requests. The model of the last one stays in memory."""

    def __init__(self, *, device: str) -> None:
        self._device = device
        self._loaded: tuple[Path, Sampler] | None = None

    def answer(self, folder: Path) -> None:
        """Answer the request in `folder`. Raise the `TrainError` that the answer tells of."""
        answer = _Answer(folder / SAMPLE_ANSWER)
        with answer.telling_errors(), as_train_error():
            request = ModelRequest.model_validate_json((folder / SAMPLE_REQUEST).read_bytes())
            sample = self._sampler(request.model).sample(request, answer.tell)
            answer.write({"sample": asdict(sample)})

    def _sampler(self, model: Path) -> Sampler:
        if self._loaded is None or self._loaded[0] != model:
            self._loaded = None  # frees the memory of the model before
            self._loaded = model, Sampler.load(model, device=self._device)
        return self._loaded[1]


class _Answer:
    def __init__(self, file: Path) -> None:
        self._file = file
        self._told_at = 0.0

    def tell(self, text: str) -> None:
        if time.monotonic() - self._told_at > BETWEEN_LINES_SECONDS:
            self.write({"text": text})
            self._told_at = time.monotonic()

    @contextmanager
    def telling_errors(self) -> Iterator[None]:
        try:
            yield
        except TrainError as error:
            self.write({"error": str(error)})
            raise

    def write(self, line: dict[str, object]) -> None:
        with self._file.open("a") as file:
            file.write(json.dumps(line) + "\n")
