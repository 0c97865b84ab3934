"""Every setting of the core: its type, its default and its line of help."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, Field, ValidationInfo, field_validator
from pydantic_core import PydanticUndefined

from bot.config_gateway import BudgetSettings, Destination, GatewaySettings
from bot.config_secrets import Section, named_tables
from bot.config_words import Count, Seconds, Url, Word, refuse
from bot.domain import Repository
from bot.errors import Mistake
from storage import Secret

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9._-]{1,100}")
_BRANCH = re.compile(r"(?!.*(?:\.\.|//|@\{|\.lock(?:/|$)))[A-Za-z0-9_][A-Za-z0-9._/@+#-]{0,199}(?<![/.])")


class SlackSettings(Section):
    """How to reach Slack."""

    bot_token: Secret = Field(description="The bot token (xoxb-…) from your app's OAuth & Permissions page.")
    app_token: Secret = Field(
        description="The app-level token (xapp-…) with connections:write, for Socket Mode."
    )
    api_url: Url = Field(
        "https://slack.com/api/", description="Slack's Web API; only tests and the demo change it."
    )
    command: str = Field(
        "/threadsmith", pattern=r"^/[a-z0-9_-]{1,31}$", description="The slash command of your Slack app."
    )


class WebSettings(Section):
    """The bot's own HTTP server."""

    host: Word = Field(
        "127.0.0.1", description="The address to listen on; loopback unless a proxy stands before it."
    )
    port: int = Field(8710, ge=0, le=65535, description="The port to listen on; 0 takes any free one.")
    public_url: Url | None = Field(
        None, description="How people's browsers reach it, for links in threads; host and port when left out."
    )


class PermissionSettings(Section):
    """Who may do anything at all; plugins can only deny more."""

    allow_guests: bool = Field(False, description="May guests of the workspace start and steer sessions?")
    allow_strangers: bool = Field(False, description="May people of other organisations, in shared channels?")
    bots: list[Word] = Field([], description="User ids of the bots that may; all others are ignored.")
    required_plugins: list[Word] = Field(
        [], description="Plugins that must have a say: while one of them is not working, all is denied."
    )
    channels: list[Word] = Field(
        [], description="Channel ids or names the bot works in; empty means all it was invited to."
    )


class LimitSettings(Section):
    """The bounds of everything; what hits one ends cleanly and says which."""

    running_turns: Count = Field(4, description="Turns that run at the same time, in all.")
    running_turns_per_person: Count = Field(2, description="Turns of one person that run at the same time.")
    queue_length: Count = Field(20, description="Prompts that may wait in one thread.")
    sessions_per_person: Count = Field(20, description="Open sessions of one person.")
    attempts: Count = Field(
        3, description="How often a turn is tried when the machine keeps failing under it."
    )
    turn_seconds: Seconds = Field(3600, description="The longest a turn may take, in seconds.")
    idle_seconds: Seconds = Field(
        300, description="The longest an agent may say nothing before its turn is ended, in seconds."
    )
    message_chars: Count = Field(20000, description="The longest prompt, in characters.")
    lease_idle_seconds: Seconds = Field(
        600, description="How long a quiet thread keeps its sandbox, in seconds."
    )
    bundle_mib: Count = Field(64, description="The most a turn may hand out of its sandbox, in MiB.")
    changed_files: Count = Field(2000, description="The most files one turn may change.")


class GitSettings(Section):
    """The bot's side of a commit, and what it refuses to push."""

    bot_name: Word = Field("Threadsmith", description="The committer's name.")
    bot_email: str = Field(
        "threadsmith@example.com", pattern=r"^[^\s<>@]+@[^\s<>@]+$", description="The committer's e-mail."
    )
    allow_workflow_changes: bool = Field(
        False, description="May a turn change files below .github/workflows?"
    )
    blob_mib: Count = Field(20, description="The largest file a turn may add, in MiB.")


class PluginSettings(Section):
    """Which plugins are loaded besides the built-in ones."""

    folder: Path | None = Field(
        None, description="A folder of plugins: each *.py file or package in it is one."
    )
    disabled: list[Word] = Field([], description="Names of plugins to leave out, built-in ones too.")


class RepositorySettings(Section):
    """One repository that people can work on."""

    name: str = Field(description="`owner/name`, as on GitHub.")
    description: str = Field(
        "", max_length=1000, description="What it is, in a sentence; helps to choose it."
    )
    keywords: list[Word] = Field([], description="Words in a message that mean this repository.")
    channels: list[Word] = Field([], description="Channel ids or names whose default it is.")
    default_branch: str = Field("main", description="The branch that work starts from and is proposed to.")
    agent: Word | None = Field(
        None, description="The agent that works on it; the first one there is when left out."
    )
    egress: list[Destination] = Field(
        [], description="Hosts its sandboxes may reach, besides those of [gateway]."
    )

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name) or name.endswith((".git", "/.", "/..")):
            raise refuse("`owner/name`", 'Write it as in name = "acme/storefront".')
        return name

    @field_validator("default_branch")
    @classmethod
    def _is_a_branch(cls, branch: str) -> str:
        if not _BRANCH.fullmatch(branch):
            raise refuse("the name of a branch", 'Write it as in default_branch = "main".')
        return branch

    def repository(self) -> Repository:
        return Repository(
            name=self.name,
            description=self.description,
            keywords=tuple(self.keywords),
            channels=tuple(self.channels),
            default_branch=self.default_branch,
            agent=self.agent,
            egress=tuple(self.egress),
        )


class CoreSettings(Section):
    """All top-level settings that are not a plugin's."""

    data: Path = Field(Path("data"), description="Where everything is kept; relative to this file.")
    slack: SlackSettings
    web: WebSettings
    permissions: PermissionSettings
    limits: LimitSettings
    git: GitSettings
    gateway: GatewaySettings
    budgets: BudgetSettings
    plugins: PluginSettings
    repositories: list[RepositorySettings] = Field([], description="The repositories people can work on.")

    @field_validator("repositories")
    @classmethod
    def _named_once(cls, repositories: list[RepositorySettings]) -> list[RepositorySettings]:
        seen: set[str] = set()
        for repository in repositories:
            name = repository.name.casefold()  # GitHub tells no upper from lower case
            if name in seen:
                raise refuse(f"every repository once, not {repository.name} twice", "Remove one of the two.")
            seen.add(name)
        return repositories

    @field_validator("repositories")
    @classmethod
    def _routes_know_them(
        cls, repositories: list[RepositorySettings], info: ValidationInfo
    ) -> list[RepositorySettings]:
        """A route for a misspelt repository would be one for nobody."""
        gateway: GatewaySettings | None = info.data.get("gateway")  # None when it is wrong itself
        known = {repository.name for repository in repositories}
        for route in gateway.routes if gateway is not None else []:
            for name in route.repositories:
                if name not in known:
                    fix = f'Add it, or mend `repositories` of [[gateway.routes]] name = "{route.name}".'
                    raise refuse(f"a repository {name}, which a route is for", fix)
        return repositories


SECTIONS: tuple[str, ...] = tuple(
    name for name in CoreSettings.model_fields if name not in ("data", "repositories")
)


@dataclass(frozen=True, slots=True)
class Schemas:
    """What the plugins said about their sections.

    `models`: plugin name -> the model of its section. `without`: plugins that take no settings.
    `unread`: plugins that are disabled or broken, whose sections nobody can check.
    """

    models: Mapping[str, type[BaseModel]] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()
    mistakes: tuple[Mistake, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.models) | self.without | self.unread


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One setting as the example and the documentation show it. `default` is None when there is none."""

    section: str
    key: str
    required: bool
    default: Any
    help: str


def setting_rows(model: type[BaseModel], section: str) -> Iterator[SettingRow]:
    """Every setting of one section's model, in order, then those of the tables in it.

    A table of tables, one for each name, is `section.key.*`; a list of tables is `section.key`. Tables under
    names of people's own choice are `section.*`.
    """
    for key, info in model.model_fields.items():
        if inner := _table_model(info.annotation):
            yield from setting_rows(inner, f"{section}.{key}")
        elif get_origin(info.annotation) is dict and (inner := _table_model(get_args(info.annotation)[1])):
            yield from setting_rows(inner, f"{section}.{key}.*")
        elif get_origin(info.annotation) is list and (inner := _table_model(get_args(info.annotation)[0])):
            yield from setting_rows(inner, f"{section}.{key}")
        else:
            default = info.get_default(call_default_factory=True, validated_data={})
            known = None if default is PydanticUndefined else default
            yield SettingRow(section, key, info.is_required(), known, info.description or "")
    if inner := named_tables(model):
        yield from setting_rows(inner, f"{section}.*")


def _table_model(annotation: Any) -> type[BaseModel] | None:
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def core_rows() -> Iterator[SettingRow]:
    """Every setting of the core; `section` is "" at the top and "repositories" for those of each one."""
    yield SettingRow("", "data", False, Path("data"), CoreSettings.model_fields["data"].description or "")
    for name in SECTIONS:
        if model := _table_model(CoreSettings.model_fields[name].annotation):
            yield from setting_rows(model, name)
    yield from setting_rows(RepositorySettings, "repositories")
