import os
from collections.abc import Callable, Iterable, Iterator
from errno import EIO
from pathlib import Path

import numpy as np
import pytest

from relora_core.data import content, packing, progress
from relora_core.data.packed import Part
from relora_core.data.packing import PackedSource, pack
from relora_core.errors import DataUnavailable
from relora_core.events import AnyTrainEvent, DataProgress
from relora_core.spec import Source
from tests.relora_core.data.conftest import LETTERS, letter_tokenizer

WriteRows = Callable[[str, Iterable[object]], Path]
PARTS: tuple[Part, Part] = ("kept", "held_out")


def tokens(packed: PackedSource, part: Part) -> list[int]:
    return np.fromfile(packed.folder / f"{part}.bin", dtype=packed.manifest.dtype).tolist()


def test_documents_follow_each_other_with_an_end_after_each(
    write_rows: WriteRows, tmp_path: Path
) -> None:
    file = write_rows("rows.jsonl", ["ab", {}, "c", "ab"])
    packed = pack(Source(uri=str(file)), letter_tokenizer(), held_out=0.0, cache=tmp_path)
    assert tokens(packed, "kept") == [1, 2, 0, 3, 0, 1, 2, 0]
    assert tokens(packed, "held_out") == []
    manifest = packed.manifest
    assert (manifest.rows, manifest.bad_rows, manifest.dtype) == (4, 1, "<u2")
    assert (manifest.kept.documents, manifest.kept.tokens, manifest.kept.bytes) == (3, 8, 16)
    assert packed.shards("kept", sequence_length=3).sequences(np.array([1])).tolist() == [
        [3, 0, 1, 2]
    ]


def test_progress_is_told_of_documents_tokens_and_bytes(
    write_rows: WriteRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "PROGRESS_SECONDS", 0.0)
    monkeypatch.setattr(packing, "BATCH_CHARACTERS", 1)
    file = write_rows("rows.jsonl", ["ab", "c"])
    told: list[AnyTrainEvent] = []
    source = Source(uri=str(file))
    pack(source, letter_tokenizer(), held_out=0.0, cache=tmp_path, emit=told.append)
    size = file.stat().st_size
    assert [
        (event.documents, event.tokens, event.bytes_read, event.bytes_total)
        for event in told
        if isinstance(event, DataProgress)
    ] == [(1, 3, size, size), (2, 5, size, size)]
    assert str(told[-1]) == "train data, tokenizing: 2 documents, 5 tokens, 100% of 0.0 MB"
    assert not list(tmp_path.rglob("*.progress"))


def test_a_file_that_is_replaced_while_it_is_read_is_not_kept_as_what_it_was(
    write_rows: WriteRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_rows("rows.jsonl", ["ab", "c"])
    before = file.stat().st_size

    def replace(*_: object) -> bool:
        write_rows("rows.jsonl", ["ba", "d"])
        return False

    with monkeypatch.context() as patched:
        patched.setattr(packing, "is_held_out", replace)
        with pytest.raises(DataUnavailable, match=f"{file} was changed or replaced while"):
            pack(Source(uri=str(file)), letter_tokenizer(), held_out=0.0, cache=tmp_path)
    assert file.stat().st_size == before
    packed = pack(Source(uri=str(file)), letter_tokenizer(), held_out=0.0, cache=tmp_path)
    assert tokens(packed, "kept") == [2, 1, 0, 4, 0]


def test_batches_join_without_a_seam(
    write_rows: WriteRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_rows("rows.jsonl", LETTERS)
    whole = pack(Source(uri=str(file)), letter_tokenizer(), held_out=0.0, cache=tmp_path / "a")
    monkeypatch.setattr(packing, "BATCH_CHARACTERS", 3)
    batched = pack(Source(uri=str(file)), letter_tokenizer(), held_out=0.0, cache=tmp_path / "b")
    assert batched.manifest == whole.manifest


def test_a_large_vocabulary_takes_four_bytes(write_rows: WriteRows, tmp_path: Path) -> None:
    file = write_rows("rows.jsonl", ["ab"])
    for extra, dtype in ((2**16 - 27, "<u2"), (2**16 - 26, "<u4")):
        tokenizer = letter_tokenizer(extra)
        packed = pack(Source(uri=str(file)), tokenizer, held_out=0.0, cache=tmp_path)
        assert packed.manifest.dtype == dtype
        assert tokens(packed, "kept") == [1, 2, 0]


def test_duplicates_never_lie_on_both_sides(write_rows: WriteRows, tmp_path: Path) -> None:
    texts = [a + b for a in LETTERS for b in LETTERS]
    file = write_rows("rows.jsonl", [*texts, *reversed(texts)])
    packed = pack(Source(uri=str(file)), letter_tokenizer(), held_out=0.3, cache=tmp_path)
    kept, held_out = (
        {tuple(document) for document in np.array(tokens(packed, part)).reshape(-1, 3).tolist()}
        for part in PARTS
    )
    assert len(kept) + len(held_out) == len(texts)
    assert kept.isdisjoint(held_out)
    assert packed.manifest.kept.documents == 2 * len(kept)


def test_packed_once_is_found_again(write_rows: WriteRows, tmp_path: Path) -> None:
    source = Source(uri=str(write_rows("rows.jsonl", ["ab", {}])))
    first = pack(source, letter_tokenizer(), held_out=0.0, cache=tmp_path)
    again = pack(source, letter_tokenizer(), held_out=0.0, cache=tmp_path)
    assert (first.reused, again.reused) == (False, True)
    assert again.manifest == first.manifest


def test_another_split_or_tokenizer_or_text_is_packed_anew(
    write_rows: WriteRows, tmp_path: Path
) -> None:
    source = Source(uri=str(write_rows("rows.jsonl", ["ab"])))
    other = Source(uri=str(write_rows("other.jsonl", ["abc"])))
    tokenizer = letter_tokenizer()
    folders = {
        pack(source, tokenizer, held_out=0.0, cache=tmp_path).folder,
        pack(source, tokenizer, held_out=0.1, cache=tmp_path).folder,
        pack(source, letter_tokenizer(1), held_out=0.0, cache=tmp_path).folder,
        pack(other, tokenizer, held_out=0.0, cache=tmp_path).folder,
    }
    assert len(folders) == 4


@pytest.mark.parametrize("damaged", ["kept.bin", "held_out.bin", "manifest.json"])
def test_a_damaged_cache_is_built_again(
    write_rows: WriteRows, tmp_path: Path, damaged: str
) -> None:
    source = Source(uri=str(write_rows("rows.jsonl", ["ab", "c"])))
    first = pack(source, letter_tokenizer(), held_out=0.0, cache=tmp_path)
    file = first.folder / damaged
    file.write_bytes(b"x" + file.read_bytes()[1:])
    os.utime(file, ns=(0, 0))  # the clock of the file system is coarse
    again = pack(source, letter_tokenizer(), held_out=0.0, cache=tmp_path)
    assert not again.reused
    assert tokens(again, "kept") == [1, 2, 0, 3, 0]


def test_nothing_of_a_source_that_failed_is_kept(
    write_rows: WriteRows, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> Iterator[bytes]:
        yield b'{"text": "ab"}\n'
        raise OSError(EIO, "Input/output error")

    source = Source(uri=str(write_rows("rows.jsonl", ["ab", "c"])))
    with monkeypatch.context() as patched:
        patched.setattr(content, "_read_on", fail)
        with pytest.raises(DataUnavailable):
            pack(source, letter_tokenizer(), held_out=0.0, cache=tmp_path)
    whole = pack(source, letter_tokenizer(), held_out=0.0, cache=tmp_path)
    assert (whole.reused, whole.manifest.kept.documents) == (False, 2)
