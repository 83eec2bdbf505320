"""Prepare the data of a run from its spec: the tokenizer and two splits that are large enough."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

from relora_core.counted import counted, in_epochs
from relora_core.data.fingerprints import DataFingerprints
from relora_core.data.mixture import Stage
from relora_core.data.order import Mixture, order_of
from relora_core.data.packed import Part, check_size, report_part
from relora_core.data.packing import PackedManifest, PackedSource, pack
from relora_core.data.shards import TokenShards
from relora_core.data.tokenizer import Tokenization, make_tokenizer, token_ids, vocabulary_hash
from relora_core.data.validation import ValidationSet
from relora_core.errors import DataError
from relora_core.events import DataPrepared, DataProgress, Emit, Split
from relora_core.spec import DataSpec, HeldOut, MixedSource, NoTokenizer, Source, TrainSpec

ADVICE: dict[Split, str] = {
    "train": "add data, or lower training.global_batch_size or data.sequence_length",
    "validation": "raise data.validation.fraction, name a data.validation.uri, add data or "
    "lower data.sequence_length",
}


@dataclass(frozen=True)
class PreparedData:
    tokenizer: Tokenization
    train: TokenShards | Mixture
    validation: tuple[ValidationSet[TokenShards], ...]
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
    return _Preparation(spec, cache, emit, staged or {}).prepare(resumed)


@dataclass(frozen=True)
class _Split:
    """A split of a packed source."""

    shards: TokenShards
    sha256: str


@dataclass(frozen=True)
class _Preparation:
    spec: TrainSpec
    cache: Path
    emit: Emit
    staged: Mapping[str, str]

    def prepare(self, resumed: Path | None) -> PreparedData:
        data = self.spec.data
        tokenizer = self._tokenizer(resumed)
        splits: dict[str | None, tuple[_Split, _Split | None]] = {
            _name(source): self._divide(source, tokenizer) for source in data.training_sources
        }
        fingerprints: dict[str, str | int] = {
            "tokenizer": vocabulary_hash(tokenizer),
            "train_examples": sum(len(train.shards) for train, _ in splits.values()),
        }
        for name, (train, _) in splits.items():
            fingerprints[_key("train", name)] = train.sha256
        validation: dict[str | None, _Split] = {}
        if isinstance(data.validation, Source):
            validation[None] = self._whole(data.validation, tokenizer)
        else:
            validation = {name: held for name, (_, held) in splits.items() if held is not None}
        for name, split in validation.items():
            fingerprints[_key("validation", name)] = split.sha256
        return PreparedData(
            tokenizer,
            self._training_data({name: train.shards for name, (train, _) in splits.items()}),
            self._validation_sets(validation, tokenizer),
            fingerprints,
        )

    @property
    def _held_out(self) -> float:
        validation = self.spec.data.validation
        return validation.fraction if isinstance(validation, HeldOut) else 0.0

    def _local(self, source: Source) -> Source:
        uris = tuple(self.staged.get(uri, uri) for uri in source.uris)
        return source.model_copy(update={"uri": uris})

    def _tokenizer(self, resumed: Path | None) -> Tokenization:
        if isinstance(self.spec.tokenizer, NoTokenizer):
            return token_ids(self.spec.tokenizer, self.spec.model)
        return make_tokenizer(
            self.spec.tokenizer,
            list(map(self._local, self.spec.data.training_sources)),
            held_out=self._held_out,
            cache=self.cache,
            emit=self.emit,
            resumed=resumed,
        )

    def _divide(self, source: Source, tokenizer: Tokenization) -> tuple[_Split, _Split | None]:
        """Return the training split of a source, and its held-out split if the spec has one."""
        name = _name(source)
        packed = self._pack("train", name, source, tokenizer, held_out=self._held_out)
        train, held_out = _divided(packed.manifest, self.spec.data)
        # In a mixture, a source may be smaller than a batch.
        needed = self.spec.training.global_batch_size if name is None else 1
        split = self._open("train", name, packed, train, needed=needed)
        if not isinstance(self.spec.data.validation, HeldOut):
            return split, None
        return split, self._open("validation", name, packed, held_out)

    def _whole(self, source: Source, tokenizer: Tokenization, name: str | None = None) -> _Split:
        """Return a source to evaluate on."""
        packed = self._pack("validation", name, source, tokenizer, held_out=0.0)
        return self._open("validation", name, packed, _Span.of("kept", packed.manifest), rows=True)

    def _pack(
        self,
        split: Split,
        name: str | None,
        source: Source,
        tokenizer: Tokenization,
        *,
        held_out: float,
    ) -> PackedSource:
        return pack(
            self._local(source),
            tokenizer,
            held_out=held_out,
            cache=self.cache,
            about=DataProgress(split=split, source=name, making="tokens"),
            emit=self.emit,
        )

    def _open(
        self,
        split: Split,
        name: str | None,
        packed: PackedSource,
        span: "_Span",
        *,
        needed: int = 1,
        rows: bool = False,
    ) -> _Split:
        """Report a split, raise `DataError` if it is bad or too small, and memory-map it.

        `rows` says that the split is the first that reads its source, as a training split is.
        """
        length = self.spec.data.sequence_length
        prepared = DataPrepared(
            split=split,
            source=name,
            documents=span.documents,
            tokens=span.tokens,
            split_by=span.split_by,
        )
        with_rows = rows or split == "train"
        allowed = self.spec.data.max_bad_rows
        report_part(packed, prepared, with_rows=with_rows, allowed=allowed, emit=self.emit)
        sequences = span.sequences(length)
        contents = (
            f"{counted(span.tokens, 'token')} in {counted(span.documents, 'document')} make "
            f"{counted(sequences, 'sequence')} of {length}"
        )
        check_size(
            prepared,
            sequences,
            needed=needed,
            contents=contents,
            advice=ADVICE[split],
        )
        shards = packed.shards(span.part, sequence_length=length).between(span.begin, span.end)
        return _Split(shards, packed.manifest.stream(span.part).sha256)

    def _training_data(self, parts: Mapping[str | None, TokenShards]) -> TokenShards | Mixture:
        if not self.spec.data.mixture:
            return parts[None]
        batch, data = self.spec.training.global_batch_size, self.spec.data
        stages = (Stage(step * batch, weights) for step, weights in data.weights_by_stage())
        named = {source.name: parts[source.name] for source in data.mixture}
        mixture = Mixture(named, tuple(stages))
        self._check_epochs(mixture)
        return mixture

    def _check_epochs(self, mixture: Mixture) -> None:
        """Raise `DataError` if the run would read a source more often than `max_epochs`."""
        places = self.spec.total_steps * self.spec.training.global_batch_size
        read = order_of(mixture, seed=self.spec.training.seed).sources(places)
        for source, use in zip(self.spec.data.mixture, read, strict=True):
            if source.max_epochs is not None and use.epochs > source.max_epochs:
                raise DataError(
                    f"the run would read {in_epochs(use.epochs)} of the source {source.name}, and "
                    f"its max_epochs is {source.max_epochs:g}; lower its weight, take fewer steps, "
                    "add data to it, or raise max_epochs"
                )

    def _validation_sets(
        self, splits: Mapping[str | None, _Split], tokenizer: Tokenization
    ) -> tuple[ValidationSet[TokenShards], ...]:
        """Return the validation data of the run and, with weight 0, those of `evaluation.sets`.

        Each source of a mixture has an equal part of the tokens that an evaluation scores.
        """
        weights: dict[str | None, float] = {s.name: s.weight for s in self.spec.data.mixture}
        total = sum(weights.values())
        sets = [
            self._validation_set(
                name, split, weight=weights[name] / total if name else 1.0, parts=len(splits)
            )
            for name, split in splits.items()
        ]
        for name, source in self.spec.evaluation.sets.items():
            split = self._whole(source, tokenizer, name)
            sets.append(self._validation_set(name, split, weight=0.0))
        return tuple(sets)

    def _validation_set(
        self, name: str | None, split: _Split, *, weight: float, parts: int = 1
    ) -> ValidationSet[TokenShards]:
        """Score the first whole sequences of the set, at least one."""
        wanted = self.spec.evaluation.tokens // parts // self.spec.data.sequence_length
        scored = max(1, min(len(split.shards), wanted))
        return ValidationSet(name, split.shards, scored, weight)


def _name(source: Source) -> str | None:
    return source.name if isinstance(source, MixedSource) else None


def _key(split: Split, name: str | None) -> str:
    return split if name is None else f"{split}.{name}"


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


def _divided(manifest: PackedManifest, data: DataSpec) -> tuple[_Span, _Span]:
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
