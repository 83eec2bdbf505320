"""Fixtures of all tests, and the mark of those that have none."""

import pytest

pytest_plugins = ["tests.fixtures.disks", "tests.fixtures.servers"]

_MARKS = {"integration", "e2e", "gpu"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not _MARKS & {mark.name for mark in item.iter_markers()}:
            item.add_marker(pytest.mark.unit)
