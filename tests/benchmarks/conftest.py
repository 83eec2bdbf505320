import gzip
from itertools import islice
from pathlib import Path

import pytest

from benchmarks.workloads import CORPUS
from tests.fixtures.forking import FORKING, preload

preload("benchmarks.contenders", "transformers.models.llama.modeling_llama")


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first documents of the benchmarks' text: a tokenizer learns them at once."""
    file = tmp_path_factory.mktemp("corpus") / "small.jsonl"
    with gzip.open(CORPUS, "rt") as documents:
        file.write_text("".join(islice(documents, 40)))
    return file


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the processes of the benchmarks from one that has loaded torch and transformers."""
    for module in ("interleaved", "memory_profile"):
        monkeypatch.setattr(f"benchmarks.{module}.PROCESSES", FORKING)
