"""Fixtures of all tests."""

pytest_plugins = ["tests.fixtures.tiers", "tests.fixtures.disks", "tests.fixtures.servers"]
