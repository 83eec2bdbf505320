"""The file formats that the trainer reads, known by file names alone. No torch needed."""

from pathlib import PurePath

COMPRESSED = frozenset({".gz", ".zst"})
TEXTS = frozenset({".txt", ".jsonl", ".json", ".csv", ".tsv"})  # compressed, too
TABLES = frozenset({".parquet", ".arrow"})
TOKENS = frozenset({".npy", ".bin"})
READABLE = (
    "txt, jsonl, json, csv and tsv, each also as .gz or .zst; parquet and arrow; and token ids in "
    "npy and bin"
)


def file_format(file: PurePath) -> str:
    """Return the extension of the file's format, without the extension of its compression."""
    if file.suffix in COMPRESSED:
        inner = PurePath(file.stem).suffix
        return inner if inner in TEXTS else ""
    return file.suffix


def is_readable(file: PurePath) -> bool:
    return file_format(file) in TEXTS | TABLES | TOKENS
