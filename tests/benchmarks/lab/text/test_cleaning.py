import pytest

from benchmarks.lab.text.cleaning import cleaned, is_prose, paragraph_key


def test_typographic_characters_and_line_breaks_become_plain() -> None:
    assert (
        cleaned("  \u201cIt\u2019s\u201d\n  one \u2013 or two\u2026  ") == '"It\'s" one - or two...'
    )


@pytest.mark.parametrize(
    "paragraph", ["She was in the carriage.", "And God called the light Day, and the darkness:"]
)
def test_a_sentence_is_prose(paragraph: str) -> None:
    assert is_prose(paragraph)


@pytest.mark.parametrize(
    "paragraph",
    [
        "See the index.",
        "Next page in the table of contents",
        "int f(char *a, int b) { return g[0x1f] + (b << 2) & 0xff; }.",
        "Это предложение написано на другом языке.",
        "A word of it is \ufffd broken here.",
    ],
    ids=["too short", "no punctuation", "code", "another script", "undecodable"],
)
def test_what_is_no_english_sentence_is_not_prose(paragraph: str) -> None:
    assert not is_prose(paragraph)


def test_paragraphs_of_the_same_letters_have_the_same_key() -> None:
    assert paragraph_key("See chapter 3, please.") == paragraph_key("see chapter 12 please!")
    assert paragraph_key("See chapter 3.") != paragraph_key("See section 3.")
