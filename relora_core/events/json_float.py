"""Numbers as events write them, for programs and for people."""

from typing import Annotated

from pydantic import WithJsonSchema

# One that is not finite is a word, for JSON has no number for it.
Number = Annotated[
    float,
    WithJsonSchema(
        {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]},
        mode="serialization",
    ),
]


def in_epochs(number: float) -> str:
    """With two digits or more: 0.25 epochs, 1 epoch, 3.5 epochs, 120 epochs."""
    text = f"{number:,.0f}" if number >= 9.95 else f"{number:.2g}"
    return f"{text} epoch" if text == "1" else f"{text} epochs"
