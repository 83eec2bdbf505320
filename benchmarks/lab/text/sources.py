"""The sources of the text, and how the documents of each are read."""

import gzip
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from benchmarks.lab.text.markup import html_paragraphs
from benchmarks.lab.text.r_data import character_vectors
from benchmarks.workloads import CORPUS


@dataclass(frozen=True)
class Document:
    name: str  # unique within its source
    paragraphs: list[str]


@dataclass(frozen=True)
class Source:
    """A source of documents. `read` gets the folder of the unpacked package."""

    name: str
    package: str | None  # of Debian; None: the file is in this repository
    licence: str
    read: Callable[[Path], Iterator[Document]]


def bible(_: Path) -> Iterator[Document]:
    """Yield the chapters of the King James Version that the repository has."""
    for line in gzip.decompress(CORPUS.read_bytes()).splitlines():
        chapter = json.loads(line)
        yield Document(f"{chapter['book']} {chapter['chapter']}", chapter["text"].splitlines())


def novels(package: Path) -> Iterator[Document]:
    """Yield the chapters of Jane Austen's novels."""
    file = package / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
    for lines in character_vectors(file.read_bytes()):
        book, *chapters = re.split(r"(?m)^(?=chapter [ivxlc\d]+)", "\n".join(lines), flags=re.I)
        title = book.strip().partition("\n")[0]
        for number, chapter in enumerate(chapters, start=1):
            yield Document(f"{title} {number}", blocks(chapter))


def dictionary(package: Path) -> Iterator[Document]:
    """Yield the entries of the dictionary, those with the same first three letters as one document.

    So an entry and the words derived from it are held out together.
    """
    file = package / "usr/share/dictd/gcide.dict.dz"
    text = gzip.decompress(file.read_bytes()).decode(errors="replace")
    for number, (start, lines) in enumerate(groupby(text.splitlines(), _Headwords())):
        if not start.startswith("00"):  # the notes about the database itself
            yield Document(f"{start} {number}", blocks(_without_marks("\n".join(lines))))


class _Headwords:
    """Tell for each line the first three letters of the headword that it belongs to."""

    def __init__(self) -> None:
        self.start = "00"

    def __call__(self, line: str) -> str:
        if line and not line[0].isspace():
            self.start = line[:3].casefold()
        return self.start


def _without_marks(entry: str) -> str:
    """Remove pronunciations, the names of the sources, and the braces of references."""
    entry = re.sub(r"\\[^\\\n]*\\,?", "", entry)
    entry = re.sub(r"\s*\[[^\[\]]*(1913|WordNet|PJC|Suppl)[^\[\]]*\]", "", entry)
    return re.sub(r"[{}]", "", entry)


def pages(folder: str, *, without: str = "(?!)") -> Callable[[Path], Iterator[Document]]:
    """Return a reader of the HTML pages below a folder, but those whose path has `without`."""

    def read(package: Path) -> Iterator[Document]:
        root = package / folder
        for file in sorted(root.rglob("*.html")):
            name = file.relative_to(root).as_posix()
            if file.is_file() and not file.is_symlink() and not re.search(without, name):
                yield Document(name, html_paragraphs(file.read_text(errors="replace")))

    return read


def blocks(text: str) -> list[str]:
    """Return what blank lines separate."""
    return re.split(r"\n\s*\n", text)


BIBLE = Source("bible", None, "public domain", bible)  # of this repository: it needs no package
# A paragraph that two sources have is kept in the first.
SOURCES = (
    BIBLE,
    Source("austen", "r-cran-janeaustenr", "public domain", novels),
    Source("sqlite", "sqlite3-doc", "public domain", pages("usr/share/doc/sqlite3")),
    Source("anarchism", "anarchism", "GFDL or GPL", pages("usr/share/doc/anarchism/html")),
    Source("dictionary", "dict-gcide", "GPL", dictionary),
    Source("python", "python3.11-doc", "PSF", pages("usr/share/doc/python3.11/html")),
    Source(
        "postgresql", "postgresql-doc-15", "PostgreSQL", pages("usr/share/doc/postgresql-doc-15")
    ),
    Source(
        "linux",
        "linux-doc-6.1",
        "GPL-2",
        pages("usr/share/doc/linux-doc-6.1/html", without="^translations/"),
    ),
)
