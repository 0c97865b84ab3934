"""Every hook, typed: the questions the core asks and the doors it opens. The file to read first.

A plugin is a module, or a class named `Plugin` in it, whose functions carry `@hookimpl`:

    from bot import Commands, hookimpl

    @hookimpl
    def register_commands(commands: Commands) -> None:
        @commands.add
        async def ping() -> str:
            "Check that I am awake."
            return "pong"

Any hook may be `async`. A hook may take fewer arguments than are offered. Each call has a time limit; a
plugin that raises or hangs is blamed by name in the log, and the others go on. Where a question has one
answer, the first that is not None counts, last registered first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pluggy

from bot.domain import (
    Action,
    AgentRecipe,
    Artifact,
    Change,
    Event,
    Finding,
    GitAccess,
    GitIdentity,
    GitPurpose,
    Lease,
    LeaseRequest,
    Limits,
    Model,
    Models,
    Person,
    Prompt,
    Provider,
    PullRequest,
    Repository,
    RepositoryAsk,
    RepositoryChoice,
    RepositoryQuestion,
    RepositoryStep,
    SessionId,
    Subject,
)

if TYPE_CHECKING:
    import click
    from aiohttp import web
    from pydantic import BaseModel
    from sqlite_utils import Migrations

PROJECT = "threadsmith"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

T = TypeVar("T")


# -- what the hooks are handed -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PluginContext:
    """What a plugin may know of the bot it serves. `settings` is its own section, already checked."""

    settings: Any
    repositories: Sequence[Repository]
    data: Path  # the plugin's own folder below the data folder, made when first asked for
    epoch: int  # this boot of the bot
    models: Sequence[Model] = ()  # those configured for the gateway, the default one first
    ask: Models | None = None  # our own calls to a model; None where there is no bot around the plugin


class Effects(Protocol):
    """Outside writes that must not happen twice, whatever crashes."""

    async def once(
        self,
        kind: str,
        key: str,
        *,
        intent: dict[str, Any],
        find: Callable[[], Awaitable[dict[str, Any] | None]],
        do: Callable[[], Awaitable[dict[str, Any]]],
    ) -> dict[str, Any]:
        """Commit `intent`, then `do`, and return its JSON result; a key done before returns its first result.

        After a crash or a lost reply `find` looks for the effect outside before `do` is ever run again.
        """


class Commands(Protocol):
    """The words people type after `/threadsmith`."""

    def add(self, function: Callable[..., Awaitable[str]]) -> Callable[..., Awaitable[str]]:
        """Register an async function under its name; its docstring is the help.

        It may take `text: str` (the rest of the line), `person: Person` and `channel: str` (where it was
        typed, by id); what it returns is shown to that person alone. A UserError's text is shown as it is.
        """


class Providers(Protocol):
    def add(self, provider: Provider, limits: Limits | None = None) -> None:
        """`limits` are what its sandboxes are bounded by as configured, for the published table of bounds."""


class Agents(Protocol):
    def add(self, recipe: AgentRecipe) -> None: ...


class Routes(Protocol):
    def add(
        self, method: str, path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> None: ...


class Services(Protocol):
    def add(
        self,
        name: str,
        *,
        start: Callable[[], Awaitable[None]],
        stop: Callable[[], Awaitable[None]],
        ping: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Background work, started in order and stopped in reverse; `ping` raises when it is unwell."""


class Checks(Protocol):
    """What `threadsmith doctor` tries."""

    def add(
        self, name: str, check: Callable[[], Awaitable[Sequence[Finding]]], *, seconds: float = 20.0
    ) -> None:
        """`check` tries something and says what it found, in one line or several, each with its fix.

        It leaves nothing behind, and may run beside a bot that works: `setup` was given a folder that is
        thrown away. A UserError's text is shown as broken.
        """


class Specs:
    """The hook specifications. Their order here is the order of a mention."""

    # -- set-up ----------------------------------------------------------------------------------

    @hookspec
    def config_schema(self) -> type[BaseModel] | None:
        """The pydantic model of the plugin's own section in config.toml, named like the plugin."""

    @hookspec
    def setup(self, context: PluginContext) -> None:
        """Called once at start, after every setting was checked and before any other hook."""

    @hookspec
    def register_migrations(self, state: Migrations, index: Migrations) -> None:
        """Add tables of your own to `state.db` (truth) or `index.db` (derived, may be thrown away)."""

    @hookspec
    def register_providers(self, providers: Providers) -> None:
        """Offer places where sandboxes are made."""

    @hookspec
    def register_agents(self, agents: Agents) -> None:
        """Offer agents that speak the Agent Client Protocol."""

    @hookspec
    def register_commands(self, commands: Commands) -> None:
        """Offer words after the slash command in Slack."""

    @hookspec
    def register_cli(self, cli: click.Group) -> None:
        """Offer commands of the `threadsmith` command line."""

    @hookspec
    def register_checks(self, checks: Checks) -> None:
        """Offer what `threadsmith doctor` tries: outside services and what is needed of this machine."""

    @hookspec
    def register_routes(self, routes: Routes) -> None:
        """Offer HTTP routes of the bot's own server."""

    @hookspec
    def register_services(self, services: Services) -> None:
        """Offer background work with a start, a stop and a ping."""

    # -- the way of a mention --------------------------------------------------------------------

    @hookspec
    def may(self, actor: Person, action: Action, subject: Subject) -> bool | None:
        """May this person do this? Every answer counts: any False wins, an error is a False."""

    @hookspec
    def choose_repository(self, question: RepositoryQuestion) -> RepositoryChoice | RepositoryAsk | None:
        """Which repository is meant? None passes the question on; the first choice or ask counts."""

    @hookspec
    def explain_repository(
        self, question: RepositoryQuestion, ask_model: bool
    ) -> Sequence[RepositoryStep] | None:
        """How `choose_repository` comes to its answer: each step in order, the first verdict counts.

        No model is asked unless `ask_model`, since that costs money.
        """

    @hookspec
    def repository_facts(self, repository: Repository) -> str | None:
        """A line or two about a repository that help to choose it."""

    @hookspec
    def git_access(
        self, repository: Repository, person: Person | None, purpose: GitPurpose
    ) -> GitAccess | None:
        """Where and with which credential the host fetches or pushes this repository for this person."""

    @hookspec
    def git_identity(self, person: Person) -> GitIdentity | None:
        """The name and e-mail this person's work is committed under; None when they have linked none."""

    @hookspec
    def lease_sandbox(self, request: LeaseRequest) -> Lease | None:
        """A sandbox for this session."""

    @hookspec
    def prompt_context(self, prompt: Prompt, repository: Repository) -> str | None:
        """Text that the agent is given before the prompt, as data and not as instructions."""

    @hookspec
    def publish(self, change: Change, effects: Effects) -> Sequence[Artifact | PullRequest] | None:
        """Make what people look at from a pushed change: a pull request, a preview, a screenshot."""

    @hookspec
    def find_pull_request(self, repository: Repository, branch: str) -> PullRequest | None:
        """The newest pull request of this branch as it is now, read from outside; raises when unreadable."""

    @hookspec
    def session_event(self, session: SessionId, event: Event) -> None:
        """Observe one committed event; each plugin has its own cursor, so a slow one delays nobody."""
