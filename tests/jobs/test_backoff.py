from jobs.backoff import Backoff


def test_waits_grow_to_the_longest_and_stay_there() -> None:
    backoff = Backoff(first=10.0, longest=100.0, factor=3.0, chance=lambda: 1.0)
    assert [backoff.wait(failures) for failures in (1, 2, 3, 4, 10_000)] == [10, 30, 90, 100, 100]
    assert list(backoff.growing()) == [10, 30, 90]


def test_chance_takes_off_a_half_at_most() -> None:
    assert Backoff(first=8.0, longest=60.0, chance=lambda: 0.0).wait(2) == 8.0
    waits = {Backoff(first=8.0, longest=60.0).wait(2) for _ in range(100)}
    assert len(waits) > 1
    assert all(8.0 <= wait <= 16.0 for wait in waits)
