"""Read the labelled images of a source in a fixed order, and compute a fingerprint of them."""

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from relora_core.data.cache import digest, remembered
from relora_core.data.hub import HubDataset, hub_errors, open_hub_dataset, parse_hub_uri
from relora_core.data.rows import BadRow
from relora_core.errors import DataError
from relora_core.files import sha256
from relora_core.spec import Source
from relora_core.spec.file_uris import existing_path

if TYPE_CHECKING:  # imported late, as in `relora_core.data.hub`
    from datasets import Features, IterableDataset


@dataclass(frozen=True)
class EncodedImage:
    where: str
    content: bytes
    label: str


@dataclass(frozen=True)
class ImageRows:
    rows: Iterator[EncodedImage | BadRow]
    labels: list[str] | None = None  # in the order of their numbers, if the source says it


def image_rows(source: Source) -> ImageRows:
    """Open a source. Raise `DataError` if it cannot be read, also while its rows are read."""
    if source.place.startswith("hf://"):
        return _hub_rows(parse_hub_uri(source.place), source)
    return ImageRows(_folder_rows(_root(source)))


def fingerprint(source: Source, *, cache: Path) -> str:
    """Return a fingerprint of a source: of its files' bytes, or of a Hugging Face dataset's URI."""
    if source.place.startswith("hf://"):
        dataset = astuple(parse_hub_uri(source.place))
        return digest("hf", *dataset, source.image_field, source.label_field)
    root = _root(source)
    files = [file.relative_to(root).as_posix() for file in _files(root)]
    stats = [(root / file).stat() for file in files]
    listing = [(f, s.st_size, s.st_mtime_ns) for f, s in zip(files, stats, strict=True)]
    return remembered(
        lambda: digest("folder", [(file, sha256(root / file)) for file in files]),
        str(root),
        listing,
        cache=cache,
    )


def _root(source: Source) -> Path:
    root = Path(existing_path(source.place)).expanduser().absolute()
    if not root.is_dir():
        raise DataError(
            f"{source.place!r} is no folder ({root}); images lie in a folder for each label, "
            "FOLDER/LABEL/IMAGE.png, and the uri names FOLDER"
        )
    return root


def _files(root: Path) -> list[Path]:
    """Return every file below the folders of the labels, except hidden files."""
    files = (file for folder in root.iterdir() if folder.is_dir() for file in folder.rglob("*"))
    visible = (f for f in files if not any(p.startswith(".") for p in f.relative_to(root).parts))
    return sorted(file for file in visible if file.is_file())


def _folder_rows(root: Path) -> Iterator[EncodedImage | BadRow]:
    for file in _files(root):
        label = file.relative_to(root).parts[0]
        try:
            yield EncodedImage(str(file), file.read_bytes(), label)
        except OSError as error:
            yield BadRow(str(file), f"cannot be read: {error.strerror}")


def _hub_rows(dataset: HubDataset, source: Source) -> ImageRows:
    from datasets import ClassLabel, Image

    with hub_errors(dataset):
        rows = open_hub_dataset(dataset)
        features = rows.features or rows._resolve_features().features
        _check_columns(features, source)
        rows = rows.cast_column(source.image_field, Image(decode=False))
    names = features[source.label_field]
    labels = names.names if isinstance(names, ClassLabel) else None
    return ImageRows(_read_hub(rows, dataset, source, labels), labels)


def _check_columns(features: "Features", source: Source) -> None:
    for setting, column in (
        ("image_field", source.image_field),
        ("label_field", source.label_field),
    ):
        if column not in features:
            raise DataError(
                f"{source.place} has no column {column!r}; it has {', '.join(features)}. Name the "
                f"right one as `{setting}` beside the uri"
            )


def _read_hub(
    rows: "IterableDataset", dataset: HubDataset, source: Source, labels: list[str] | None
) -> Iterator[EncodedImage | BadRow]:
    folder = _files_of(dataset)
    with hub_errors(dataset):
        for number, row in enumerate(rows, start=1):
            where = f"{dataset.name}:{number}"
            image, label = row[source.image_field], row[source.label_field]
            content = _content(image, folder)
            if content is None:
                yield BadRow(where, f"column {source.image_field!r} holds no image")
            elif label is None or (labels is not None and not 0 <= label < len(labels)):
                yield BadRow(where, f"column {source.label_field!r} holds no label: {label!r}")
            else:
                yield EncodedImage(where, content, labels[label] if labels else str(label))


def _content(image: object, folder: Path) -> bytes | None:
    """Return the image bytes of a column's value, stored in it or in a file of the dataset.

    A row could name any file, so a file outside of the dataset's folder is not opened.
    """
    if not isinstance(image, dict):
        return None
    if isinstance(image["bytes"], bytes):
        return image["bytes"]
    file = Path(image.get("path") or "").resolve()
    return file.read_bytes() if file.is_relative_to(folder.resolve()) and file.is_file() else None


def _files_of(dataset: HubDataset) -> Path:
    """Return the folder of a local dataset, or the folder of the Hub's cache."""
    from datasets.config import HF_CACHE_HOME

    return Path(dataset.name if Path(dataset.name).is_absolute() else HF_CACHE_HOME)
