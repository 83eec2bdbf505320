"""The masking of secret values in logs and other text."""

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote

import pytest

from jobs.secrets.masking import MASK, mask

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


@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
@pytest.mark.parametrize("before", ["", "a", "ab", "user:"])
def test_a_value_is_hidden_inside_of_base64(encode: Callable[[bytes], bytes], before: str) -> None:
    """An `Authorization` header has a user name and a password in this form."""
    header = encode(f"{before}>>?correct-horse-battery".encode()).decode()
    masked = mask([">>?correct-horse-battery"])(f"Authorization: Basic {header}")
    assert MASK in masked
    assert len(masked.removeprefix("Authorization: Basic ").replace(MASK, "").rstrip("=")) < 11


def test_a_value_that_holds_another_is_hidden_whole() -> None:
    assert mask(["hf_abc", "hf_abcdef"])("hf_abcdef hf_abc") == "*** ***"


def test_without_secrets_nothing_changes() -> None:
    assert mask([])("text") == "text"
