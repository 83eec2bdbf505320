"""The files of a checkpoint that describe the run, so that a model can be made from it alone.

`spec.json` is the spec. `config.json`, `generation_config.json` and the files of the tokenizer are
in the format of transformers.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from relora_core.errors import CheckpointError
from relora_core.spec import TrainSpec, read_accepted
from relora_core.tasks import load_parts
from relora_core.tasks.task import TaskParts
from relora_core.workdir.files import SPEC


@dataclass(frozen=True)
class CheckpointMetadata:
    """The spec of a run and the parts of its task, as a checkpoint has them."""

    spec: TrainSpec
    task: TaskParts

    def write(self, folder: Path, model: PreTrainedModel) -> None:
        (folder / SPEC).write_text(self.spec.model_dump_json(indent=2), encoding="utf-8")
        (folder / "config.json").write_text(model.config.to_json_string(), encoding="utf-8")
        if model.can_generate():
            model.generation_config.save_pretrained(folder)
        self.task.processor.save_pretrained(folder)

    @classmethod
    def read(cls, folder: Path) -> tuple[Self, PreTrainedConfig]:
        """Read the metadata and the model's config from the folder of a checkpoint.

        Raise `CheckpointError` if its spec is missing or cannot be read.
        """
        try:
            spec = read_accepted(TrainSpec, json.loads((folder / SPEC).read_bytes()))
        except (FileNotFoundError, ValueError) as error:
            raise CheckpointError(
                f"{folder} was saved by another version of relora: {error}; resume the run with "
                "this version, and export the checkpoint that it saves"
            ) from error
        return cls(spec, load_parts(spec, folder)), AutoConfig.from_pretrained(folder)
