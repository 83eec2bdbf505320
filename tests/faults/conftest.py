"""The tiny jobs of the worker's tests."""

from tests.worker.conftest import _one_thread, corpus, make_spec

__all__ = ["_one_thread", "corpus", "make_spec"]
