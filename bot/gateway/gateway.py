"""The gateway of one bot: what every door stands on."""

from __future__ import annotations

import weakref

import aiohttp

from bot.config_gateway import BudgetSettings, GatewaySettings, RouteKind, RouteSettings
from bot.domain import Models, Repository, Spender
from bot.gateway.bounds import ALL_CONNECTIONS, Deadlines, Room
from bot.gateway.door import Door, Ground
from bot.gateway.meter import Meter
from bot.gateway.model_route import ModelRoute
from bot.gateway.outside import Internet, Outside
from bot.gateway.own_calls import OwnCalls
from bot.gateway.routes import PlainRoute
from bot.gateway.words import Reply, Request, Watcher
from storage import StateFile


class Gateway:
    """`door` makes the way out of one turn; `ask` is our own way to a model."""

    def __init__(
        self,
        settings: GatewaySettings,
        budgets: BudgetSettings,
        state: StateFile,
        *,
        outside: Outside | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self.models = settings.known_models()
        self._settings = settings
        self.meter = Meter(budgets, state)
        self._own = OwnCalls(settings, self.meter)
        self.ask: Models = self._own
        self._outside: Outside = Internet() if outside is None else outside
        self._deadlines = Deadlines() if deadlines is None else deadlines
        self._http_session: aiohttp.ClientSession | None = None
        self._plain: dict[str, PlainRoute] = {}
        self._to_models: dict[str, ModelRoute] = {}
        self._doors: weakref.WeakSet[Door] = weakref.WeakSet()
        self._ground = Ground(
            egress=tuple(settings.egress),
            routes={route.name: route for route in settings.routes},
            serve_route=self._serve_route,
            outside=self._outside,
            deadlines=self._deadlines,
            connections=Room(ALL_CONNECTIONS),
        )

    def door(self, spender: Spender, repository: Repository, watcher: Watcher) -> Door:
        """The way out for one turn. Give it to the turn's sandbox, and close it when the turn ends."""
        door = Door(spender, repository, watcher, self._ground)
        self._doors.add(door)
        return door

    async def close(self) -> None:
        """Cut what is open, every door's."""
        for door in list(self._doors):
            await door.close()
        await self._own.close()
        if self._http_session is not None:
            await self._http_session.close()
        self._outside.close()

    @property
    def _http(self) -> aiohttp.ClientSession:
        """Nothing of the environment, of one answer or of one turn gets into the next request."""
        if self._http_session is None:
            self._http_session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                connector=aiohttp.TCPConnector(limit=0),  # the doors bound it
                trust_env=False,
                auto_decompress=False,
            )
        return self._http_session

    async def _serve_route(
        self, route: RouteSettings, request: Request, reply: Reply, spender: Spender, watcher: Watcher
    ) -> None:
        if route.kind is not RouteKind.PLAIN:
            await self._model_route(route).serve(request, reply, spender, watcher)
            return
        if route.name not in self._plain:
            self._plain[route.name] = PlainRoute(route, self._http, self._deadlines)
        await self._plain[route.name].serve(request, reply)

    def _model_route(self, route: RouteSettings) -> ModelRoute:
        if route.name not in self._to_models:
            self._to_models[route.name] = ModelRoute(
                route, self.models, self._http, self.meter, idle_seconds=self._deadlines.answer_seconds
            )
        return self._to_models[route.name]
