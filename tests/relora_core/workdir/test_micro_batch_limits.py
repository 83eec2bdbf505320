from pathlib import Path

from relora_core.workdir.micro_batch_limits import MicroBatchLimits


def test_a_limit_holds_in_its_phase_for_the_next_attempt(tmp_path: Path) -> None:
    limits = MicroBatchLimits(tmp_path, 3)
    assert limits.at_most("8 x h100", "low_rank") is None
    limits.record("8 x h100", "warm_start", 16)
    limits.record("8 x h100", "low_rank", 32)
    after = MicroBatchLimits(tmp_path, 3)
    assert after.at_most("8 x h100", "warm_start") == 16
    assert after.at_most("8 x h100", "low_rank") == 32


def test_it_does_not_hold_for_other_devices_or_settings(tmp_path: Path) -> None:
    limits = MicroBatchLimits(tmp_path, 0)
    limits.record("8 x h100", "low_rank", 32)
    assert limits.at_most("8 x h200", "low_rank") is None
    limits.record("8 x h200", "warm_start", 64)
    assert limits.at_most("8 x h200", "low_rank") is None


def test_each_rank_has_its_own(tmp_path: Path) -> None:
    MicroBatchLimits(tmp_path, 0).record("2 x h100", "low_rank", 32)
    assert MicroBatchLimits(tmp_path, 1).at_most("2 x h100", "low_rank") is None
