import pytest

from relora_core.data.split import is_held_out


@pytest.mark.parametrize("fraction", [0.01, 0.3])
def test_about_the_fraction_is_held_out(fraction: float) -> None:
    held_out = sum(is_held_out(f"document {i}", fraction) for i in range(20_000))
    assert held_out / 20_000 == pytest.approx(fraction, rel=0.1)


def test_nothing_is_held_out_at_zero() -> None:
    assert not any(is_held_out(f"document {i}", 0.0) for i in range(1000))


def test_a_larger_fraction_holds_out_the_same_and_more() -> None:
    texts = [f"document {i}" for i in range(1000)]
    small = {text for text in texts if is_held_out(text, 0.1)}
    large = {text for text in texts if is_held_out(text, 0.2)}
    assert small < large
