"""Clean paragraphs, and decide which are English prose."""

import re
import unicodedata
from hashlib import sha256

FEWEST_WORDS = 5
LEAST_LETTERS = 0.75  # the share of the characters that are letters or spaces
MOST_OTHER_SCRIPTS = 0.02  # the share of the characters outside ASCII
ENDS = tuple(".!?\"':;,)")
_ASCII = str.maketrans(
    {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "--", "­": "", "¶": ""}  # noqa: RUF001
)
_WHITE_SPACE = re.compile(r"\s+")
_NOT_A_LETTER = re.compile(r"[^a-z]+")


def cleaned(paragraph: str) -> str:
    """Return it on one line, with the usual characters in place of typographic ones."""
    text = unicodedata.normalize("NFKC", paragraph).translate(_ASCII)
    return _WHITE_SPACE.sub(" ", text).strip()


def is_prose(paragraph: str) -> bool:
    """Return whether a cleaned paragraph is a sentence or more, by rules as those of C4.

    It must end in punctuation, have enough words, and consist of letters for the most part.
    """
    if not paragraph.endswith(ENDS) or paragraph.count(" ") + 1 < FEWEST_WORDS:
        return False
    letters = sum(map(str.isalpha, paragraph)) + paragraph.count(" ")
    other = len(paragraph) - len(paragraph.encode("ascii", "ignore"))
    return (
        letters >= LEAST_LETTERS * len(paragraph)
        and other <= MOST_OTHER_SCRIPTS * len(paragraph)
        and "\N{REPLACEMENT CHARACTER}" not in paragraph
    )


def paragraph_key(paragraph: str) -> bytes:
    """Return a hash of its letters: paragraphs that differ in nothing else have the same."""
    return sha256(_NOT_A_LETTER.sub(" ", paragraph.casefold()).encode()).digest()[:16]
