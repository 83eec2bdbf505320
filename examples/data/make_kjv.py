"""Make `kjv.jsonl.gz`, with one document per chapter, from the output of Debian's `bible` program.

bible -f gen1:1-rev22:21 | python examples/data/make_kjv.py examples/data/kjv.jsonl.gz
"""

import gzip
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

BOOKS = (
    "Genesis, Exodus, Leviticus, Numbers, Deuteronomy, Joshua, Judges, Ruth, 1 Samuel, 2 Samuel, "
    "1 Kings, 2 Kings, 1 Chronicles, 2 Chronicles, Ezra, Nehemiah, Esther, Job, Psalms, Proverbs, "
    "Ecclesiastes, Song of Solomon, Isaiah, Jeremiah, Lamentations, Ezekiel, Daniel, Hosea, Joel, "
    "Amos, Obadiah, Jonah, Micah, Nahum, Habakkuk, Zephaniah, Haggai, Zechariah, Malachi, "
    "Matthew, Mark, Luke, John, Acts, Romans, 1 Corinthians, 2 Corinthians, Galatians, Ephesians, "
    "Philippians, Colossians, 1 Thessalonians, 2 Thessalonians, 1 Timothy, 2 Timothy, Titus, "
    "Philemon, Hebrews, James, 1 Peter, 2 Peter, 1 John, 2 John, 3 John, Jude, Revelation"
)


def chapter_of(line: str) -> str:
    """Return the chapter of a line: `Ge1:2 And the earth ...` is in chapter `Ge1`."""
    return line.partition(":")[0]


def book_of(line: str) -> str:
    return chapter_of(line).rstrip("0123456789")


def documents(lines: Iterable[str]) -> Iterator[dict[str, str | int]]:
    """Yield a row for each chapter. Each line has one verse, in the canonical order."""
    for book, (_, book_lines) in zip(BOOKS.split(", "), groupby(lines, key=book_of), strict=True):
        for number, (_, verses) in enumerate(groupby(book_lines, key=chapter_of), start=1):
            text = "\n".join(verse.rstrip("\n").partition(" ")[2] for verse in verses)
            yield {"book": book, "chapter": number, "text": text}


def main() -> None:
    rows = [json.dumps(document) for document in documents(sys.stdin)]
    content = "".join(f"{row}\n" for row in rows).encode()
    Path(sys.argv[1]).write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
    print(f"{len(rows)} chapters")


if __name__ == "__main__":
    main()
