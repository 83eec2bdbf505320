"""Prepare the images of a run from its spec: labels and two splits that are large enough."""

from dataclasses import dataclass
from pathlib import Path

from relora_core.counted import counted
from relora_core.data.batch import Dataset
from relora_core.data.cache import digest
from relora_core.data.fingerprints import DataFingerprints
from relora_core.data.images.pack import PackedImages, pack_images
from relora_core.data.images.shards import Shuffled
from relora_core.data.packed import Part, check_size, report_part
from relora_core.data.validation import ValidationSet
from relora_core.errors import DataError
from relora_core.events import DataPrepared, Emit, Split
from relora_core.spec import HeldOut, Source, TrainSpec

ADVICE: dict[Split, str] = {
    "train": "add images or lower training.global_batch_size",
    "validation": "raise data.validation.fraction or name a data.validation.uri",
}


@dataclass(frozen=True)
class PreparedImages:
    labels: list[str]
    train: Dataset
    validation: tuple[ValidationSet[Dataset], ...]
    fingerprints: DataFingerprints


def prepare_images(spec: TrainSpec, *, size: int, cache: Path, emit: Emit) -> PreparedImages:
    """Decode and resize the images of the spec, or find them in the cache. Raise `DataError`.

    All ranks and jobs of a node can call it at once: one of them does the work.
    """
    data = spec.data
    held_out = data.validation.fraction if isinstance(data.validation, HeldOut) else 0.0
    [source] = data.training_sources
    packed = pack_images(source, size=size, held_out=held_out, cache=cache)
    _check("train", packed, "kept", spec, emit)
    flip_seed = spec.training.seed if data.augmentation == "flip" else None
    train = packed.shards("kept", flip_seed=flip_seed)
    labels = packed.manifest.labels
    fingerprints: dict[str, str | int] = {
        "labels": digest(labels),
        "train": packed.manifest.sha256["kept"],
        "train_examples": len(train),
    }

    def to_score(
        packed: PackedImages, part: Part, name: str | None, weight: float
    ) -> ValidationSet[Dataset]:
        _check("validation", packed, part, spec, emit, name=name)
        images = Shuffled(packed.shards(part))
        scored = min(len(images), spec.evaluation.images)
        return ValidationSet(name, images, scored, weight)

    def whole(source: Source) -> PackedImages:
        return pack_images(source, size=size, held_out=0.0, labels=labels, cache=cache)

    part: Part = "held_out"
    if isinstance(data.validation, Source):
        part = "kept"
        packed = whole(data.validation)
    validation = [to_score(packed, part, None, 1.0)]
    fingerprints["validation"] = packed.manifest.sha256[part]
    for name, further in spec.evaluation.sets.items():
        validation.append(to_score(whole(further), "kept", name, 0.0))
    return PreparedImages(labels, train, tuple(validation), fingerprints)


def _check(
    split: Split,
    packed: PackedImages,
    part: Part,
    spec: TrainSpec,
    emit: Emit,
    *,
    name: str | None = None,
) -> None:
    """Report a split, and raise `DataError` if it is bad or too small."""
    images = packed.manifest.images(part)
    labels = len(packed.manifest.labels)
    prepared = DataPrepared(split=split, source=name, images=images, labels=labels)
    with_rows, allowed = part == "kept", spec.data.max_bad_rows
    report_part(packed, prepared, with_rows=with_rows, allowed=allowed, emit=emit)
    contents = counted(images, "image")
    needed = spec.training.global_batch_size if split == "train" else 1
    check_size(prepared, images, needed=needed, contents=contents, advice=ADVICE[split])
    if split == "train":
        _check_labels(packed)


def _check_labels(packed: PackedImages) -> None:
    counts = packed.manifest.kept
    present = [name for name, n in zip(packed.manifest.labels, counts, strict=True) if n]
    if len(present) < 2:
        raise DataError(
            f"all training images of {packed.source.place} have the label {present[0]!r}; to learn "
            "to tell labels apart takes two: in a folder, each label is a folder of its own"
        )
