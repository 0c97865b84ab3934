"""The data folder belongs to one process and to nobody else's eyes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage import DataFolder, StorageError


def test_all_folders_are_made_for_the_owner_only(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / "a" / "data")
    folder.acquire()
    made = [folder.path, folder.sessions, folder.mirrors, folder.images, folder.plugins]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700] * 5
    assert folder.lock_path.stat().st_mode & 0o777 == 0o600
    folder.release()


HOLD = """
import sys
from pathlib import Path
from storage import DataFolder
DataFolder(Path(sys.argv[1])).acquire()
print("held", flush=True); sys.stdin.read()
"""


def test_a_second_process_is_told_who_holds_the_folder_until_that_one_dies(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    folder = DataFolder(tmp_path)
    with pytest.raises(StorageError) as caught:
        folder.acquire()
    assert f"process {holder.pid}" in caught.value.what
    assert caught.value.path == tmp_path
    assert "Stop that bot" in caught.value.fix
    assert not folder.held
    holder.kill()
    holder.communicate()
    folder.acquire()
    assert folder.held
    assert folder.lock_path.read_text() == f"{os.getpid()}\n"
    folder.release()


def test_released_it_can_be_taken_again_and_releasing_twice_is_harmless(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path), DataFolder(tmp_path)
    first.acquire()
    with pytest.raises(StorageError):
        second.acquire()
    first.release()
    first.release()
    second.acquire()
    assert (first.held, second.held) == (False, True)
    second.release()


@pytest.mark.parametrize("name", ["", "ab", "../../etc/passwd", "ab/cd", "abc\x00", "ab.c", "äbc", "abc\n"])
def test_a_session_id_cannot_lead_out_of_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a session id"):
        DataFolder(tmp_path).session_path(name)


def test_a_sessions_place_follows_from_its_id(tmp_path: Path) -> None:
    assert DataFolder(tmp_path).session_path("c0ffee") == tmp_path / "sessions" / "c0" / "c0ffee.db"


def test_a_path_too_long_for_a_socket_says_so_instead_of_failing_at_bind(tmp_path: Path) -> None:
    assert DataFolder(Path("/data")).admin_socket == Path("/data/admin.sock")
    with pytest.raises(StorageError, match="shorter path"):
        _ = DataFolder(tmp_path / ("x" * 100)).admin_socket


def test_a_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError) as caught:
        DataFolder(tmp_path / "file" / "data").acquire()
    assert caught.value.path == tmp_path / "file" / "data"
    assert caught.value.fix
