"""Tokenize a source into two streams of tokens on disk, kept and held out, once per node.

A stream is the documents one after the other, each followed by EOS, as little-endian uint16
(uint32 if the vocabulary has more than 65,536 tokens).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict

from relora_core.data.cache import MANIFEST, build_once, check_unchanged, digest
from relora_core.data.packed import Part, RowCounts
from relora_core.data.progress import ProgressReport
from relora_core.data.shards import TokenShards
from relora_core.data.sources import Tally, documents, fingerprint, source_bytes, token_source_files
from relora_core.data.split import is_held_out
from relora_core.data.token_files import read_documents
from relora_core.data.tokenizer import TokenIds, Tokenization, text_encoder, vocabulary_size
from relora_core.errors import DataError
from relora_core.events import DataProgress, Emit
from relora_core.spec import Source
from relora_core.workdir.event_log import silent

LAYOUT = 1  # raise it when the same source would give other files
BATCH_CHARACTERS = 4_000_000  # tokenized at once, on all cores
ABOUT = DataProgress(split="train", making="tokens")

TokenType = Literal["<u2", "<u4"]


class Stream(BaseModel):
    model_config = ConfigDict(frozen=True)

    documents: int
    tokens: int
    bytes: int
    sha256: str


class PackedManifest(RowCounts):
    vocab_size: int
    dtype: TokenType
    kept: Stream
    held_out: Stream

    def stream(self, part: Part) -> Stream:
        return self.kept if part == "kept" else self.held_out


@dataclass(frozen=True)
class PackedSource:
    source: Source
    folder: Path
    manifest: PackedManifest
    reused: bool

    def shards(self, part: Part, *, sequence_length: int) -> TokenShards:
        return TokenShards(
            _file(self.folder, part),
            dtype=self.manifest.dtype,
            num_documents=self.manifest.stream(part).documents,
            vocab_size=self.manifest.vocab_size,
            sequence_length=sequence_length,
        )


def pack(
    source: Source,
    tokenizer: Tokenization,
    *,
    held_out: float,
    cache: Path,
    about: DataProgress = ABOUT,
    emit: Emit = silent,
) -> PackedSource:
    """Find the streams of a source in the cache, or tokenize the source into the cache.

    `emit` gets progress events, which begin as `about`.
    """
    content = fingerprint(source, cache=cache)
    vocabulary = (_vocabulary(tokenizer), tokenizer.eos_token_id)
    folder = cache / "shards" / digest(LAYOUT, content, held_out, vocabulary)
    begun = about.model_copy(update={"bytes_total": source_bytes(source)})
    report = ProgressReport(folder, begun, emit)

    def build(partial: Path) -> None:
        manifest = _tokenize(source, tokenizer, held_out=held_out, folder=partial, report=report)
        check_unchanged(source.place, content, fingerprint(source, cache=cache))
        (partial / MANIFEST).write_text(manifest.model_dump_json(indent=1))
        report.end()

    reused = build_once(folder, build, cache=cache, waiting=report.tell_of_another)
    return PackedSource(source, folder, _read_manifest(folder), reused)


def _vocabulary(tokenizer: Tokenization) -> str | int:
    if isinstance(tokenizer, TokenIds):
        return tokenizer.vocab_size
    return tokenizer.backend_tokenizer.to_str()


def _tokenize(
    source: Source,
    tokenizer: Tokenization,
    *,
    held_out: float,
    folder: Path,
    report: ProgressReport,
) -> PackedManifest:
    vocab_size = vocabulary_size(tokenizer)
    dtype: TokenType = "<u2" if vocab_size <= 2**16 else "<u4"
    tally = Tally()
    with _file(folder, "kept").open("wb") as kept, _file(folder, "held_out").open("wb") as out:
        writers = _StreamWriter(kept, dtype), _StreamWriter(out, dtype)
        for content, ids in _documents(source, tokenizer, tally):
            writers[is_held_out(content, held_out)].write(ids, tokenizer.eos_token_id)
            made = sum(writer.documents for writer in writers)
            report.tell(tally, documents=made, tokens=sum(writer.tokens for writer in writers))
    return PackedManifest(
        rows=tally.rows,
        bad_rows=tally.bad_rows,
        examples=tally.examples,
        vocab_size=vocab_size,
        dtype=dtype,
        kept=writers[0].summary(),
        held_out=writers[1].summary(),
    )


def _documents(
    source: Source, tokenizer: Tokenization, tally: Tally
) -> Iterator[tuple[str | bytes, ArrayLike]]:
    """Yield the content of each document, which decides its split, and its token ids."""
    files = token_source_files(source)
    if files is not None:
        vocab_size, eos = vocabulary_size(tokenizer), tokenizer.eos_token_id
        for ids in read_documents(files, source, eos=eos, vocab_size=vocab_size):
            tally.add(ids)
            tally.count_bytes(ids.nbytes)
            yield ids.astype("<u4").tobytes(), ids  # the same content for every stored type
        return
    if isinstance(tokenizer, TokenIds):
        raise DataError(f"{source.place} holds text, which needs a tokenizer; set `tokenizer`")
    encoder = text_encoder(tokenizer)
    for texts in _batches(documents(source, tally)):
        encodings = encoder.encode_batch_fast(texts, add_special_tokens=False)
        for text, encoding in zip(texts, encodings, strict=True):
            yield text, encoding.ids


def _batches(texts: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    characters = 0
    for text in texts:
        batch.append(text)
        characters += len(text)
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


class _StreamWriter:
    def __init__(self, file: BinaryIO, dtype: TokenType) -> None:
        self._file = file
        self._dtype = np.dtype(dtype)
        self._hash = hashlib.sha256()
        self.documents = self._bytes = 0

    @property
    def tokens(self) -> int:
        return self._bytes // self._dtype.itemsize

    def write(self, ids: ArrayLike, eos: int) -> None:
        content = np.append(np.asarray(ids, self._dtype), self._dtype.type(eos)).tobytes()
        self._file.write(content)
        self._hash.update(content)
        self.documents += 1
        self._bytes += len(content)

    def summary(self) -> Stream:
        return Stream(
            documents=self.documents,
            tokens=self.tokens,
            bytes=self._bytes,
            sha256=self._hash.hexdigest(),
        )


def _read_manifest(folder: Path) -> PackedManifest:
    return PackedManifest.model_validate_json((folder / MANIFEST).read_bytes())


def _file(folder: Path, part: Part) -> Path:
    return folder / f"{part}.bin"
