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
