"""No progress bars of other libraries: the run reports for itself, in events."""

from collections.abc import Iterator
from contextlib import contextmanager

import datasets
from transformers.utils import logging as transformers_logging


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Turn off those of `transformers` and `datasets`, and leave them as they were found."""
    of_transformers = transformers_logging.is_progress_bar_enabled()
    of_datasets = datasets.are_progress_bars_disabled()
    transformers_logging.disable_progress_bar()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if of_transformers:
            transformers_logging.enable_progress_bar()
        if not of_datasets:
            datasets.enable_progress_bars()
