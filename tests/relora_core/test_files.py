import errno
from pathlib import Path

import pytest

from relora_core.files import delete_folder, new_folder


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def folder(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "file").write_text(content)
    return path


def test_a_published_folder_replaces_the_older_one_whole(tmp_path: Path) -> None:
    folder(tmp_path / "model", "old")
    folder(tmp_path / ".model.tmp", "of a process that was killed")
    with new_folder(tmp_path / "model") as new:
        (new / "file").write_text("new")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "file").read_text() == "new"


def test_a_folder_that_could_not_be_finished_takes_no_room(tmp_path: Path) -> None:
    def write_half() -> None:
        with new_folder(tmp_path / "model") as new:
            (new / "file").write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    folder(tmp_path / "model", "old")
    with pytest.raises(OSError, match="No space left"):
        write_half()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert (tmp_path / "model" / "file").read_text() == "old"


def test_a_folder_is_out_of_sight_before_its_first_file_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = folder(tmp_path / "model", "old")
    with monkeypatch.context() as patch:
        patch.setattr("os.unlink", interrupted)
        with pytest.raises(KeyboardInterrupt):
            delete_folder(model)
    assert [path.name for path in tmp_path.iterdir()] == [".model.deleted"]
    delete_folder(folder(model, "again"))
    assert list(tmp_path.iterdir()) == []
