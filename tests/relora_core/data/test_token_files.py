from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from relora_core.data import token_files
from relora_core.data.packed import Part
from relora_core.data.packing import PackedSource, pack
from relora_core.data.prepare import prepare
from relora_core.data.shards import TokenShards
from relora_core.data.tokenizer import TokenIds
from relora_core.errors import DataError
from relora_core.events import DataPrepared, Event
from relora_core.spec import Source, TrainSpec
from tests.relora_core.data.conftest import letter_tokenizer

EOS = 0
DOCUMENTS = [[a, b] for a in range(1, 27) for b in range(1, 27)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.mkdir()
    return path


def joined(documents: Sequence[Sequence[int]]) -> list[int]:
    return [id_ for document in documents for id_ in (*document, EOS)]


def write(file: Path, ids: Sequence[int], dtype: str = "<u2") -> Path:
    array = np.array(ids, dtype=dtype)
    if file.suffix == ".npy":
        np.save(file, array)
    else:
        file.write_bytes(array.tobytes())
    return file


def packed(uri: object, cache: Path, *, held_out: float = 0.0, **source: Any) -> PackedSource:
    return pack(Source(uri=str(uri), **source), letter_tokenizer(), held_out=held_out, cache=cache)


def tokens(source: PackedSource, part: Part = "kept") -> list[int]:
    file = source.folder / f"{part}.bin"
    return np.fromfile(file, dtype=source.manifest.dtype).tolist()


@pytest.mark.parametrize(
    ("name", "dtype", "source"),
    [
        ("a.npy", "<u2", {}),
        ("a.npy", "<i8", {}),
        ("a.npy", ">u4", {}),
        ("a.bin", "<u2", {}),
        ("a.bin", "<u4", {"token_dtype": "uint32"}),
    ],
)
def test_ids_are_taken_as_they_are_from_every_format(
    name: str, dtype: str, source: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    file = write(folder / name, [1, 2, EOS, 3, EOS], dtype)
    found = packed(f"file://{file}", tmp_path / "cache", **source)
    assert tokens(found) == [1, 2, EOS, 3, EOS]
    assert (found.manifest.rows, found.manifest.bad_rows) == (2, 0)
    assert found.manifest.kept.documents == 2


def test_a_document_ends_at_eos_and_at_the_end_of_its_file(folder: Path, tmp_path: Path) -> None:
    write(folder / "1.bin", [EOS, 1, 2, EOS, EOS, 3])
    write(folder / "2.bin", [4, EOS])
    write(folder / "3.bin", [])
    found = packed(folder / "*.bin", tmp_path / "cache")
    assert tokens(found) == [1, 2, EOS, 3, EOS, 4, EOS]
    assert found.manifest.kept.documents == 3


def test_chunks_join_without_a_seam(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(folder / "a.npy", joined(DOCUMENTS))
    whole = packed(file, tmp_path / "one")
    monkeypatch.setattr(token_files, "CHUNK", 4)
    assert packed(file, tmp_path / "two").manifest == whole.manifest
    assert tokens(whole) == joined(DOCUMENTS)


def test_the_split_is_by_document_and_duplicates_never_lie_on_both_sides(
    folder: Path, tmp_path: Path
) -> None:
    write(folder / "a.bin", joined([*DOCUMENTS, *reversed(DOCUMENTS)]))
    found = packed(folder / "a.bin", tmp_path / "cache", held_out=0.3)
    kept, held_out = (
        {tuple(row) for row in np.array(tokens(found, part)).reshape(-1, 3).tolist()}
        for part in ("kept", "held_out")
    )
    assert kept.isdisjoint(held_out)
    assert kept | held_out == {(a, b, EOS) for a, b in DOCUMENTS}
    assert 0.2 < len(held_out) / len(DOCUMENTS) < 0.4
    assert found.manifest.kept.documents == 2 * len(kept)


def test_the_split_does_not_depend_on_how_ids_are_stored(folder: Path, tmp_path: Path) -> None:
    narrow = write(folder / "a.bin", joined(DOCUMENTS))
    wide = write(folder / "b.npy", joined(DOCUMENTS), "<i8")
    one, other = (packed(file, tmp_path / "cache", held_out=0.3) for file in (narrow, wide))
    assert one.folder != other.folder
    assert one.manifest == other.manifest


@pytest.mark.parametrize(("name", "dtype"), [("a.npy", "<i4"), ("a.bin", "<u2")])
def test_an_id_outside_the_vocabulary_is_named_by_file_and_position(
    name: str, dtype: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_files, "CHUNK", 2)
    file = write(folder / name, [1, 2, 26, 27, EOS], dtype)
    with pytest.raises(DataError, match=rf"{name}: token 3 is 27, and the vocabulary ends at 26"):
        packed(file, tmp_path / "cache")
    assert not list((tmp_path / "cache" / "shards").glob("*/manifest.json"))


def test_a_negative_id_is_outside_too(folder: Path, tmp_path: Path) -> None:
    file = write(folder / "a.npy", [1, -1], "<i4")
    with pytest.raises(DataError, match="token 1 is -1, and the vocabulary ends at 26"):
        packed(file, tmp_path / "cache")


def test_a_file_that_holds_no_tokens_is_refused(folder: Path, tmp_path: Path) -> None:
    def refused(file: Path) -> str:
        with pytest.raises(DataError) as caught:
            packed(file, tmp_path / "cache")
        return str(caught.value)

    np.save(folder / "table.npy", np.zeros((2, 3), dtype=np.int64))
    np.save(folder / "real.npy", np.zeros(3))
    np.save(folder / "objects.npy", np.array([{}]), allow_pickle=True)
    (folder / "text.npy").write_text("not an array")
    (folder / "odd.bin").write_bytes(b"abc")
    assert "holds int64 of shape (2, 3); token ids are one row" in refused(folder / "table.npy")
    assert "holds float64 of shape (3,)" in refused(folder / "real.npy")
    assert "cannot read" in refused(folder / "objects.npy")  # nothing is unpickled
    assert "as a .npy array" in refused(folder / "text.npy")
    assert "3 bytes, which are no whole tokens of uint16" in refused(folder / "odd.bin")


def test_text_and_tokens_are_not_mixed(folder: Path, tmp_path: Path) -> None:
    write(folder / "a.bin", [1])
    (folder / "b.txt").write_text("b")
    with pytest.raises(DataError, match=r"matches both text and token ids, such as .*a\.bin"):
        packed(folder / "*", tmp_path / "cache")


def make_spec(uri: object, tokenizer: dict[str, Any], **data: Any) -> TrainSpec:
    return TrainSpec.model_validate(
        {
            "model": {"preset": "llama_9m"},
            "tokenizer": tokenizer,
            "data": {
                "train": {"uri": str(uri)},
                "validation": {"fraction": 0.2},
                "sequence_length": 16,
                **data,
            },
            "training": {"steps": 10, "global_batch_size": 4},
        }
    )


def test_a_run_reads_them_like_text_and_reports_the_same(folder: Path, tmp_path: Path) -> None:
    letter_tokenizer().save_pretrained(tmp_path / "tokenizer")
    write(folder / "a.bin", joined(DOCUMENTS))
    spec = make_spec(folder / "a.bin", {"pretrained": str(tmp_path / "tokenizer")})
    events: list[Event] = []
    for _ in range(2):
        data = prepare(spec, cache=tmp_path / "cache", emit=events.append)
    reports = [event for event in events if isinstance(event, DataPrepared)]
    assert [event.split for event in reports] == ["train", "validation"] * 2
    assert [event.reused for event in reports] == [False, False, True, True]
    assert sum(event.documents for event in reports[:2]) == len(DOCUMENTS)
    assert sum(event.tokens for event in reports[:2]) == 3 * len(DOCUMENTS)
    assert len(data.train) > 4


def test_a_tokenizer_cannot_be_trained_on_them(folder: Path, tmp_path: Path) -> None:
    """A pattern does not tell what it will match: then the files do, before any training."""
    write(folder / "a.bin", joined(DOCUMENTS))
    spec = make_spec(folder / "*", {"train": {"vocab_size": 300}})
    with pytest.raises(DataError, match=r"no tokenizer can be trained .*\{pretrained: NAME\}"):
        prepare(spec, cache=tmp_path / "cache", emit=lambda _: None)


def make_spec_of_ids(uri: object, eos: int = EOS) -> TrainSpec:
    return make_spec(uri, {"eos_token_id": eos})


def test_ids_without_a_tokenizer_are_read_with_the_vocabulary_of_the_model(
    folder: Path, tmp_path: Path
) -> None:
    write(folder / "a.bin", joined(DOCUMENTS))
    data = prepare(
        make_spec_of_ids(folder / "a.bin"), cache=tmp_path / "cache", emit=lambda _: None
    )
    assert data.tokenizer == TokenIds(vocab_size=32100, eos_token_id=EOS)
    assert isinstance(data.train, TokenShards)
    parts = data.train, data.validation[0].dataset
    assert sum(part.num_documents for part in parts) == len(DOCUMENTS)


def test_without_a_tokenizer_an_id_outside_the_models_vocabulary_is_named(
    folder: Path, tmp_path: Path
) -> None:
    write(folder / "a.bin", [1, 32100, EOS])
    with pytest.raises(DataError, match=r"a\.bin: token 1 is 32,100, and the vocabulary ends"):
        prepare(make_spec_of_ids(folder / "a.bin"), cache=tmp_path / "cache", emit=lambda _: None)


def test_text_without_a_tokenizer_is_refused(folder: Path) -> None:
    with pytest.raises(ValidationError, match="text needs a tokenizer"):
        make_spec_of_ids(folder / "a.txt")


def test_an_end_of_document_outside_the_vocabulary_is_refused(folder: Path) -> None:
    with pytest.raises(ValidationError, match="must be less than the vocabulary size 32100"):
        make_spec_of_ids(folder / "a.bin", eos=32100)
