"""Files come to be wholly or not at all, and "absent" is only said when it is certain."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from test_storage_engine import as_nobody

from storage import StorageError, creation
from storage.migrations import session_schema


def test_a_crash_before_the_name_leaves_no_file_and_the_next_try_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ab" / "abc.db"

    class PowerCut(BaseException):
        pass

    def cut(*_: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", cut)
        with pytest.raises(PowerCut):
            session_schema().create(path)
    assert not creation.exists(path)
    session_schema().create(path)
    assert creation.exists(path)
    assert [p.name for p in path.parent.iterdir()] == ["abc.db"]


def test_the_bytes_are_flushed_before_the_name_and_the_name_before_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    path, fsync, rename = tmp_path / "ab" / "abc.db", os.fsync, Path.rename

    def seen_fsync(handle: int) -> None:
        steps.append("fsync " + Path(os.readlink(f"/proc/self/fd/{handle}")).name)
        fsync(handle)

    def seen_rename(self: Path, target: Path) -> Path:
        steps.append(f"rename {target.name}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "rename", seen_rename)
    session_schema().create(path)
    assert steps == ["fsync abc.db.new", "rename abc.db", "fsync ab", f"fsync {tmp_path.name}"]


def test_a_log_without_its_database_is_an_error_and_not_an_absence(tmp_path: Path) -> None:
    path = tmp_path / "abc.db"
    (tmp_path / "abc.db-wal").write_bytes(b"rows that were accepted")
    with pytest.raises(StorageError) as caught:
        creation.exists(path)
    assert "write-ahead log" in caught.value.what
    assert str(path) in caught.value.fix


def test_a_folder_that_may_not_be_read_is_an_error_and_not_an_absence() -> None:
    with tempfile.TemporaryDirectory() as folder:
        closed = Path(folder) / "closed"
        closed.mkdir(mode=0o000)
        try:
            with as_nobody(), pytest.raises(StorageError) as caught:
                creation.exists(closed / "abc.db")
        finally:
            closed.chmod(0o700)
    assert "Permission denied" in caught.value.what
    assert caught.value.fix


def test_a_file_in_place_of_a_folder_is_an_error_and_not_an_absence(tmp_path: Path) -> None:
    (tmp_path / "ab").write_text("not a folder")
    with pytest.raises(StorageError):
        creation.exists(tmp_path / "ab" / "abc.db")
    with pytest.raises(StorageError):
        creation.place(tmp_path / "ab" / "abc.db", b"x" * 100)
