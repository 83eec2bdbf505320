"""Numbers of things, as a person writes them."""


def counted(number: int, thing: str, things: str | None = None) -> str:
    """`1 file`, `2 files`, `1,000 files`; `things` where the plural has no plain s."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"
