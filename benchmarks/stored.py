"""What a benchmark found, as JSON in a file that is committed."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict


class Found(BaseModel):
    model_config = ConfigDict(frozen=True)


class Stored(Found):
    def write(self, file: Path) -> None:
        file.write_text(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, file: Path) -> Self:
        return cls.model_validate_json(file.read_text())
