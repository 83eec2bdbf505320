"""A float as events write it: one that is not finite is a word, for JSON has no number for it."""

from typing import Annotated

from pydantic import WithJsonSchema

Number = Annotated[
    float,
    WithJsonSchema(
        {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]},
        mode="serialization",
    ),
]
