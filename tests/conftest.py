"""Fixtures of all tests."""

import gc
import os
import sys

pytest_plugins = [
    "tests.fixtures.tiers",
    "tests.fixtures.cgroups",
    "tests.fixtures.containers",
    "tests.fixtures.databases",
    "tests.fixtures.disks",
    "tests.fixtures.manifests",
    "tests.fixtures.network_nodes",
    "tests.fixtures.openapi",
    "tests.fixtures.servers",
]

# Each client of httpx loads the certificates of all authorities, which takes 0.1 s. The tests and
# the processes that they start trust none, because they reach no server on the internet.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = os.devnull

# What is compiled in tests is small: to compile it in this process costs less than to start more
# processes with torch for it.
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"

gc.disable()  # until all tests are collected, because the modules that they import stay

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
    gc.enable()


def pytest_runtest_logfinish() -> None:
    _freeze_what_is_loaded()  # a test may have loaded more: transformers, the compiler
