"""The Slack side as one server: builds the parts, mounts them, starts and stops."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from bot.playground.settings import PlaygroundSettings
from bot.playground.slack import guard, humans, interactions
from bot.playground.slack.api import Api
from bot.playground.slack.code_host import CodeHost, GitHub
from bot.playground.slack.control import Control
from bot.playground.slack.deliveries import RETRY_DELAYS
from bot.playground.slack.file_host import FileHost
from bot.playground.slack.idle import Idle
from bot.playground.slack.messages import Json
from bot.playground.slack.page import Page
from bot.playground.slack.sockets import Sockets
from bot.playground.slack.store import Store
from bot.playground.slack.workspace import Change, Workspace

MAX_BODY = 4 << 20


class SlackSide:
    """A Slack workspace on 127.0.0.1: Web API, Socket Mode, control API and page.

    `github` is the other side, if there is one; `bot_url()` says where the bot answers `/ready`, if known.
    `workspace` is there from the beginning, so that observers can be attached before the start.
    """

    def __init__(
        self,
        settings: PlaygroundSettings,
        github: GitHub | None = None,
        bot_url: Callable[[], str | None] | None = None,
        retry_delays: tuple[float, ...] = RETRY_DELAYS,
    ) -> None:
        self._settings = settings
        self._store = Store(settings.folder / "slack.db")
        self.workspace = Workspace(self._store, retry_delays, secret_prefix=settings.secret_prefix)
        self.workspace.deliveries.on_reply = self._replied
        self.workspace.deliveries.on_unanswered = self._unanswered
        code_host = CodeHost(github)
        self._sockets = Sockets(self.workspace.deliveries, self._connections_changed, settings.secret_prefix)
        self._idle = Idle(self.workspace, bot_url or (lambda: settings.bot_url))
        self._page = Page(self.workspace, code_host, settings.control_token, settings.pages_token)
        self._file_host = FileHost(self.workspace, settings)
        self._api = Api(self.workspace, settings, self._sockets)
        self._control = Control(self.workspace, self._sockets, code_host, self._idle, settings.control_token)
        self._runner: web.AppRunner | None = None
        self._port = settings.slack_port

    @property
    def url(self) -> str:
        """Where people and scripts go."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def api_url(self) -> str:
        """What a Slack client takes as its base URL."""
        return f"{self.url}/api/"

    async def start(self) -> None:
        """Listen; OSError if the port is taken."""
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=2.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        self._port = int(self._runner.addresses[0][1])
        self.workspace.base_url = self.url

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY, middlewares=[guard.local_only(lambda: self._port)])
        app.router.add_route("*", "/api/{method}", self._api.handle)
        app.router.add_get("/link/", self._sockets.serve)
        app.router.add_post("/response/{secret}", self._response_url)
        app.add_routes([*self._control.routes(), *self._page.routes(), *self._file_host.routes()])
        return app

    async def _response_url(self, request: web.Request) -> web.Response:
        return await interactions.response_url(request, self.workspace)

    async def close(self) -> None:
        """Hang up on everybody and close the file."""
        self.workspace.deliveries.close()
        await self._page.close()
        if self._runner is not None:
            await self._runner.cleanup()
        await self._idle.close()
        self._store.close()

    def _replied(self, kind: str, payload: Json, reply: Json) -> None:
        humans.reply_to(self.workspace, kind, payload, reply)

    def _unanswered(self, kind: str, payload: Json) -> None:
        humans.unanswered(self.workspace, kind, payload)

    def _connections_changed(self, number: int) -> None:
        self.workspace.tell(Change({"type": "bot", "connected": number > 0}))
