"""The type of numbers in events that may be not finite."""

from typing import Annotated

from pydantic import WithJsonSchema

# A number that is not finite is written as a word, because JSON has no such number.
JsonFloat = Annotated[
    float,
    WithJsonSchema(
        {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]},
        mode="serialization",
    ),
]
