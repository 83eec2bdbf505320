"""Prepare the data of a run from its spec: the tokenizer and two splits that are large enough."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from relora_core.counted import counted
from relora_core.data.fingerprints import DataFingerprints
from relora_core.data.packed import Part, check_size, report_part
from relora_core.data.packing import PackedSource, pack
from relora_core.data.shards import TokenShards
from relora_core.data.tokenizer import Tokenization, make_tokenizer, token_ids, vocabulary_hash
from relora_core.events import DataPrepared, Emit, Split
from relora_core.spec import DataSpec, HeldOut, NoTokenizer, Source, TrainSpec

ADVICE: dict[Split, str] = {
    "train": "add data, or lower training.global_batch_size or data.sequence_length",
    "validation": "raise data.validation.fraction, name a data.validation.uri, add documents (a "
    ".txt file is one) or lower data.sequence_length",
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
    fingerprints: dict[str, str | int] = {
        "tokenizer": vocabulary_hash(tokenizer),
        "train": packed.manifest.kept.sha256,
    }
    train = _open("train", packed, "kept", spec=spec, emit=emit)
    fingerprints["train_examples"] = len(train)
    part: Part = "held_out"
    if isinstance(data.validation, Source):
        part = "kept"
        packed = pack(
            data.validation, tokenizer, held_out=0.0, cache=cache, split="validation", emit=emit
        )
    validation = _open("validation", packed, part, spec=spec, emit=emit)
    fingerprints["validation"] = packed.manifest.stream(part).sha256
    return PreparedData(tokenizer, train, validation, fingerprints)


def _local(data: DataSpec, staged: Mapping[str, str]) -> DataSpec:
    def local(source: Source) -> Source:
        return source.model_copy(update={"uri": tuple(staged.get(uri, uri) for uri in source.uris)})

    validation = data.validation
    if isinstance(validation, Source):
        validation = local(validation)
    return data.model_copy(update={"train": local(data.train), "validation": validation})


def _open(
    split: Split,
    packed: PackedSource,
    part: Part,
    *,
    spec: TrainSpec,
    emit: Emit,
) -> TokenShards:
    """Report a split, raise `DataError` if it is bad or too small, and memory-map it."""
    stream, length = packed.manifest.stream(part), spec.data.sequence_length
    prepared = DataPrepared(split=split, documents=stream.documents, tokens=stream.tokens)
    report_part(packed, part, prepared, allowed=spec.data.max_bad_rows, emit=emit)
    sequences = max(0, (stream.tokens - 1) // length)
    contents = (
        f"{counted(stream.tokens, 'token')} in {counted(stream.documents, 'document')} make "
        f"{counted(sequences, 'sequence')} of {length}"
    )
    check_size(split, sequences, contents=contents, spec=spec, advice=ADVICE[split])
    return packed.shards(part, sequence_length=length)
