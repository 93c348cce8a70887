"""Files and folders appear whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from raddistill.files import part_of, write_whole


def test_a_file_takes_its_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    for words in ("one", "two"):
        with write_whole(path) as part:
            assert not part.exists()
            assert not path.exists() or path.read_text() == "one"
            part.write_text(words)
        assert path.read_text() == words
        part_of(path).write_text("left by a kill")


def test_a_folder_replaces_a_folder_and_nothing_of_the_old_one_stays(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name in ("a", "b"):
        part_of(folder).mkdir()
        (part_of(folder) / "left by a kill").touch()
        with write_whole(folder) as part:
            part.mkdir()
            (part / name).touch()
        assert [*folder.iterdir()] == [folder / name]
    assert [*tmp_path.iterdir()] == [folder]


def broken(path: Path, error: BaseException) -> None:
    with write_whole(path) as part:
        part.write_text("tw")
        raise error


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt()])
def test_an_error_leaves_what_was_there(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    with pytest.raises(type(error)):
        broken(path, error)
    assert path.read_text() == "one"
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_never_takes_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError), write_whole(tmp_path / "folder") as part:
        part.write_text("one")
    assert [*tmp_path.iterdir()] == [tmp_path / "folder"]


def test_a_full_disk_is_said_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No space left on device: '.*file'"):
        broken(tmp_path / "file", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
