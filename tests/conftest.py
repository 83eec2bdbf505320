"""Fixtures of all tests."""

import gc
import os
import sys

pytest_plugins = [
    "tests.fixtures.tiers",
    "tests.fixtures.cgroups",
    "tests.fixtures.databases",
    "tests.fixtures.disks",
    "tests.fixtures.openapi",
    "tests.fixtures.servers",
]

# Each client of httpx loads the certificates of all authorities, which takes 0.1 s. The tests and
# the processes that they start trust none, because they reach no server on the internet.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = os.devnull


_modules = 0  # how many were loaded when the garbage collector last froze


def _freeze_what_is_loaded() -> None:
    """Leave out of garbage collections what is loaded by now: each would take 0.3 s for torch."""
    global _modules
    if len(sys.modules) > _modules:
        gc.collect()
        gc.freeze()
        _modules = len(sys.modules)


def pytest_collection_finish() -> None:
    _freeze_what_is_loaded()


def pytest_runtest_logfinish() -> None:
    _freeze_what_is_loaded()  # a test may have loaded more: transformers, the compiler
