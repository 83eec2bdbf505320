"""The sentences of validation errors: plain English that says what to change."""

from datetime import datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import AwareDatetime, BaseModel, Field, SecretStr, ValidationError

from relora_core.spec import TextPattern
from relora_core.spec.error_messages import in_words, readable_errors

SENTENCES: list[tuple[Any, Any, str]] = [
    (bool, 3, "must be true or false"),
    (dict[str, int], 1, "must be an object with fields"),
    (Annotated[dict[str, int], Field(min_length=1)], {}, "must not be empty"),
    (Annotated[dict[str, int], Field(max_length=1)], {"a": 1, "b": 2}, "must have at most 1 field"),
    (float, "x", "must be a number"),
    (float, None, "must be a number"),
    (Annotated[float, Field(gt=0)], 0, "must be greater than 0"),
    (Annotated[float, Field(lt=1)], 1, "must be less than 1"),
    (Annotated[float, Field(allow_inf_nan=False)], "inf", "must be a finite number"),
    (int, 1.5, "must be a whole number"),
    (int, "x", "must be a whole number"),
    (int, 1e300, "must be a smaller number"),
    (Annotated[int, Field(ge=1)], 0, "must be at least 1"),
    (Annotated[int, Field(le=9)], 10, "must be at most 9"),
    (list[int], 1, "must be a list"),
    (Annotated[list[int], Field(min_length=1)], [], "must not be empty"),
    (Annotated[list[int], Field(min_length=2)], [1], "must have at least 2 items"),
    (Annotated[list[int], Field(max_length=1)], [1, 2], "must have at most 1 item"),
    (tuple[int, int], 1, "must be a list"),
    (Literal["wsd", "cosine"], 1, "must be wsd or cosine"),
    (Literal["wsd", "cosine"], "cosin", "must be wsd or cosine; did you mean `cosine`?"),
    (str, 1, "must be text"),
    (Annotated[str, Field(min_length=1)], "", "must not be empty"),
    (Annotated[str, Field(min_length=4)], "abc", "must have at least 4 characters"),
    (Annotated[str, Field(max_length=1)], "abc", "must have at most 1 character"),
    (Annotated[SecretStr, Field(min_length=4)], "abc", "must have at least 4 characters"),
    (Annotated[str, TextPattern("^a+$", "letters a")], "b", "must be letters a"),
    (datetime, "in a while, but not today", "must be a time such as 2026-01-31T12:00:00Z"),
    (
        AwareDatetime,
        "2026-01-31T12:00:00",
        "must be a time with its zone, such as 2026-01-31T12:00:00Z",
    ),
]


@pytest.mark.parametrize(("kind", "value", "sentence"), SENTENCES)
def test_a_wrong_value_is_answered_with_a_sentence(kind: Any, value: Any, sentence: str) -> None:
    class Body(BaseModel):
        field: kind

    with pytest.raises(ValidationError) as caught:
        Body.model_validate({"field": value})
    (problem,) = in_words(caught.value.errors(), {"field": value})
    assert (problem.path, problem.message) == ("field", sentence)


def test_the_value_is_repeated_and_the_nearest_choice_is_named() -> None:
    class Body(BaseModel):
        enabled: Literal["auto"] | bool

    with pytest.raises(ValidationError) as caught:
        Body.model_validate({"enabled": "aut"})
    (problem,) = readable_errors(caught.value, {"enabled": "aut"}, Body)
    assert problem.message == (
        'must be auto, or must be true or false; got "aut"; did you mean `auto`?'
    )


def test_a_pattern_is_in_the_schema_and_its_error_leaves_others_alone() -> None:
    class Body(BaseModel):
        name: Annotated[str, Field(max_length=3), TextPattern("^a+$", "letters a")]

    assert Body.model_json_schema()["properties"]["name"]["pattern"] == "^a+$"
    with pytest.raises(ValidationError, match="at most 3 characters"):
        Body.model_validate({"name": "aaaa"})
