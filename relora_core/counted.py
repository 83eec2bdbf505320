"""Format numbers of things for people."""


def counted(number: int, thing: str, things: str | None = None) -> str:
    """Return `1 file`, `2 files` or `1,000 files`. `things` is the plural if it is irregular."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def in_epochs(number: float) -> str:
    """Return a number of epochs, such as 0.25 epochs, 1 epoch, 3.5 epochs or 120 epochs."""
    text = f"{number:,.0f}" if number >= 9.95 else f"{number:.2g}"
    return f"{text} epoch" if text == "1" else f"{text} epochs"
