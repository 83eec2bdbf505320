"""Secret values in text that is shipped."""

import json
from urllib.parse import quote

import pytest

from jobs.masking import mask

VALUE = 'pä"ss/word'


@pytest.mark.parametrize(
    "text",
    [VALUE, json.dumps(VALUE), json.dumps(VALUE, ensure_ascii=False), repr(VALUE), quote(VALUE)],
)
def test_a_value_is_hidden_in_each_form_that_programs_print(text: str) -> None:
    masked = mask([VALUE])(f"before {text} after")
    assert "word" not in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


def test_a_value_that_holds_another_is_hidden_whole() -> None:
    assert mask(["hf_abc", "hf_abcdef"])("hf_abcdef hf_abc") == "*** ***"


def test_without_secrets_nothing_changes() -> None:
    assert mask([])("text") == "text"
