"""The whole bot: built from settings, started in order, closed in reverse."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient
from sqlite_utils import Migrations

from bot.admin import AdminServer
from bot.admin_commands import admin_commands, open_index
from bot.classify_commands import classify_commands
from bot.config import Settings, load
from bot.domain import SessionId
from bot.gateway import Gateway
from bot.git import Mirrors
from bot.permissions import Permissions
from bot.plugins import Plugins
from bot.registries import AgentRegistry, ProviderRegistry, RouteRegistry, Service, ServiceRegistry
from bot.sessions import Observers, Sessions
from bot.sessions.house import House
from bot.slack.backfill import Backfill
from bot.slack.commands import SlackCommands
from bot.slack.edge import SlackEdge
from bot.slack.listener import Listener
from bot.slack.looking import REQUEST_SECONDS
from bot.slack.outbox import OF_NO_SESSION, Outbox
from bot.slack.own_commands import register_own_commands
from bot.slack.progress import Progress
from bot.slack.route_command import register_route_command
from bot.slack.workspace import SlackWorkspace
from bot.web.server import Ping, WebServer
from storage import (
    DataFolder,
    Executor,
    IndexFile,
    NoSession,
    SessionFile,
    SessionStore,
    StateFile,
    StorageError,
)

log = logging.getLogger(__name__)


class Bot:
    """`await start()`, then `await close()`. The parts are public for tests and for the admin socket."""

    house: House
    sessions: Sessions
    commands: SlackCommands
    outbox: Outbox
    progress: Progress
    observers: Observers
    slack: SlackEdge
    web: WebServer

    def __init__(self, settings: Settings, plugins: Plugins) -> None:
        self.settings = settings
        self.plugins = plugins
        self.agents = AgentRegistry()
        self.providers = ProviderRegistry()
        self._routes = RouteRegistry()
        self._services = ServiceRegistry()
        self._listeners: tuple[Callable[[SessionId, int], None], ...] = ()
        self._refused: list[str] = []
        self._unstarted: dict[str, str] = {}
        self._stack = AsyncExitStack()

    @classmethod
    def from_file(cls, path: Path) -> Bot:
        """Raises ConfigError with all mistakes."""
        plugins = Plugins()
        return cls(load(path, plugins), plugins)

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Raises UserError or StorageError when it cannot; then everything begun is closed again."""
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close all in reverse. Safe to call twice."""
        await self._stack.aclose()

    async def _start(self) -> None:
        folder = DataFolder(self.settings.data)
        await asyncio.to_thread(folder.acquire)
        self._stack.callback(folder.release)
        store, state, index = await self._open_storage(folder)
        epoch = await state.next_epoch()
        self._stack.push_async_callback(self.plugins.close)
        gateway = Gateway(self.settings.gateway, self.settings.budgets, state)
        self._stack.push_async_callback(gateway.close)
        await self.plugins.setup(
            self.settings.sections,
            self.settings.repositories,
            self.settings.data,
            epoch,
            gateway.models,
            gateway.ask,
        )
        self._register()
        client, http = self._slack_client(await self._stack.enter_async_context(_http()))
        workspace = SlackWorkspace(client)
        permissions = Permissions(self.plugins, self.settings.permissions)
        self.house = House(
            settings=self.settings,
            plugins=self.plugins,
            permissions=permissions,
            directory=workspace,
            folder=folder,
            store=store,
            state=state,
            index=index,
            mirrors=await self._mirrors(folder),
            gateway=gateway,
            agents=self.agents.recipes,
            default_agent=self.agents.default,
            epoch=epoch,
        )
        self.sessions = Sessions(self.house)
        await self._start_services()
        await self._build_slack(client, http, workspace, permissions)
        await self._start_web()
        await self._start_admin()
        await self._recover()
        await self.slack.start()
        self._stack.push_async_callback(self.slack.stop)
        log.info("ready: %s, epoch %d", self.web.url, epoch)

    # -- parts -----------------------------------------------------------------------------------

    async def _open_storage(self, folder: DataFolder) -> tuple[SessionStore, StateFile, IndexFile]:
        executor = Executor()
        self._stack.callback(executor.close)
        ours, derived = Migrations("plugins"), Migrations("plugins")
        self._ask_plugins("register_migrations", state=ours, index=derived)
        state = await StateFile.open(folder.state_path, executor, plugins=ours)
        self._stack.push_async_callback(state.close)
        index, anew = await open_index(folder.index_path, executor, derived)
        self._stack.push_async_callback(index.close)
        store = SessionStore(folder, executor)
        self._stack.push_async_callback(store.close)
        if anew:
            await index.rebuild(store)
        store.opened.append(self._watch)
        return store, state, index

    def _watch(self, file: SessionFile) -> None:
        """Publish after commit: the edges read what they need by cursor, each at its own pace."""
        file.listeners.append(self._committed)

    def _committed(self, session: str, last_seq: int) -> None:
        for listener in self._listeners:
            listener(SessionId(session), last_seq)

    def _register(self) -> None:
        self._ask_plugins("register_agents", agents=self.agents)
        self._ask_plugins("register_providers", providers=self.providers)
        self._ask_plugins("register_routes", routes=self._routes)
        self._ask_plugins("register_services", services=self._services)

    def _ask_plugins(self, hook: str, **registry: object) -> None:
        """What a plugin could not register is named in `/ready`, and in the log."""
        for answer in self.plugins.call_sync(hook, **registry):
            if answer.error is not None:
                log.error("plugin %s in %s: %s", answer.plugin, hook, answer.error)
                self._refused.append(f"plugin {answer.plugin} failed in {hook}: {answer.error}")

    async def _mirrors(self, folder: DataFolder) -> Mirrors:
        mirrors = Mirrors(folder.mirrors)
        await asyncio.to_thread(mirrors.sweep)
        self._stack.push_async_callback(mirrors.close)
        return mirrors

    async def _start_services(self) -> None:
        """One that cannot start is named in `/ready`, and keeps nobody else from starting."""
        for service in self._services.services:
            try:
                await service.start()
            except Exception as error:  # a plugin's, and one broken plugin never stops the bot
                log.exception("service %s cannot start", service.name)
                self._unstarted[service.name] = type(error).__name__
            else:
                self._stack.push_async_callback(_stopping(service))

    def _slack_client(self, http: aiohttp.ClientSession) -> tuple[AsyncWebClient, aiohttp.ClientSession]:
        """The client of effects: nothing is repeated behind the outbox's back."""
        slack = self.settings.slack
        client = AsyncWebClient(slack.bot_token.reveal(), slack.api_url, session=http, retry_handlers=[])
        return client, http

    async def _build_slack(
        self,
        client: AsyncWebClient,
        http: aiohttp.ClientSession,
        workspace: SlackWorkspace,
        permissions: Permissions,
    ) -> None:
        self.progress = Progress(client, self.sessions, workspace)
        self._stack.push_async_callback(self.progress.close)
        self.outbox = Outbox(client, self.sessions, self.progress)
        self._stack.push_async_callback(self.outbox.close)
        self.observers = Observers(self.house)
        self._stack.push_async_callback(self.observers.close)
        self._stack.push_async_callback(self.sessions.close)
        self._listeners = (self.outbox.notify, self.progress.notify, self.observers.notify)
        self.house.state.listeners.append(lambda name, seq: self.outbox.notify(SessionId(name), seq))
        self.commands = SlackCommands(permissions, workspace, self.settings.slack.command)
        register_own_commands(self.commands, client, self.house.index)
        register_route_command(self.commands, self.house)
        self._ask_plugins("register_commands", commands=self.commands)
        listener = Listener(client, self.sessions, permissions, workspace, self.progress)
        backfill = Backfill(client, workspace, self.house.state, self.house.index, listener)
        self.slack = SlackEdge(self.settings.slack, http, listener, self.commands, backfill)

    async def _start_web(self) -> None:
        pings: dict[str, Ping] = {"slack": self.slack.ping, "storage": self._ping_storage}
        pings |= {s.name: s.ping for s in self._services.services if s.ping is not None}
        self.web = WebServer(self.settings.web, pings, self.sessions.work, self._notices, self._routes.routes)
        await self.web.start()
        self._stack.push_async_callback(self.web.stop)

    async def _start_admin(self) -> None:
        commands = {**admin_commands(self.house), **classify_commands(self.house)}
        admin = AdminServer(self.house.folder.admin_socket, commands)
        await admin.start()
        self._stack.push_async_callback(admin.stop)

    async def _recover(self) -> None:
        """What an earlier boot owes; its streams are closed, so that nothing looks alive that is not."""
        await self.outbox.tidy()
        owed = await self.sessions.recover()
        self._stack.push_async_callback(self._cancel_recovery)
        self._recovery = asyncio.create_task(self._catch_up(owed), name="recovery")

    async def _catch_up(self, owed: list[SessionId]) -> None:
        """Messages first: decoration asks Slack many times, and waits where Slack is slow.

        Until then each stays marked, or a crash in between would leave streams that nobody looks for again.
        """
        async with AsyncExitStack() as marks:
            for session in owed:
                await marks.enter_async_context(self.house.state.marking(session))
            self.outbox.notify(OF_NO_SESSION, 0)
            for session in owed:
                self.outbox.notify(session, 0)
                self.observers.catch_up(session)
            try:
                await self.observers.recover()
            except Exception:  # whatever it is, the threads still show what an earlier boot left open
                log.exception("plugins may not be shown all that an earlier boot did not show them")
            for session in owed:
                await self.progress.take_up(session)
        for session in owed:
            with suppress(StorageError, NoSession):  # said where it was found
                await self.sessions.settle(session)

    async def _cancel_recovery(self) -> None:
        self._recovery.cancel()
        await asyncio.gather(self._recovery, return_exceptions=True)

    async def _ping_storage(self) -> None:
        """A full disk and one that is read-only let everything be read."""
        await self.house.state.set("ping", self.house.epoch)

    def _notices(self) -> list[str]:
        left_out = [f"plugin {broken.name} is left out: {broken.reason}" for broken in self.plugins.broken]
        unstarted = [
            f"service {name} cannot start: {kind}, see the log" for name, kind in self._unstarted.items()
        ]
        return left_out + self._refused + unstarted


def _stopping(service: Service) -> Callable[[], Awaitable[None]]:
    async def stop() -> None:
        try:
            await service.stop()
        except Exception:  # a plugin's; whatever else is open has to be closed all the same
            log.exception("service %s did not stop well", service.name)

    return stop


def _http() -> aiohttp.ClientSession:
    """Slack's SDK leaves the time limit to the session it is given; the outbox counts on this one."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS))
