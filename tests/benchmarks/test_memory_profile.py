from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.memory_profile import TABLE, StepMemory
from benchmarks.profile import METHODS
from benchmarks.workloads import narrow


def test_the_page_shows_the_committed_profile_of_memory() -> None:
    assert TABLE.page.read_text() == TABLE.page_text()


@pytest.mark.slow
@pytest.mark.usefixtures("forked")
@pytest.mark.integration
def test_the_parts_add_up_to_the_peak_of_each_process(small_corpus: Path, tmp_path: Path) -> None:
    one_layer = narrow(1, precision="bf16", hidden=256, sequences=1)
    config = {**one_layer.config, "vocab_size": 512}
    tiny = replace(
        one_layer, config=config, sequence_length=384, compile=False, corpus=small_corpus
    )
    measured = StepMemory.measure(tiny, tmp_path)
    for method in METHODS:
        assert sum(measured.parts[method].values()) == measured.processes[method].peak
    full, relora = (measured.parts[method] for method in METHODS)
    assert (full["frozen weights, bf16"], relora["bf16 copies of trained weights"]) == (0, 0)
    assert relora["moments"] < full["moments"]
    assert relora["activations"] == full["activations"]
