"""config.toml -> settings: all mistakes at once, secrets by reference only.

The only module of the bot that reads the environment.
"""

from __future__ import annotations

import datetime
import json
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from bot.config_gateway import BudgetSettings, GatewaySettings
from bot.config_mistakes import dotted, mistakes_of, shown, shown_key, unknown_key
from bot.config_models import (
    SECTIONS,
    CoreSettings,
    GitSettings,
    LimitSettings,
    PermissionSettings,
    PluginSettings,
    Schemas,
    SlackSettings,
    WebSettings,
)
from bot.config_secrets import References, named_tables
from bot.domain import Repository
from bot.errors import ConfigError, Mistake

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_MISTAKES = 100

M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that was configured, checked. `sections` holds each plugin's own, by plugin name."""

    data: Path
    slack: SlackSettings
    web: WebSettings
    permissions: PermissionSettings
    limits: LimitSettings
    git: GitSettings
    gateway: GatewaySettings
    budgets: BudgetSettings
    plugins: PluginSettings
    repositories: tuple[Repository, ...]
    sections: Mapping[str, BaseModel]


class SchemaSource(Protocol):
    """Whoever knows the plugins' sections; `bot.plugins.Plugins` does."""

    def schemas(self, settings: PluginSettings) -> Schemas: ...


def load(
    path: Path, plugins: SchemaSource | None = None, *, environment: Mapping[str, str] | None = None
) -> Settings:
    """Read and check a configuration file; ConfigError holds every mistake in it.

    Relative paths in it are relative to its folder. `environment` replaces the process's own.
    """
    where = str(path)
    return parse(read(path), where, plugins, folder=path.absolute().parent, environment=environment)


def read(path: Path) -> dict[str, Any]:
    """The bare TOML table of a file; ConfigError when there is none to be had."""
    where = str(path)
    try:
        text = _bytes(path).decode()
        table = tomllib.loads(text)
    except FileNotFoundError:
        fix = f"Make it: cp config.example.toml {path}, then follow the notes in it."
        raise ConfigError([Mistake(where, "a configuration file", "no file", fix)], where) from None
    except OSError as error:
        fix = "Make it a plain file that the bot's user can read."
        got = (error.strerror or "an unreadable file").lower()
        raise ConfigError([Mistake(where, "a readable file", got, fix)], where) from None
    except (ValueError, RecursionError) as error:
        raise ConfigError([_syntax(where, error)], where) from None
    return table


def _bytes(path: Path) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not make us wait
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise OSError(0, "not a regular file")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise OSError(0, f"more than {MAX_BYTES} bytes")
    return content


def _syntax(where: str, error: Exception) -> Mistake:
    match error:
        case UnicodeDecodeError():
            got = f"a byte that is not UTF-8 at position {error.start}"
        case tomllib.TOMLDecodeError():
            got = str(error).rstrip(".")
        case RecursionError():
            got = "tables nested too deep"
        case _:
            got = "a number too long to read"
    return Mistake(where, "TOML", got, "Correct that line; https://toml.io shows how TOML is written.")


def parse(
    table: Mapping[str, Any],
    where: str,
    plugins: SchemaSource | None = None,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Check a table as `load` does a file; `where` names it in errors, `folder` is the base of its paths."""
    if hostile := list(_hostile(table)):
        raise ConfigError(hostile, where)
    base = Path.cwd() if folder is None else folder
    known = os.environ if environment is None else environment
    return _Check(where, base, References(base, known)).settings(table, plugins)


def _hostile(table: Mapping[str, Any]) -> Iterator[Mistake]:
    """What no setting can be and would break the checks themselves or whoever is handed it later."""
    waiting: list[tuple[tuple[int | str, ...], Any]] = [((), dict(table))]
    while waiting:
        location, value = waiting.pop()
        if len(location) > MAX_DEPTH:
            yield Mistake(dotted("", location[:3]), f"at most {MAX_DEPTH} levels", "more", "Flatten it.")
            return
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            yield Mistake(dotted("", location), "a 64-bit number", "a longer one", "Write a smaller number.")
        if isinstance(value, str) and "\0" in value:  # no file, no program and no service takes one
            yield Mistake(dotted("", location), "text without NUL", "text with one in it", "Take it out.")
        if isinstance(value, dict):
            waiting.extend(((*location, key), inner) for key, inner in value.items())
        if isinstance(value, list):
            waiting.extend(((*location, at), inner) for at, inner in enumerate(value))


class _Check:
    """One pass over one table, gathering mistakes."""

    def __init__(self, where: str, folder: Path, references: References) -> None:
        self._where, self._folder, self._references = where, folder, references
        self._mistakes: list[Mistake] = []

    def settings(self, table: Mapping[str, Any], source: SchemaSource | None) -> Settings:
        names = CoreSettings.model_fields.keys()
        core = {name: table.get(name, {}) for name in SECTIONS}
        core |= {name: value for name, value in table.items() if name in names}
        checked = self._validate(CoreSettings, core, "")
        schemas = self._schemas(core["plugins"], source)
        if checked is not None and schemas is not None and source is not None:
            required = checked.permissions.required_plugins
            self._check_names("permissions.required_plugins", required, schemas)
        sections = self._sections({k: v for k, v in table.items() if k not in names}, schemas)
        if checked is None or self._mistakes:
            raise ConfigError(self._mistakes[:MAX_MISTAKES], self._where)
        return self._built(checked, sections)

    def _built(self, core: CoreSettings, sections: dict[str, BaseModel]) -> Settings:
        return Settings(
            data=self._folder / core.data.expanduser(),
            slack=core.slack,
            web=core.web,
            permissions=core.permissions,
            limits=core.limits,
            git=core.git,
            gateway=core.gateway,
            budgets=core.budgets,
            plugins=self._located(core.plugins),
            repositories=tuple(each.repository() for each in core.repositories),
            sections=MappingProxyType(sections),
        )

    def _located(self, plugins: PluginSettings) -> PluginSettings:
        if plugins.folder is None:
            return plugins
        return plugins.model_copy(update={"folder": self._folder / plugins.folder.expanduser()})

    def _schemas(self, section: Any, source: SchemaSource | None) -> Schemas | None:
        """What the plugins expect; None when that cannot be known because their own section is wrong."""
        try:
            settings = _checked(PluginSettings, section, None)
        except ValidationError:
            return None  # said already, as part of the core's settings
        schemas = Schemas() if source is None else source.schemas(self._located(settings))
        self._mistakes += schemas.mistakes
        if source is not None:
            self._check_names("plugins.disabled", settings.disabled, schemas)
        return schemas

    def _check_names(self, key: str, names: Sequence[str], schemas: Schemas) -> None:
        for at, name in enumerate(names):
            if name not in schemas.names:
                mistake = unknown_key(f"{key}[{at + 1}]", name, schemas.names)
                self._mistakes.append(replace(mistake, expected="the name of a plugin", got=shown(name)))

    def _sections(self, tables: Mapping[str, Any], schemas: Schemas | None) -> dict[str, BaseModel]:
        if schemas is None:
            return {}
        for name in sorted(tables.keys() - schemas.models.keys() - schemas.unread):
            self._mistakes.append(self._stray(name, schemas))
        sections = {}
        for name, model in schemas.models.items():
            section = self._validate(model, tables.get(name, {}), name)
            if section is not None:
                sections[name] = section
        return sections

    def _stray(self, name: str, schemas: Schemas) -> Mistake:
        if name in schemas.without:
            return Mistake(name, "nothing", "a section", "That plugin takes no settings; remove it.")
        return unknown_key(shown_key(name), name, [*CoreSettings.model_fields, *schemas.names])

    def _validate(self, model: type[M], table: Any, prefix: str) -> M | None:
        try:
            return _checked(model, table, self._references)
        except ValidationError as error:
            self._mistakes += mistakes_of(error, model, prefix)
        except Exception as error:  # a plugin's own validator may raise anything, and must not end the check
            what = f"a check that works, but it raised {type(error).__name__}"
            self._mistakes.append(Mistake(prefix, what, "an error", f"Disable plugin {prefix} or mend it."))
        return None


def _checked(model: type[M], table: Any, references: References | None) -> M:
    # As JSON, because strict JSON takes lists for tuples and text for paths and enums, as TOML means them.
    text = json.dumps(table, default=_plain)
    extra: Literal["forbid"] | None = None if named_tables(model) else "forbid"
    return model.model_validate_json(text, strict=True, extra=extra, context=references)


def _plain(value: Any) -> str:
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    raise TypeError(f"no TOML value: {type(value).__name__}")
