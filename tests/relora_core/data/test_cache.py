import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from filelock import FileLock

from relora_core.data import cache
from relora_core.data.cache import build_once, digest, file_digest, remembered


def test_who_waits_for_another_process_is_called_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "WAITING_SECONDS", 0.01)
    other = FileLock(tmp_path / "made.lock")
    other.acquire()
    waited: list[int] = []

    def waiting() -> None:
        waited.append(1)
        if len(waited) == 3:
            other.release()

    build_once(tmp_path / "made", lambda _: None, cache=tmp_path, waiting=waiting)
    assert len(waited) == 3
    assert (tmp_path / "made").is_dir()


def test_of_many_at_once_one_builds_and_the_others_find(tmp_path: Path) -> None:
    built_by: list[str] = []

    def build(folder: Path) -> None:
        built_by.append(threading.current_thread().name)
        time.sleep(0.2)
        (folder / "result").write_text("done")

    with ThreadPoolExecutor(4) as pool:
        runs = [
            pool.submit(build_once, tmp_path / "a" / "b", build, cache=tmp_path) for _ in range(4)
        ]
    assert sorted(run.result() for run in runs) == [False, True, True, True]
    assert len(built_by) == 1
    assert (tmp_path / "a" / "b" / "result").read_text() == "done"


def test_a_build_that_fails_leaves_nothing_to_find(tmp_path: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "result").write_text("half")
        raise RuntimeError("killed")

    def build(folder: Path) -> None:
        assert list(folder.iterdir()) == []
        (folder / "result").write_text("whole")

    with pytest.raises(RuntimeError):
        build_once(tmp_path / "a", fail, cache=tmp_path)
    assert not (tmp_path / "a").exists()
    assert not build_once(tmp_path / "a", build, cache=tmp_path)
    assert (tmp_path / "a" / "result").read_text() == "whole"


@pytest.mark.parametrize("damaged", ["result", "SHA256SUMS"])
def test_each_changed_byte_is_found_and_the_folder_is_built_again(
    tmp_path: Path, damaged: str
) -> None:
    def build(folder: Path) -> None:
        (folder / "result").write_text("whole")

    assert not build_once(tmp_path / "a", build, cache=tmp_path)
    file = tmp_path / "a" / damaged
    original = file.read_bytes()
    for place in range(len(original)):
        file.write_bytes(original[:place] + bytes([original[place] ^ 1]) + original[place + 1 :])
        os.utime(file, ns=(place, place))  # the clock of the file system is coarse
        assert not build_once(tmp_path / "a", build, cache=tmp_path)
        assert file.read_bytes() == original
    assert build_once(tmp_path / "a", build, cache=tmp_path)


def test_a_folder_with_a_file_too_few_or_too_many_is_built_again(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "result").touch()

    build_once(tmp_path / "a", build, cache=tmp_path)
    (tmp_path / "a" / "result").unlink()
    assert not build_once(tmp_path / "a", build, cache=tmp_path)
    (tmp_path / "a" / "rest").touch()
    assert not build_once(tmp_path / "a", build, cache=tmp_path)
    assert sorted(file.name for file in (tmp_path / "a").iterdir()) == ["SHA256SUMS", "result"]


@pytest.mark.parametrize("damaged", [b"", b"12\0"])
def test_a_remembered_value_that_is_damaged_is_computed_again(
    tmp_path: Path, damaged: bytes
) -> None:
    assert remembered(lambda: "ab12", "key", cache=tmp_path) == "ab12"
    (file,) = tmp_path.glob("digests/*/sha256")
    file.write_bytes(damaged)
    assert remembered(lambda: "ab12", "key", cache=tmp_path) == "ab12"


def test_digests_differ_as_their_parts_do() -> None:
    assert digest("a", "b") == digest("a", "b")
    assert len({digest("a", "b"), digest("ab"), digest("b", "a"), digest(["a", "b"])}) == 4


def test_the_digest_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_digest(file, tmp_path / "cache") == expected
    file.write_bytes(b"abcd")
    assert file_digest(file, tmp_path / "cache") != expected
