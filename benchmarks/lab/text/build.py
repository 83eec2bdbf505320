"""Build the text: clean, deduplicate, hold out documents, and write JSON lines."""

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from benchmarks.lab.text.cleaning import cleaned, is_prose, paragraph_key
from benchmarks.lab.text.packages import Package, files_of, unpack
from benchmarks.lab.text.sources import Document, Source
from benchmarks.machine import ROOT

VALIDATION_SHARE = 0.015  # of the bytes of each source
DESCRIPTION = "text.json"
FOLDER = ROOT / ".lab"  # packages, text, and the data of the service of the lab


class Part(BaseModel):
    """What one source gave."""

    model_config = ConfigDict(frozen=True)

    source: str
    licence: str
    documents: int
    validation_documents: int
    bytes: int
    validation_bytes: int


class Text(BaseModel):
    """A text in a folder: where it comes from, and its hash."""

    model_config = ConfigDict(frozen=True)

    sha256: str  # of train.jsonl, then validation.jsonl
    packages: list[Package]
    parts: list[Part]

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts)

    @classmethod
    def read(cls, folder: Path) -> Self:
        return cls.model_validate_json((folder / DESCRIPTION).read_text())


def train_file(folder: Path) -> Path:
    return folder / "train.jsonl"


def validation_file(folder: Path) -> Path:
    return folder / "validation.jsonl"


def build(sources: Sequence[Source], *, packages: Path, folder: Path) -> Text:
    """Write the text of all sources to a folder. The same packages give the same bytes."""
    files = files_of([source.package for source in sources if source.package], packages)
    seen: set[bytes] = set()
    train: list[str] = []
    validation: list[str] = []
    parts = []
    for source in sources:
        documents = _read(source, files, seen)
        held_out = _held_out(source, documents)
        for document in documents:
            chosen = validation if document.name in held_out else train
            chosen.append(_line(source, document))
        parts.append(_part(source, documents, held_out))
    folder.mkdir(parents=True, exist_ok=True)
    _write_mixed(train, train_file(folder))
    _write_mixed(validation, validation_file(folder))
    text = Text(
        sha256=_hash_of([train_file(folder), validation_file(folder)]),
        packages=[Package.of(file) for file in files.values()],
        parts=parts,
    )
    (folder / DESCRIPTION).write_text(text.model_dump_json(indent=1) + "\n")
    return text


def _read(source: Source, files: dict[str, Path], seen: set[bytes]) -> list[Document]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="relora-lab-")))
        if source.package:
            unpack(files[source.package], folder)
        documents = [
            Document(document.name, list(_new(document.paragraphs, seen)))
            for document in source.read(folder)
        ]
    return [document for document in documents if document.paragraphs]


def _new(paragraphs: Iterable[str], seen: set[bytes]) -> Iterator[str]:
    """Yield the clean paragraphs that no document before had."""
    for paragraph in map(cleaned, paragraphs):
        if is_prose(paragraph) and (key := paragraph_key(paragraph)) not in seen:
            seen.add(key)
            yield paragraph


def _held_out(source: Source, documents: Sequence[Document]) -> set[str]:
    """Choose documents by the hashes of their names, up to a share of the source's bytes.

    A source has at least one such document.
    """
    room = VALIDATION_SHARE * sum(map(_size, documents))
    names: set[str] = set()
    for document in sorted(documents, key=lambda document: _order(source.name + document.name)):
        if _size(document) <= room or not names:
            names.add(document.name)
            room -= _size(document)
    return names


def _part(source: Source, documents: Sequence[Document], held_out: set[str]) -> Part:
    return Part(
        source=source.name,
        licence=source.licence,
        documents=len(documents),
        validation_documents=len(held_out),
        bytes=sum(map(_size, documents)),
        validation_bytes=sum(_size(each) for each in documents if each.name in held_out),
    )


def _text(document: Document) -> str:
    return "\n".join(document.paragraphs)


def _size(document: Document) -> int:
    return len(_text(document).encode())


def _line(source: Source, document: Document) -> str:
    return json.dumps(
        {"source": source.name, "document": document.name, "text": _text(document)},
        ensure_ascii=False,
    )


def _write_mixed(lines: list[str], file: Path) -> None:
    """Write them in the order of their hashes, so that the first ones are of every source."""
    with file.open("w") as out:
        out.writelines(line + "\n" for line in sorted(lines, key=_order))


def _order(text: str) -> bytes:
    return sha256(text.encode()).digest()


def _hash_of(files: Iterable[Path]) -> str:
    digest = sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
