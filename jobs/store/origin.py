"""The origin of a new job."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """The job that a job was forked from, and whether the service that accepted it requires keys.

    The worker applies the rules of a service with API keys to a job that has `with_keys`. To other
    jobs it applies the rules of its own settings.
    """

    forked_from: str | None = None
    with_keys: bool = False


DIRECT = Origin()  # submitted to a service without keys
