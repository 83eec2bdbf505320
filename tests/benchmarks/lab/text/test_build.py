"""The text of the lab: no paragraph twice, documents held out of each source, the same bytes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.lab.text.build import Text, build, train_file, validation_file
from benchmarks.lab.text.sources import Document, Source

WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa"]
COMMON = "This sentence is in every document."


def sentences(source: str) -> list[str]:
    return [f"In {source} the word {one} comes before {other}." for one in WORDS for other in WORDS]


def source(name: str, *, documents: int = 50) -> Source:
    def read(_: Path) -> Iterator[Document]:
        texts = sentences(name)
        for number in range(documents):
            yield Document(f"{number}", [COMMON, texts[2 * number], texts[2 * number + 1], "short"])

    return Source(name, None, "public domain", read)


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def paragraphs(documents: list[dict[str, Any]]) -> list[str]:
    return [line for document in documents for line in document["text"].splitlines()]


def built(folder: Path, *sources: Source) -> Text:
    return build(sources, packages=folder / "packages", folder=folder)


def test_a_paragraph_that_comes_again_is_left_out_and_none_is_in_both_files(tmp_path: Path) -> None:
    built(tmp_path, source("one"), source("two"))
    train = paragraphs(rows(train_file(tmp_path)))
    validation = paragraphs(rows(validation_file(tmp_path)))
    assert sorted(train + validation) == sorted([COMMON, *sentences("one"), *sentences("two")])


def test_some_documents_of_each_source_are_held_out(tmp_path: Path) -> None:
    text = built(tmp_path, source("one"), source("two", documents=2))
    held_out = rows(validation_file(tmp_path))
    counts = {part.source: part.validation_documents for part in text.parts}
    assert counts == {"one": 1, "two": 1}  # 3%, and at least one
    assert {document["source"] for document in held_out} == {"one", "two"}
    assert sum(len(document["text"].encode()) for document in held_out) == sum(
        part.validation_bytes for part in text.parts
    )


def test_the_same_sources_give_the_same_bytes_and_others_another_hash(tmp_path: Path) -> None:
    first = built(tmp_path / "first", source("one"))
    again = built(tmp_path / "again", source("one"))
    other = built(tmp_path / "other", source("two"))
    assert first == again == Text.read(tmp_path / "first")
    assert (
        train_file(tmp_path / "first").read_bytes() == train_file(tmp_path / "again").read_bytes()
    )
    assert first.sha256 != other.sha256
