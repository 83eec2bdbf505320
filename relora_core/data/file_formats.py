"""Which files the trainer reads, by their names alone. Torch-free."""

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
    """Return the extension that says what the file holds, without its compression."""
    if file.suffix in COMPRESSED:
        inner = PurePath(file.stem).suffix
        return inner if inner in TEXTS else ""
    return file.suffix


def is_readable(file: PurePath) -> bool:
    return file_format(file) in TEXTS | TABLES | TOKENS
