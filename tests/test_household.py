"""The folder a playground and its bot live in: made once, kept, private, and a configuration that checks."""

from __future__ import annotations

import socket
import stat
import tomllib
from pathlib import Path

import pytest

from bot.config import load
from bot.playground.household import household
from bot.plugins import Plugins


def test_it_is_the_same_place_the_next_time(tmp_path: Path) -> None:
    """Ports and secrets are kept; the configuration is written anew."""
    first = household(tmp_path / "home", port=0)
    first.config.write_text("changed by hand")
    second = household(tmp_path / "home")
    assert (second.ports, second.secrets) == (first.ports, first.secrets)
    assert "changed by hand" not in second.config.read_text()


def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    """The folder and every file in it, whatever the umask says."""
    home = household(tmp_path / "home", port=0)
    assert stat.S_IMODE(home.folder.stat().st_mode) == 0o700
    for path in [home.config, *(home.folder / "secrets").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.proof("canary")
def test_no_secret_is_in_the_configuration(tmp_path: Path) -> None:
    """It names files that hold them; every one bears the mark it was made with, and none is another's."""
    home = household(tmp_path / "home", port=0, prefix="mark-")
    text = home.config.read_text()
    assert all("mark-" in secret for secret in home.secrets.values())
    assert len(set(home.secrets.values())) == len(home.secrets)
    assert not [secret for secret in home.secrets.values() if secret in text]


def test_the_configuration_is_one_the_bot_takes(tmp_path: Path) -> None:
    """Written as TOML and read back, it is the table it was written from."""
    home = household(tmp_path / "home", port=0)
    assert tomllib.loads(home.config.read_text()) == home.bot_table()
    settings = load(home.config, Plugins())
    assert settings.data == home.bot_data
    assert [repository.name for repository in settings.repositories] == ["acme/storefront", "acme/ledger"]
    assert settings.slack.bot_token.reveal() == home.secrets["bot_token"]


def test_a_folder_with_odd_characters_is_written_as_it_is(tmp_path: Path) -> None:
    home = household(tmp_path / 'a "b" \\ ü', port=0)
    assert tomllib.loads(home.config.read_text()) == home.bot_table()


def test_ports_follow_each_other_or_are_any_free_ones(tmp_path: Path) -> None:
    """A given one is the page's; without one, those that somebody listens on are left alone."""
    assert household(tmp_path / "given", port=4000).ports == {"slack": 4000, "github": 4001, "bot": 4002}
    free = household(tmp_path / "free", port=0).ports
    assert len(set(free.values())) == 3
    chosen = household(tmp_path / "chosen").ports
    try:
        with socket.create_server(("127.0.0.1", chosen["github"])):
            assert chosen["github"] not in household(tmp_path / "other").ports.values()
    except OSError:
        pytest.skip("somebody else took that port meanwhile")
