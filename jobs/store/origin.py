"""Where a new job comes from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """The job that it was forked from, and whether the service that accepted it asks for keys.

    Its worker holds the job to the rules of a service `with_keys`, or to those of its own settings.
    """

    forked_from: str | None = None
    with_keys: bool = False


DIRECT = Origin()  # submitted to a service without keys
