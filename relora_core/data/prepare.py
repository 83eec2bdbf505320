"""Prepare the data of a run from its spec: the tokenizer and two splits that are large enough."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

from relora_core.counted import counted
from relora_core.data.fingerprints import DataFingerprints
from relora_core.data.packed import Part, check_size, report_part
from relora_core.data.packing import PackedManifest, PackedSource, pack
from relora_core.data.shards import TokenShards
from relora_core.data.tokenizer import Tokenization, make_tokenizer, token_ids, vocabulary_hash
from relora_core.events import DataPrepared, Emit, Split
from relora_core.spec import DataSpec, HeldOut, NoTokenizer, Source, TrainSpec

ADVICE: dict[Split, str] = {
    "train": "add data, or lower training.global_batch_size or data.sequence_length",
    "validation": "raise data.validation.fraction, name a data.validation.uri, add data or "
    "lower data.sequence_length",
}


@dataclass(frozen=True)
class PreparedData:
    tokenizer: Tokenization
    train: TokenShards
    validation: TokenShards
    fingerprints: DataFingerprints


def prepare(
    spec: TrainSpec,
    *,
    cache: Path,
    emit: Emit,
    staged: Mapping[str, str] | None = None,
    resumed: Path | None = None,
) -> PreparedData:
    """Tokenize and pack the data of the spec, or find it in the cache. Raise `DataError`.

    `staged` maps the URIs of remote sources to the local URIs of their copies on this node.
    `resumed` is the folder of the checkpoint to resume from; it has the run's tokenizer, if that
    was trained. All ranks and jobs of a node can call it at once: one of them does the work.
    """
    data = _local(spec.data, staged or {})
    held_out = data.validation.fraction if isinstance(data.validation, HeldOut) else 0.0
    tokenizer: Tokenization
    if isinstance(spec.tokenizer, NoTokenizer):
        tokenizer = token_ids(spec.tokenizer, spec.model)
    else:
        tokenizer = make_tokenizer(
            spec.tokenizer, data.train, held_out=held_out, cache=cache, emit=emit, resumed=resumed
        )
    packed = pack(data.train, tokenizer, held_out=held_out, cache=cache, emit=emit)
    train_span, span = _split(packed.manifest, data)
    train = _open("train", packed, train_span, spec=spec, emit=emit)
    fingerprints: dict[str, str | int] = {
        "tokenizer": vocabulary_hash(tokenizer),
        "train": packed.manifest.stream(train_span.part).sha256,
        "train_examples": len(train),
    }
    if isinstance(data.validation, Source):
        packed = pack(
            data.validation, tokenizer, held_out=0.0, cache=cache, split="validation", emit=emit
        )
        span = _Span.of("kept", packed.manifest)
    validation = _open("validation", packed, span, spec=spec, emit=emit)
    fingerprints["validation"] = packed.manifest.stream(span.part).sha256
    return PreparedData(tokenizer, train, validation, fingerprints)


def _local(data: DataSpec, staged: Mapping[str, str]) -> DataSpec:
    def local(source: Source) -> Source:
        return source.model_copy(update={"uri": tuple(staged.get(uri, uri) for uri in source.uris)})

    validation = data.validation
    if isinstance(validation, Source):
        validation = local(validation)
    return data.model_copy(update={"train": local(data.train), "validation": validation})


@dataclass(frozen=True)
class _Span:
    """The tokens of a split: a part of a packed source, or [begin, end) of a part."""

    part: Part
    documents: int
    begin: int
    end: int
    split_by: Literal["documents", "tokens"] = "documents"

    @classmethod
    def of(cls, part: Part, manifest: PackedManifest) -> Self:
        stream = manifest.stream(part)
        return cls(part, stream.documents, 0, stream.tokens)

    @property
    def tokens(self) -> int:
        return self.end - self.begin

    def sequences(self, length: int) -> int:
        return max(0, (self.tokens - 1) // length)


def _split(manifest: PackedManifest, data: DataSpec) -> tuple[_Span, _Span]:
    """Divide a source into training and validation: by documents or, if those are few, by tokens.

    By tokens, validation is the last share of the stream: whole sequences, at least one.
    """
    length = data.sequence_length
    train, validation = _Span.of("kept", manifest), _Span.of("held_out", manifest)
    enough = train.sequences(length) > 0 and validation.sequences(length) > 0
    larger = max(train, validation, key=lambda span: span.tokens)
    sequences = larger.sequences(length)
    if isinstance(data.validation, Source) or enough or sequences < 2:
        return train, validation
    held_out = min(max(1, round(data.validation.fraction * sequences)), sequences - 1)
    cut = larger.end - held_out * length - 1
    whole = replace(larger, split_by="tokens")
    return replace(whole, end=cut), replace(whole, begin=cut)


def _open(
    split: Split,
    packed: PackedSource,
    span: _Span,
    *,
    spec: TrainSpec,
    emit: Emit,
) -> TokenShards:
    """Report a split, raise `DataError` if it is bad or too small, and memory-map it."""
    length = spec.data.sequence_length
    prepared = DataPrepared(
        split=split, documents=span.documents, tokens=span.tokens, split_by=span.split_by
    )
    with_rows = split == "train" or isinstance(spec.data.validation, Source)
    allowed = spec.data.max_bad_rows
    report_part(packed, prepared, with_rows=with_rows, allowed=allowed, emit=emit)
    sequences = span.sequences(length)
    contents = (
        f"{counted(span.tokens, 'token')} in {counted(span.documents, 'document')} make "
        f"{counted(sequences, 'sequence')} of {length}"
    )
    check_size(split, sequences, contents=contents, spec=spec, advice=ADVICE[split])
    shards = packed.shards(span.part, sequence_length=length)
    return shards.between(span.begin, span.end)
