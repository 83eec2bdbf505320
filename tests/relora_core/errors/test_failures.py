"""What is said of another server's failure."""

import pytest
from huggingface_hub.errors import HfHubHTTPError

from relora_core.errors.failures import reason, summary

httpx2 = pytest.importorskip("httpx2", reason="comes with huggingface_hub 2")
ANSWER = "what only this machine can read"


def refusal() -> HfHubHTTPError:
    response = httpx2.Response(403, request=httpx2.Request("GET", "https://hub.example"))
    return HfHubHTTPError(f"403: {ANSWER}", response=response)


def wrapped(text: str) -> OSError:
    """As transformers raises it."""
    try:
        raise OSError(text) from refusal()
    except OSError as error:
        return error


def test_the_class_and_the_status_are_said_and_no_word_of_the_answer() -> None:
    assert summary(refusal()) == "HfHubHTTPError (HTTP status 403)"
    assert summary(ValueError(ANSWER)) == "ValueError"


@pytest.mark.parametrize("error", [refusal(), wrapped(f"gated: 403: {ANSWER}")])
def test_a_librarys_text_is_not_repeated_where_it_quotes_an_answer(error: Exception) -> None:
    assert reason(error) == "HfHubHTTPError (HTTP status 403)"


def test_a_librarys_own_words_are_repeated() -> None:
    assert reason(wrapped("org/name is not on the Hub")) == "org/name is not on the Hub"
    assert reason(ValueError("no split 'x'")) == "no split 'x'"
