"""The comparison of methods: a fair one, and shown as it was measured."""

from pathlib import Path

import pytest

from benchmarks import quality
from benchmarks.machine import describe_machine
from benchmarks.quality import (
    CONTENDERS,
    LEARNING_RATES,
    SEEDS,
    TABLE,
    Comparison,
    Contender,
    Quality,
    Run,
)


def test_the_page_shows_the_committed_runs() -> None:
    assert TABLE.page.read_text() == TABLE.page_text()


def test_the_committed_runs_are_those_that_the_bench_makes() -> None:
    measured = TABLE.read_results()
    comparison = Comparison()
    assert (measured.steps, measured.tokens) == (comparison.steps, comparison.tokens)
    for contender in CONTENDERS:
        runs = [run for run in measured.runs if run.contender == contender]
        assert [run.learning_rate for run in runs if run.seed == SEEDS[0]] == list(LEARNING_RATES)
        assert [run.seed for run in measured.best(contender)] == list(SEEDS)


def test_runs_differ_in_method_learning_rate_and_seed_alone() -> None:
    comparison = Comparison()
    specs = {
        contender: comparison.spec(contender, learning_rate=1e-3, seed=0).model_dump()
        for contender in CONTENDERS
    }
    for spec in specs.values():
        spec.pop("method")
    assert all(spec == specs["full"] for spec in specs.values())


@pytest.mark.integration
def test_the_best_learning_rate_is_that_of_the_first_seed() -> None:
    def run(rate: float, seed: int, perplexity: float, contender: Contender = "relora") -> Run:
        return Run(
            contender=contender,
            learning_rate=rate,
            seed=seed,
            trained_parameters=1,
            perplexity=perplexity,
        )

    worse, better = run(1e-3, 0, 30.0), run(2e-3, 0, 20.0)
    other_seed, other_method = run(2e-3, 1, 40.0), run(1e-3, 0, 10.0, "full")
    measured = Quality(
        machine=describe_machine(),
        model="model",
        steps=1,
        tokens=1,
        rank=1,
        runs=[worse, better, other_seed, other_method],
    )
    assert measured.best("relora") == [better, other_seed]


@pytest.mark.slow
@pytest.mark.integration
def test_a_run_is_scored_by_its_last_evaluation(
    small_corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality, "CORPUS", small_corpus)
    tiny = Comparison(steps=8, sequences=2, sequence_length=16, rank=4, validation_tokens=1000)
    full = quality._run(tiny, "full", 1e-3, 0, tmp_path)
    contenders: tuple[Contender, ...] = ("control", "relora")
    for contender in contenders:
        run = quality._run(tiny, contender, 1e-3, 0, tmp_path)
        assert 1000 < run.perplexity < 4200  # hardly trained: not far below the 4,096 tokens
        assert run.trained_parameters < full.trained_parameters
