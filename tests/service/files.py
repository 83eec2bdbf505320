"""What a trainer and a generator would have made."""

import time
from collections.abc import Callable

from jobs.backends import Backends
from jobs.schemas.generations import GeneratedText

AddFile = Callable[[str, bytes], None]


def play_generator(backends: Backends) -> None:
    """Answer the next that is asked of a model."""
    while (claim := backends.generations.claim(worker="g", seconds=60)) is None:
        time.sleep(0.02)
    text = GeneratedText(text=" was", prompt_tokens=3, new_tokens=1, finish_reason="length")
    backends.generations.succeed(claim, text)
