"""The paragraphs of an HTML page, without code, tables and navigation."""

from collections.abc import Iterable
from html.parser import HTMLParser

# Elements inside a line, which do not end a paragraph.
PHRASES = frozenset({"abbr", "cite", "code", "dfn", "kbd", "mark", "q", "samp", "var"})
FONTS = frozenset({"b", "big", "em", "font", "i", "s", "small", "strong", "sub", "sup", "tt", "u"})
INLINE = {"a", "span"} | PHRASES | FONTS
SKIPPED = frozenset(["head", "script", "style", "pre", "table", "nav", "footer", "form", "svg"])


def html_paragraphs(page: str) -> list[str]:
    """Return the texts of the block elements, with white space as the page has it."""
    parser = _Paragraphs()
    parser.feed(page)
    parser.close()
    parser.end_paragraph()
    return parser.paragraphs


class _Paragraphs(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.paragraphs: list[str] = []
        self._pieces: list[str] = []
        self._skipped: list[str] = []  # the open elements that are left out

    def handle_starttag(self, tag: str, attrs: Iterable[tuple[str, str | None]]) -> None:
        del attrs
        if tag in SKIPPED:
            self._skipped.append(tag)
        if tag not in INLINE:
            self.end_paragraph()

    def handle_endtag(self, tag: str) -> None:
        if self._skipped and tag == self._skipped[-1]:
            self._skipped.pop()
        if tag not in INLINE:
            self.end_paragraph()

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self._pieces.append(data)

    def end_paragraph(self) -> None:
        text = "".join(self._pieces)
        self._pieces.clear()
        if text.strip():
            self.paragraphs.append(text)
