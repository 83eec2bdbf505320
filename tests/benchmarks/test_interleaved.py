from pathlib import Path

import pytest

from benchmarks.interleaved import WARM_UP_STEPS, ContenderFailed, run_interleaved
from tests.benchmarks.contenders import STEP_SECONDS, Counting, Failing, Preparing

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("forked")
@pytest.mark.integration
def test_one_trains_at_a_time_and_every_second_round_goes_backwards(tmp_path: Path) -> None:
    log = tmp_path / "steps"
    contenders = [Counting("first", log), Counting("second", log)]
    turns = run_interleaved(contenders, device="cpu", rounds=2, steps=3)
    names = log.read_text().split()
    taken = names[2 * WARM_UP_STEPS :]  # they warm up side by side
    turn = 1 + 3  # the first is not timed
    order = ["first", "second", "second", "first"]
    assert taken == [name for name in order for _ in range(turn)]
    for mine in turns.values():
        assert len(mine) == 2
        assert all(3 * STEP_SECONDS <= turn.seconds < 1 for turn in mine)
        assert all(turn.peak_bytes > 1e6 for turn in mine)


@pytest.mark.usefixtures("forked")
@pytest.mark.integration
def test_where_memory_is_short_one_starts_when_the_one_before_it_rests(tmp_path: Path) -> None:
    log = tmp_path / "steps"
    contenders = [Preparing("first", log), Preparing("second", log)]
    run_interleaved(contenders, device="cpu", rounds=1, steps=1, together=False)
    prepared = log.read_text().split()[: 2 * (1 + WARM_UP_STEPS)]
    assert prepared == [
        *("first-starts", *["first"] * WARM_UP_STEPS),
        *("second-starts", *["second"] * WARM_UP_STEPS),
    ]


@pytest.mark.integration
def test_a_contender_that_fails_says_why() -> None:
    with pytest.raises(ContenderFailed, match="bad: ValueError: no such layer"):
        run_interleaved([Failing("bad")], device="cpu", rounds=1, steps=1)
