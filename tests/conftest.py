"""Fixtures of all tests, and the mark of those that have none."""

import os

import pytest

pytest_plugins = ["tests.fixtures.disks", "tests.fixtures.servers"]

_MARKS = {"integration", "e2e", "gpu", "soak"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if "SOAK_MINUTES" not in os.environ:
        items[:] = [item for item in items if item.get_closest_marker("soak") is None]
    for item in items:
        if not _MARKS & {mark.name for mark in item.iter_markers()}:
            item.add_marker(pytest.mark.unit)
