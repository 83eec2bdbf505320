"""Which files the trainer reads, by their names alone. Torch-free."""

from pathlib import PurePath

COMPRESSED = frozenset({".gz", ".zst"})
LINES = frozenset({".jsonl", ".json"})
TOKENS = frozenset({".npy", ".bin"})
READABLE = (
    "txt, jsonl, json (an object a line) and parquet; all but parquet also as .gz or .zst; and "
    "token ids in npy and bin"
)


def file_format(file: PurePath) -> str:
    """Return the extension that says what the file holds, without its compression."""
    if file.suffix in COMPRESSED:
        inner = PurePath(file.stem).suffix
        return inner if inner not in {".parquet"} | TOKENS else ""
    return file.suffix


def is_readable(file: PurePath) -> bool:
    return file_format(file) in LINES | TOKENS | {".txt", ".parquet"}
