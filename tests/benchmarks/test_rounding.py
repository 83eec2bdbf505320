import math
from pathlib import Path

import pytest

from benchmarks import rounding
from benchmarks.rounding import TABLE, _inputs, _loss


def test_the_page_shows_the_committed_measurement() -> None:
    assert TABLE.page.read_text() == TABLE.page_text()


def test_only_one_input_has_columns_far_above_the_others() -> None:
    ratios = {name: float(x.abs().max() / x.abs().mean()) for name, x in _inputs().items()}
    assert [ratio > 100 for ratio in ratios.values()] == [False, False, True]


@pytest.mark.slow
@pytest.mark.integration
def test_a_loss_is_that_of_a_whole_run(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, least in {"VALIDATION_TOKENS": 128, "LAYERS": 1, "SEQUENCES": 2}.items():
        monkeypatch.setattr(rounding, name, least)
    monkeypatch.setattr(rounding, "CORPUS", small_corpus)
    loss = _loss("int8", "branches", seed=0, steps=8, cache=tmp_path)
    assert 6 < loss < math.log(2048)  # what a model that has learned nothing has
