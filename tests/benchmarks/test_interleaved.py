from pathlib import Path

import pytest

from benchmarks.interleaved import WARM_UP_STEPS, ContenderFailed, run_interleaved
from tests.benchmarks.contenders import STEP_SECONDS, Counting, Failing

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


@pytest.mark.integration
def test_a_contender_that_fails_says_why() -> None:
    with pytest.raises(ContenderFailed, match="bad: ValueError: no such layer"):
        run_interleaved([Failing("bad")], device="cpu", rounds=1, steps=1)
