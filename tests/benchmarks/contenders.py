"""Contenders that train nothing; their processes have to be able to import them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

STEP_SECONDS = 0.01


@dataclass(frozen=True)
class Counting:
    """Writes a line with its name for each step that it takes."""

    name: str
    log: Path

    def train(self, between_steps: Callable[[], None]) -> None:
        while True:
            between_steps()
            time.sleep(STEP_SECONDS)
            with self.log.open("a") as file:
                file.write(f"{self.name}\n")


@dataclass(frozen=True)
class Preparing(Counting):
    """Says, too, when its process starts."""

    def train(self, between_steps: Callable[[], None]) -> None:
        with self.log.open("a") as file:
            file.write(f"{self.name}-starts\n")
        super().train(between_steps)


@dataclass(frozen=True)
class Failing:
    name: str

    def train(self, between_steps: Callable[[], None]) -> None:
        between_steps()
        raise ValueError("no such layer")
