"""Everything a bot needs to live in a playground, kept in one folder: ports, secrets, and its configuration.

Made once and kept, so that a restart on the same folder is the same place with the same tokens.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.playground import people
from bot.playground.claim import Claim, claim, is_free, must_be_free, private_folder, reserve
from bot.playground.settings import PlaygroundSettings
from storage import StorageError

_PORTS = ("slack", "github", "bot")
_FIRST = 8765
_LOWEST = 10_240
_KERNELS_OWN = Path("/proc/sys/net/ipv4/ip_local_port_range")
_PRIVATE = ("secrets", "playground", "bot", "logs")
_SHAPES = {
    "bot_token": "xoxb-",
    "app_token": "xapp-",
    "control_token": "",
    "pages_token": "",
    "signing_secret": "",
}
_HINTS: dict[str, dict[str, Any]] = {
    "acme/storefront": {
        "description": "The web shop's front end: pages, header, product cards, styles",
        "keywords": ["storefront", "shop", "header", "footer", "css", "page", "product card"],
        "channels": ["web"],
    },
    "acme/ledger": {
        "description": "The Python service that books invoices and works out tax",
        "keywords": ["ledger", "invoice", "tax", "booking", "python service"],
        "channels": ["backend"],
    },
}


@dataclass(frozen=True)
class Household:
    """A folder with a playground and a bot in it. `ports` has slack, github and bot.

    `prefix` begins every secret, also those made later. `held` is what keeps others out of the folder and off
    the ports for as long as this object lives.
    """

    folder: Path
    ports: dict[str, int]
    secrets: dict[str, str] = field(repr=False)
    prefix: str = ""
    held: tuple[Claim, ...] = field(default=(), repr=False, compare=False)

    @property
    def bot_data(self) -> Path:
        return self.folder / "bot"

    @property
    def config(self) -> Path:
        return self.folder / "config.toml"

    @property
    def bot_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['bot']}"

    @property
    def slack_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['slack']}"

    @property
    def github_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['github']}"

    @property
    def playground(self) -> PlaygroundSettings:
        """What the playground's process is started with."""
        return PlaygroundSettings(
            data=self.folder,
            slack_port=self.ports["slack"],
            github_port=self.ports["github"],
            control_token=self.secrets["control_token"],
            bot_token=self.secrets["bot_token"],
            app_token=self.secrets["app_token"],
            signing_secret=self.secrets["signing_secret"],
            pages_token=self.secrets["pages_token"],
            secret_prefix=self.prefix,
            github_tokens={login: self.secrets[f"github.{login}"] for login in _logins()},
            bot_url=self.bot_url,
        )

    def bot_table(self) -> dict[str, Any]:
        """The bot's configuration as a TOML table, secrets by reference to files of this folder."""
        bot = people.BOT
        kept = self.folder / "agent.json"
        agent: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
        return {
            **agent,
            "data": str(self.bot_data),
            "slack": {
                "bot_token": self._reference("bot_token"),
                "app_token": self._reference("app_token"),
                "api_url": f"{self.slack_url}/api/",
            },
            "web": {"port": self.ports["bot"]},
            # The address of the bot's own account, so that its commits show whose they are.
            "git": {"bot_name": bot.real_name, "bot_email": bot.commit_email},
            "repositories": [{"name": name, **_HINTS[name]} for name in people.REPOSITORIES],
            "pr_creator": {
                "github_url": self.github_url,
                "api_url": f"{self.github_url}/api/v3",
                "bot": {
                    "login": bot.github,
                    "id": bot.github_id,
                    "name": bot.real_name,
                    "token": self._reference(f"github.{bot.github}"),
                },
                "people": {
                    person.id: {
                        "login": person.github,
                        "id": person.github_id,
                        "name": person.real_name,
                        "token": self._reference(f"github.{person.github}"),
                    }
                    for person in people.HUMANS
                    if person.github
                },
            },
        }

    def use_agent(self, table: Mapping[str, Any] | None) -> None:
        """Settings of an agent and its model, from now on; None: the scripted one, without any model."""
        kept = self.folder / "agent.json"
        if table is None:
            kept.unlink(missing_ok=True)
        else:
            _write_private(kept, json.dumps(table))
        self.write_config()

    def write_config(self) -> None:
        """Write the bot's configuration, for `threadsmith run --config`."""
        text = "# Written by `threadsmith demo` at every start; change a copy, not this file.\n"
        _write_private(self.config, text + _toml(self.bot_table()))

    def _reference(self, name: str) -> dict[str, str]:
        return {"file": str(self.folder / "secrets" / name)}


def household(folder: Path, *, port: int | None = None, prefix: str = "") -> Household:
    """The household of a folder, made when there is none yet. `prefix` marks every secret from now on.

    `port` is the page's; the code host's and the bot's follow it. None takes the earlier ones, or free ones.
    StorageError, with nothing of the folder changed, when it cannot be used, when another process uses it, or
    when a port is taken.
    """
    folder = folder.absolute()
    with _explaining(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        hold = claim(folder)
        ports, mark = _ports(folder, port, begins=hold is not None)
        for name in _PRIVATE:  # the folder itself may be somebody's who keeps other things in it
            private_folder(folder / name)
        _write_private(folder / "ports.json", json.dumps(ports))
        held = tuple(each for each in (hold, mark) if each is not None)
        prefix = _kept_prefix(folder, prefix)
        made = Household(folder, ports, _secrets(folder, prefix), prefix, held)
        made.write_config()
    return made


@contextmanager
def _explaining(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        fix = "Choose with --data a folder that you may write to, on a disk with space."
        raise StorageError(f"cannot be used: {error.strerror or error}", folder, fix) from error


def _kept_prefix(folder: Path, prefix: str) -> str:
    """The one given, else the earlier one: the playground is a process of its own and is told none."""
    kept = folder / "secret-prefix"
    if prefix:
        _write_private(kept, prefix)
    return kept.read_text() if kept.exists() else ""


def _logins() -> list[str]:
    return [person.github for person in people.PEOPLE.values() if person.github]


def _secrets(folder: Path, prefix: str) -> dict[str, str]:
    names = {**_SHAPES, **{f"github.{login}": "ghp_" for login in _logins()}}
    return {name: _secret(folder / "secrets" / name, f"{shape}{prefix}") for name, shape in names.items()}


def _secret(path: Path, prefix: str) -> str:
    if not path.exists():
        _write_private(path, prefix + secrets.token_hex(20))
    return path.read_text()


def _write_private(path: Path, text: str) -> None:
    """Whole or not at all, and never readable by others."""
    aside = path.with_name(f"{path.name}.new")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    aside.replace(path)


def _ports(folder: Path, port: int | None, *, begins: bool) -> tuple[dict[str, int], Claim | None]:
    """Which ports, free unless what we belong to listens there already (not `begins`), and a hold on them."""
    kept = folder / "ports.json"
    earlier: dict[str, int] | None = json.loads(kept.read_text()) if kept.exists() else None
    if port == 0 or (port is None and earlier is None):
        return _free_ports(_anywhere() if port == 0 else range(_FIRST, _FIRST + 1000, 10))
    ports = {name: port + i for i, name in enumerate(_PORTS)} if port is not None else dict(earlier or {})
    if begins:
        must_be_free(folder, ports.values(), ours=ports == earlier)
    return ports, None


def _anywhere() -> list[int]:
    """Places below those that the kernel hands out by itself, to clients as well, at any moment.

    Ten apart, so that no two that are held overlap.
    """
    try:
        lowest = int(_KERNELS_OWN.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        lowest = 32768
    places = range(_LOWEST, max(lowest - 10, _LOWEST + 10), 10)
    return [secrets.choice(places) for _ in range(200)]


def _free_ports(places: Iterable[int]) -> tuple[dict[str, int], Claim | None]:
    """Three in a row from one of these places on that nobody listens on now, or any three."""
    for start in places:
        mark = reserve(start)
        if mark is not None and all(is_free(start + i) for i in range(len(_PORTS))):
            return {name: start + i for i, name in enumerate(_PORTS)}, mark
        if mark is not None:
            mark.release()
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in _PORTS]
    ports = {name: int(probe.getsockname()[1]) for name, probe in zip(_PORTS, probes, strict=True)}
    for probe in probes:
        probe.close()
    return ports, None


def _toml(table: dict[str, Any], path: str = "") -> str:
    """TOML for the plain tables above: text, numbers, lists, and tables in tables."""
    plain = {k: v for k, v in table.items() if not _is_section(v)}
    lines = [f"{k} = {_value(v)}" for k, v in plain.items()]
    for key, value in table.items():
        if not _is_section(value):
            continue
        name = f"{path}.{key}" if path else key
        for each in value if isinstance(value, list) else [value]:
            brackets = f"[[{name}]]" if isinstance(value, list) else f"[{name}]"
            lines += ["", brackets, _toml(each, name).rstrip()]
    return "\n".join(lines) + "\n"


def _is_section(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and isinstance(value[0], dict)
    return isinstance(value, dict) and set(value) not in ({"file"}, {"env"})


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(
        value, ensure_ascii=False
    )  # JSON's way to escape what is beyond 16 bits is none of TOML's
