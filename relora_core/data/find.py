"""Find the files of a source: a path, a pattern, or a folder that `datasets` saved."""

import json
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from relora_core.data.content import file_errors
from relora_core.data.file_formats import READABLE, is_readable
from relora_core.errors import DataError
from relora_core.spec.file_uris import is_pattern, readings


def find_files(uri: str) -> list[Path]:
    """Return the files that a path, a pattern or a file:// URI names, sorted.

    Raise `DataError` if there is none, if a format is not known, or if a pattern would silently
    miss files: in a folder that cannot be listed, or behind a link to a deleted file.
    """
    paths = [Path(reading).expanduser().absolute() for reading in readings(uri)]
    files = next(filter(None, map(_named_by, paths)), [])
    if not files:
        raise DataError(f"no file matches {str(paths[0])!r}")
    for file in files:
        if not is_readable(file):
            raise DataError(f"cannot read {file}; known formats are {READABLE}")
    return files


def _named_by(path: Path) -> list[Path]:
    with file_errors(path):
        if path.is_dir():
            return _saved_files(path)
        found = set(_matching(Path(path.anchor), path.parts[1:]))
        return [file for file in sorted(found) if _is_file(file)]


def _saved_files(folder: Path) -> list[Path]:
    """Return the files of a folder that `Dataset.save_to_disk` wrote."""
    state = folder / "state.json"
    if state.is_file():
        try:
            names = [
                str(file["filename"]) for file in json.loads(state.read_bytes())["_data_files"]
            ]
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{state} is damaged; save the dataset again") from error
        return [folder / Path(name).name for name in names]
    if (folder / "dataset_dict.json").is_file():
        splits = ", ".join(sorted(str(state.parent) for state in folder.glob("*/state.json")))
        raise DataError(f"{folder} holds several splits; name one of them: {splits}")
    raise DataError(f"{str(folder)!r} is a folder; name its files, e.g. {folder / '*.jsonl.gz'}")


def _matching(
    folder: Path, parts: tuple[str, ...], around: frozenset[Path] = frozenset()
) -> Iterator[Path]:
    """Yield the paths below the folder that match the pattern.

    Links to one of the folders `around` are not followed, because they would be endless.
    `Path.glob` is not used: it ignores the `PermissionError` of a folder that cannot be listed.
    """
    name, rest = parts[0], parts[1:]
    if name == "**":
        around |= {folder.resolve()}
        yield from _matching(folder, rest or ("*",), around)
        for entry in folder.iterdir():
            if entry.is_dir() and entry.resolve() not in around:
                yield from _matching(entry, parts, around)
        return
    for match in _entries(folder, name):
        if not rest:
            yield match
        elif match.is_dir():
            yield from _matching(match, rest, around)


def _entries(folder: Path, name: str) -> list[Path]:
    if is_pattern(folder / name):
        return [entry for entry in folder.iterdir() if fnmatchcase(entry.name, name)]
    return [folder / name] if os.path.lexists(folder / name) else []


def _is_file(path: Path) -> bool:
    if path.is_symlink() and not path.exists():
        raise DataError(f"{path} is a link to {path.readlink()}, which is not there")
    return path.is_file()
