"""Numbers of things, as a person writes them."""


def counted(number: int, thing: str, things: str | None = None) -> str:
    """`1 file`, `2 files`, `1,000 files`; `things` where the plural has no plain s."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def in_epochs(number: float) -> str:
    """With two digits or more: 0.25 epochs, 1 epoch, 3.5 epochs, 120 epochs."""
    text = f"{number:,.0f}" if number >= 9.95 else f"{number:.2g}"
    return f"{text} epoch" if text == "1" else f"{text} epochs"
