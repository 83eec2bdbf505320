"""Fixtures of all tests."""

import gc

pytest_plugins = [
    "tests.fixtures.tiers",
    "tests.fixtures.cgroups",
    "tests.fixtures.disks",
    "tests.fixtures.servers",
]


def pytest_collection_finish() -> None:
    """Leave out of garbage collections what is loaded by now: each would take 0.3 s for torch."""
    gc.collect()
    gc.freeze()
