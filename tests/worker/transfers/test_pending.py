"""Checkpoints that wait for their upload while the trainer continues."""

from pathlib import Path

import pytest

from relora_core.files import delete_folder, publish_folder
from worker.transfers import pending
from worker.transfers.pending import keep, link

FILES = ("model.safetensors", "state.json")


def save(folder: Path, content: str) -> None:
    temporary = folder.with_name(".tmp")
    temporary.mkdir(parents=True)
    for name in FILES:
        (temporary / name).write_text(content)
    publish_folder(temporary, folder)


def change_after_the_first_link(
    monkeypatch: pytest.MonkeyPatch, folder: Path, content: str | None
) -> None:
    def link_and_change(source: str, target: str) -> None:
        link(source, target)
        monkeypatch.undo()
        if content is None:
            delete_folder(folder)
        else:
            save(folder, content)

    monkeypatch.setattr(pending, "link", link_and_change)


def test_a_folder_that_is_replaced_while_it_is_kept_has_files_of_one_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, kept = tmp_path / "step-00000020", tmp_path / "kept"
    save(folder, "before the rewind")
    change_after_the_first_link(monkeypatch, folder, "after")
    keep(folder, kept)
    assert {file.name: file.read_text() for file in kept.iterdir()} == dict.fromkeys(FILES, "after")


def test_of_a_folder_that_is_deleted_while_it_is_kept_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, kept = tmp_path / "step-00000020", tmp_path / "kept"
    save(folder, "weights")
    change_after_the_first_link(monkeypatch, folder, None)
    with pytest.raises(FileNotFoundError):
        keep(folder, kept)
    assert not kept.exists()
