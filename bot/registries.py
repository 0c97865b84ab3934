"""What plugins hand in at start: agents, providers, routes, services. Names are taken once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web

from bot.domain import AgentRecipe, Finding, Limits, Provider
from bot.errors import UserError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AgentRegistry:
    """Recipes by name; the first one is the default."""

    def __init__(self) -> None:
        self.recipes: dict[str, AgentRecipe] = {}

    def add(self, recipe: AgentRecipe) -> None:
        if recipe.name in self.recipes:
            raise UserError(f"There are two agents named {recipe.name}. Rename one of them.")
        self.recipes[recipe.name] = recipe

    @property
    def default(self) -> str:
        """Empty when no plugin brought an agent."""
        return next(iter(self.recipes), "")


class ProviderRegistry:
    """Providers by name, for the pages and commands that show them."""

    def __init__(self) -> None:
        self.providers: dict[str, Provider] = {}
        self.limits: dict[str, Limits] = {}

    def add(self, provider: Provider, limits: Limits | None = None) -> None:
        if provider.name in self.providers:
            raise UserError(f"There are two sandbox providers named {provider.name}. Rename one of them.")
        self.providers[provider.name] = provider
        self.limits[provider.name] = Limits() if limits is None else limits


class RouteRegistry:
    """Routes of plugins, mounted into the bot's server."""

    def __init__(self) -> None:
        self.routes: list[tuple[str, str, Handler]] = []

    def add(self, method: str, path: str, handler: Handler) -> None:
        if not path.startswith("/") or path.split("/")[1] in {"api", "live", "ready", "metrics"}:
            raise UserError(f"The route {path} is the core's own or no path. Choose another one.")
        self.routes.append((method, path, handler))


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    run: Callable[[], Awaitable[Sequence[Finding]]]
    seconds: float


class CheckRegistry:
    """What `threadsmith doctor` tries, in this order on its page."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def add(
        self, name: str, check: Callable[[], Awaitable[Sequence[Finding]]], *, seconds: float = 20.0
    ) -> None:
        self.checks.append(Check(name, check, seconds))


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]
    ping: Callable[[], Awaitable[None]] | None


class ServiceRegistry:
    """Background work, started in order and stopped in reverse."""

    def __init__(self) -> None:
        self.services: list[Service] = []

    def add(
        self,
        name: str,
        *,
        start: Callable[[], Awaitable[None]],
        stop: Callable[[], Awaitable[None]],
        ping: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.services.append(Service(name, start, stop, ping))
