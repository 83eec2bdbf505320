"""The tiny jobs of the worker's tests, and the parts around a worker."""

from tests.worker.conftest import _one_thread, backends, corpus, make_spec

__all__ = ["_one_thread", "backends", "corpus", "make_spec"]
