from typing import get_args

import pytest

from relora_core.events import (
    AnyTrainEvent,
    Event,
    LearningRateRestarted,
    RestartReport,
    TrainFinished,
    Warned,
    from_line,
    to_line,
)
from tests.fixtures.reports import restart_reported, step_finished

KINDS: tuple[type[Event], ...] = get_args(AnyTrainEvent)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_event_says_itself_in_words_and_has_a_type_of_its_own(kind: type[Event]) -> None:
    assert "__str__" in vars(kind)
    assert kind.model_fields["type"].default.startswith("train.")
    assert [other for other in KINDS if type_of(other) == type_of(kind)] == [kind]


def type_of(kind: type[Event]) -> str:
    return str(kind.model_fields["type"].default)


def test_a_line_reads_back_as_the_same_event() -> None:
    event = TrainFinished(step=3, tokens_seen=4, restarts=1, skipped_steps=0, seconds=61.2)
    assert from_line(to_line(event)) == event
    assert "\n" not in to_line(Warned(code="c", message="two\nlines"))


def test_a_report_of_a_restart_reads_back_though_unknown_fields_are_left_out() -> None:
    unknown = dict.fromkeys(
        name
        for name, field in RestartReport.model_fields.items()
        if type(None) in get_args(field.annotation)
    )
    event = restart_reported(1, **unknown)
    assert len(unknown) == 11
    assert from_line(to_line(event)) == event
    assert "a cycle of 100 steps, too short to tell" in str(event)


def test_words_are_for_people() -> None:
    event = TrainFinished(
        step=2000, tokens_seen=4_096_000, restarts=3, skipped_steps=0, seconds=61.2, perplexity=9.5
    )
    assert str(event) == (
        "trained 2,000 steps, 4,096,000 tokens, 3 restarts in 0:01:01, perplexity 9.50"
    )


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (1.0e-4, "  learning rate: 1.99e-03 -> 1.00e-04, up to 2.00e-03 in 20 steps"),
        (1.98e-3, "  learning rate: 1.98e-03, which the restart does not lower"),
        (2.1e-3, "  learning rate: 2.10e-03, which the restart does not lower"),
    ],
)
def test_a_restart_in_the_warm_up_promises_no_climb(rate: float, words: str) -> None:
    event = LearningRateRestarted(
        step=20,
        restart=1,
        warmup_steps=20,
        learning_rate_before=1.99e-3,
        learning_rate=rate,
        learning_rate_target=2.0e-3,
    )
    assert str(event) == words


def test_a_rate_of_the_factors_is_told_beside_the_rate_of_the_rest() -> None:
    restarted = LearningRateRestarted(
        step=20,
        restart=1,
        warmup_steps=20,
        learning_rate_before=1.99e-3,
        learning_rate=1e-4,
        learning_rate_target=2.0e-3,
        factor_learning_rate_target=2.8e-2,
    )
    assert str(restarted).endswith("up to 2.00e-03 (A and B 2.80e-02) in 20 steps")
    assert "lr 1.00e-03, of A and B 1.40e-02, " in str(
        step_finished(5, factor_learning_rate=1.4e-2)
    )
