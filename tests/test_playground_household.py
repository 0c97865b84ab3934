"""The folder of a demo: one owner, free ports, private files, and errors that say what to do."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.config import load
from bot.playground.household import Household, household
from bot.plugins import Plugins
from storage import StorageError

OTHER = """
import sys
from pathlib import Path
from bot.playground.household import household
home = household(Path(sys.argv[1]), port=0)
print(sorted(home.ports.values()), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Path]:
    """A folder that a process of somebody else's uses."""
    # A shell in between, so that we are not its parent.
    command = ["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", OTHER, str(tmp_path / "home")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        yield tmp_path / "home"
        process.communicate(timeout=30)


def test_a_folder_that_another_demo_uses_is_refused_and_left_as_it_is(other: Path) -> None:
    """Its ports and configuration are the running one's; the error names folder and process."""
    before = {name: (other / name).read_text() for name in ("ports.json", "config.toml", "lock")}
    with pytest.raises(
        StorageError, match=f"{other} is in use by another demo.*process {before['lock'].strip()}"
    ):
        household(other, port=0)
    assert {name: (other / name).read_text() for name in before} == before


def test_a_folder_is_free_again_when_its_process_is_gone(tmp_path: Path) -> None:
    """However it ended: the kernel lets go."""
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-c", OTHER, str(home)], input=b"", capture_output=True, check=True, timeout=60
    )
    again = household(home)
    assert sorted(again.ports.values()) == json.loads(done.stdout)
    assert (home / "lock").read_text().strip() == str(os.getpid())


def test_a_child_is_let_into_its_parents_folder(tmp_path: Path) -> None:
    """The demo holds the folder, and starts a playground on it."""
    home = household(tmp_path / "home", port=0)
    child = "import sys; from pathlib import Path; from bot.playground.household import household as h"
    command = [sys.executable, "-c", f"{child}; print(h(Path(sys.argv[1])).ports)", str(home.folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == str(home.ports)


def test_a_port_in_use_is_named_before_anything_is_written(tmp_path: Path) -> None:
    """With what to do about it; and the folder's earlier ports stay."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StorageError, match=rf"port {port} on 127.0.0.1 is in use.*--port N"):
            household(tmp_path / "home", port=port)
    assert not (tmp_path / "home" / "ports.json").exists()
    assert not (tmp_path / "home" / "config.toml").exists()


def test_an_earlier_start_that_is_still_ending_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill its processes close their ports and locks a moment later."""
    ports = household(tmp_path / "home", port=0).ports
    ending = [socket.create_server(("127.0.0.1", ports["bot"]))]
    lock = os.open(tmp_path / "home" / "bot" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    looks = []

    def look(seconds: float) -> None:
        looks.append(seconds)
        if ending:
            ending.pop().close()
        elif len(looks) == 2:
            os.close(lock)

    monkeypatch.setattr("bot.playground.claim.time.sleep", look)
    assert household(tmp_path / "home").ports == ports
    assert len(looks) == 2


@pytest.mark.parametrize("port", [None, 0])
def test_those_who_look_for_ports_at_once_find_different_ones(tmp_path: Path, port: int | None) -> None:
    """Nobody listens on any yet, and the kernel gives none of them to a client meanwhile."""
    homes: list[Household] = [household(tmp_path / str(number), port=port) for number in range(20)]
    found = [each for home in homes for each in home.ports.values()]
    assert len(set(found)) == len(found)
    own = Path("/proc/sys/net/ipv4/ip_local_port_range")
    assert max(found) < (int(own.read_text().split()[0]) if own.exists() else 32768)


def test_what_is_kept_is_private_and_the_folder_of_others_is_not_touched(tmp_path: Path) -> None:
    """A folder that was there keeps its mode; everything put into it is for its owner alone."""
    tmp_path.chmod(0o755)
    household(tmp_path, port=0)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    open_to_others = [path for path in tmp_path.rglob("*") if path.lstat().st_mode & 0o077]
    assert open_to_others == []


def test_a_link_where_secrets_would_go_is_refused(tmp_path: Path) -> None:
    """In a folder that others may write to, somebody may have been there first."""
    with tempfile.TemporaryDirectory() as elsewhere:
        (tmp_path / "secrets").symlink_to(elsewhere)
        with pytest.raises(StorageError, match="secrets is not a folder of yours"):
            household(tmp_path, port=0)
        assert list(Path(elsewhere).iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nothing"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    """Not with a traceback."""
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot be used: .*--data"):
        household(tmp_path / place)


@pytest.mark.parametrize("name", ["0123456789abcdef0123456789abcdef", "two words", 'quo"te\\', "é🧵\t"])
def test_a_folder_may_have_any_name(tmp_path: Path, name: str) -> None:
    """The configuration that is written there can be read: paths that look like keys, and odd characters."""
    home = household(tmp_path / name, port=0)
    settings = load(home.config, Plugins())
    assert settings.data == tmp_path / name / "bot"
    assert settings.slack.bot_token.reveal() == home.secrets["bot_token"]
