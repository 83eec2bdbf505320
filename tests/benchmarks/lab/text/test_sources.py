"""The documents of each kind of source, from small files in the forms that Debian ships."""

import gzip
import struct
import zlib
from pathlib import Path

from benchmarks.lab.text.sources import bible, dictionary, novels, pages

ENTRIES = r"""00-database-info
   Notes about the database.

Abjure \Ab*jure"\, v. t. [L. abjurare.]
   1. To renounce upon oath.
      [1913 Webster]

   Syn: See {Renounce}.

Abjurer \Ab*jur"er\, n.
   One who abjures.
   [1913 Webster +PJC]

Bark, n.
   The cry of a dog.
"""


def test_entries_with_the_same_first_letters_are_one_document(tmp_path: Path) -> None:
    file = tmp_path / "usr/share/dictd/gcide.dict.dz"
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(ENTRIES.encode()))
    first, second = dictionary(tmp_path)
    assert [document.name for document in (first, second)] == ["abj 1", "bar 2"]
    text = " ".join(" ".join(first.paragraphs).split())
    assert text == (
        "Abjure v. t. [L. abjurare.] 1. To renounce upon oath. Syn: See Renounce. "
        "Abjurer n. One who abjures."
    )


def test_a_chapter_of_a_novel_is_a_document(tmp_path: Path) -> None:
    lines = ["EMMA", "", "VOLUME I", "CHAPTER I", "", "Emma was", "handsome.", "", "CHAPTER II"]
    strings = [struct.pack(">ii", 9, len(line)) + line.encode() for line in lines]
    content = b"X\n" + struct.pack(">iiiii", 2, 0, 0, 16, len(lines)) + b"".join(strings)
    file = tmp_path / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdb"
    file.parent.mkdir(parents=True)
    file.write_bytes(struct.pack(">i", len(content)) + zlib.compress(content))
    documents = list(novels(tmp_path))
    assert [document.name for document in documents] == ["EMMA 1", "EMMA 2"]
    assert documents[0].paragraphs == ["CHAPTER I", "Emma was\nhandsome.", ""]


def test_pages_are_read_in_the_order_of_their_names_without_the_translations(
    tmp_path: Path,
) -> None:
    for name in ("html/b.html", "html/a/a.html", "html/translations/it.html"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"<p>{name}</p>")
    read = pages("html", without="^translations/")
    assert [(page.name, page.paragraphs) for page in read(tmp_path)] == [
        ("a/a.html", ["html/a/a.html"]),
        ("b.html", ["html/b.html"]),
    ]


def test_a_chapter_of_the_bible_is_a_document() -> None:
    genesis = next(bible(Path()))
    assert genesis.name == "Genesis 1"
    assert genesis.paragraphs[0] == "In the beginning God created the heaven and the earth."
