"""From a spec to the data of a run: its tokenizer and its two splits, checked to be enough."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

from transformers import PreTrainedTokenizerFast

from relora_core.data.packing import Manifest, PackedSource, Part, pack
from relora_core.data.rows import check_bad_rows
from relora_core.data.shards import TokenShards
from relora_core.data.tokenizer import make_tokenizer, vocabulary_hash
from relora_core.errors import DataError
from relora_core.events import DataPrepared, Emit, Split
from relora_core.identity import Contents
from relora_core.spec import DataSpec, HeldOut, Source, TrainSpec

ADVICE: dict[Split, str] = {
    "train": "add data, or lower training.global_batch_size or data.sequence_length",
    "validation": "raise data.validation.fraction, name a data.validation.uri, add data or "
    "lower data.sequence_length",
}


@dataclass(frozen=True)
class PreparedData:
    tokenizer: PreTrainedTokenizerFast
    train: TokenShards
    validation: TokenShards
    contents: Contents


def prepare(
    spec: TrainSpec,
    *,
    cache: Path,
    emit: Emit,
    staged: Mapping[str, str] | None = None,
    resumed: Path | None = None,
) -> PreparedData:
    """Tokenize and pack what the spec names, or find it in the cache. Raises `DataError`.

    `staged` says where the copies of remote sources lie on this node: URI to local URI. `resumed`
    is a folder with the tokenizer of the run, if it was trained. Safe
    to call from every rank and job of a node at once: one of them does the work.
    """
    data = _local(spec.data, staged or {})
    held_out = data.validation.fraction if isinstance(data.validation, HeldOut) else 0.0
    tokenizer = make_tokenizer(
        spec.tokenizer, data.train, held_out=held_out, cache=cache, emit=emit, resumed=resumed
    )
    packed = pack(data.train, tokenizer, held_out=held_out, cache=cache, emit=emit)
    contents: dict[str, str | int] = {
        "tokenizer": vocabulary_hash(tokenizer),
    }
    train_span, span = _split(packed.manifest, data)
    contents["train"] = packed.manifest.stream(train_span.part).sha256
    train = _open("train", packed, train_span, spec=spec, emit=emit)
    contents["train_examples"] = len(train)
    if isinstance(data.validation, Source):
        packed = pack(
            data.validation, tokenizer, held_out=0.0, cache=cache, split="validation", emit=emit
        )
        span = _Span.of("kept", packed.manifest)
    validation = _open("validation", packed, span, spec=spec, emit=emit)
    contents["validation"] = packed.manifest.stream(span.part).sha256
    return PreparedData(tokenizer, train, validation, contents)


def _local(data: DataSpec, staged: Mapping[str, str]) -> DataSpec:
    def local(source: Source) -> Source:
        return source.model_copy(update={"uri": staged.get(source.uri, source.uri)})

    validation = data.validation
    if isinstance(validation, Source):
        validation = local(validation)
    return data.model_copy(update={"train": local(data.train), "validation": validation})


@dataclass(frozen=True)
class _Span:
    """The tokens of one split: a part of the packed source, or a piece of a part."""

    part: Part
    documents: int
    begin: int
    end: int
    by: Literal["documents", "tokens"] = "documents"

    @classmethod
    def of(cls, part: Part, manifest: Manifest) -> Self:
        stream = manifest.stream(part)
        return cls(part, stream.documents, 0, stream.tokens)

    @property
    def tokens(self) -> int:
        return self.end - self.begin


def _split(manifest: Manifest, data: DataSpec) -> tuple[_Span, _Span]:
    """Divide a source into training and validation: by documents, or by tokens if those are few.

    By tokens, validation is the last share of the stream, whole sequences and at least one.
    """
    train, validation = _Span.of("kept", manifest), _Span.of("held_out", manifest)
    length = data.sequence_length
    enough = _sequences(train.tokens, length) and _sequences(validation.tokens, length)
    larger = max(train, validation, key=lambda span: span.tokens)
    sequences = _sequences(larger.tokens, length)
    if isinstance(data.validation, Source) or enough or sequences < 2:
        return train, validation
    held_out = min(max(1, round(data.validation.fraction * sequences)), sequences - 1)
    cut = larger.end - held_out * length - 1
    return replace(larger, end=cut, by="tokens"), replace(larger, begin=cut, by="tokens")


def _sequences(tokens: int, length: int) -> int:
    return max(0, (tokens - 1) // length)


def _open(
    split: Split,
    packed: PackedSource,
    span: _Span,
    *,
    spec: TrainSpec,
    emit: Emit,
) -> TokenShards:
    """Report a split, refuse it if it is bad or too small, map it."""
    manifest = packed.manifest
    # rows without text are in no part; they are reported once
    whole = split == "train" or isinstance(spec.data.validation, Source)
    emit(
        DataPrepared(
            split=split,
            documents=span.documents,
            tokens=span.tokens,
            split_by=span.by,
            bad_rows=manifest.bad_rows if whole else 0,
            examples=manifest.examples if whole else [],
            reused=packed.reused,
        )
    )
    check_bad_rows(
        packed.source.uri,
        rows=manifest.rows,
        bad_rows=manifest.bad_rows,
        examples=manifest.examples,
        allowed=spec.data.max_bad_rows,
    )
    _check_size(split, span, spec)
    shards = packed.shards(span.part, sequence_length=spec.data.sequence_length)
    return shards.between(span.begin, span.end)


def _check_size(split: Split, span: _Span, spec: TrainSpec) -> None:
    length = spec.data.sequence_length
    sequences = _sequences(span.tokens, length)
    needed = spec.training.global_batch_size if split == "train" else 1
    if sequences < needed:
        raise DataError(
            f"the {split} data is too small: {span.tokens:,} tokens in {span.documents:,} "
            f"documents make {sequences:,} sequences of {length}, and {needed:,} are needed; "
            f"{ADVICE[split]}"
        )
