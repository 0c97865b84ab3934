"""The page's own API: what one person sees, and a socket that tells of each change."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp import web

from bot.playground import people
from bot.playground.slack import bodies, views
from bot.playground.slack.bodies import Body
from bot.playground.slack.code_host import CodeHost
from bot.playground.slack.errors import ControlError
from bot.playground.slack.files import image_type
from bot.playground.slack.guard import require_token
from bot.playground.slack.messages import Json, Message
from bot.playground.slack.workspace import Change, Workspace

MAX_QUEUED = 2000
FILES = Path(__file__).parents[1] / "page"
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; font-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Page:
    """Handlers of the page. Its files hold no data and need no token; everything else does."""

    def __init__(self, workspace: Workspace, code_host: CodeHost, token: str, pages_token: str) -> None:
        self._workspace = workspace
        self._code_host = code_host
        self._token = token
        self._pages_token = pages_token
        self._sockets: set[web.WebSocketResponse] = set()

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [
            web.get("/", self.index),
            web.get("/static/{name}", self.static),
            web.get("/archives/{channel}/{message}", self.archive),
            web.get("/page/state", self.state),
            web.get("/page/messages", self.messages),
            web.get("/page/events", self.events),
            web.get("/page/file", self.file),
        ]

    async def close(self) -> None:
        """Close every page's socket."""
        for socket in list(self._sockets):
            await socket.close()

    async def index(self, _: web.Request) -> web.Response:
        """The page."""
        return _file("index.html")

    async def static(self, request: web.Request) -> web.Response:
        """One of its files."""
        return _file(request.match_info["name"])

    async def archive(self, request: web.Request) -> web.Response:
        """A permalink: on to the page, which opens the message."""
        channel, digits = request.match_info["channel"], request.match_info["message"].removeprefix("p")
        if channel not in people.CHANNELS or not (digits.isascii() and digits.isdigit()) or len(digits) < 7:
            raise ControlError(404, "no such message")
        ts = f"{digits[:-6]}.{digits[-6:]}"
        message = self._workspace.messages.get(channel, ts)
        thread_ts = message.root_ts if message else ts
        raise web.HTTPFound(f"/?channel={channel}&thread_ts={thread_ts}&ts={ts}")

    async def state(self, request: web.Request) -> web.Response:
        """Everything the page needs to draw its frame for one person."""
        me, _ = self._reader(request)
        visible = [channel for channel in people.CHANNELS.values() if channel.user in (None, me.id)]
        state = {
            "team": {"id": people.TEAM_ID, "name": people.TEAM_NAME},
            "me": _user(me),
            "users": [_user(person) for person in people.PEOPLE.values()],
            "channels": [self._channel(channel, me) for channel in visible],
            "bot": {
                "id": people.BOT_ID,
                "user_id": people.BOT_USER_ID,
                "name": people.BOT.real_name,
                "connected": self._workspace.deliveries.connected > 0,
            },
            "commands": [vars(command) for command in people.COMMANDS],
            "github_url": self._code_host.url,
            "github_token": self._pages_token,
            "repositories": self._code_host.repositories(),
        }
        return web.json_response(state)

    def _channel(self, channel: people.Channel, me: people.Person) -> Json:
        return {
            "id": channel.id,
            "name": channel.name or people.BOT.real_name,
            "topic": channel.topic,
            "is_im": channel.is_im,
            "user": people.BOT_USER_ID if channel.is_im else None,
            "is_member": self._workspace.is_member(channel.id, me.id),
            "bot_is_member": self._workspace.is_member(channel.id, people.BOT_USER_ID),
        }

    async def messages(self, request: web.Request) -> web.Response:
        """A channel's top level, or with `thread_ts` one thread, as one person sees it."""
        me, query = self._reader(request)
        channel, thread_ts = query.text("channel"), query.maybe("thread_ts")
        place = people.CHANNELS.get(channel)
        if place is None or place.user not in (None, me.id):
            raise ControlError(404, f"{me.name} sees no channel {channel!r}")
        kept = self._workspace.messages
        found = kept.thread(channel, thread_ts) if thread_ts else kept.roots(channel)
        shown = [self._shown(message) for message in found if message.ephemeral_to in (None, me.id)]
        listed = [message for message in shown if not message["deleted"] or message["reply_count"]]
        return web.json_response({"messages": listed, "statuses": self._workspace.statuses(channel)})

    def _shown(self, message: Message) -> Json:
        return views.page_message(message, self._workspace.messages.replies(message.channel, message.ts))

    async def file(self, request: web.Request) -> web.Response:
        """A file, for those who see where it was posted. Only images are of a kind that a browser shows."""
        me, query = self._reader(request)
        file = self._workspace.files.get(query.text("id"))
        content = self._workspace.files.content(file.id) if file else None
        if file is None or content is None or not any(_sees(me, channel) for channel, *_ in file.shares):
            raise ControlError(404, f"{me.name} sees no such file")
        headers = {
            **HEADERS,
            "Content-Security-Policy": "sandbox; default-src 'none'",
            "Content-Type": image_type(content) or "application/octet-stream",
            "Content-Disposition": "attachment",
        }
        return web.Response(body=content, headers=headers)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """A WebSocket of changes; after a `resync` the client must fetch again."""
        me, _ = self._reader(request)
        socket = web.WebSocketResponse(heartbeat=20)
        await socket.prepare(request)
        changes: asyncio.Queue[Json] = asyncio.Queue(MAX_QUEUED)

        def watch(change: Change) -> None:
            if change.reader not in (None, me.id) or not _sees(me, change.channel):
                return
            if changes.full():
                while not changes.empty():
                    changes.get_nowait()
                changes.put_nowait({"type": "resync"})
            changes.put_nowait(change.data)

        self._workspace.watchers.append(watch)
        self._sockets.add(socket)
        writer = asyncio.create_task(_write(socket, changes))
        try:
            async for _message in socket:
                pass  # the page only listens; what it does goes through /control
        finally:
            self._workspace.watchers.remove(watch)
            self._sockets.discard(socket)
            writer.cancel()
        return socket

    def _reader(self, request: web.Request) -> tuple[people.Person, Body]:
        require_token(request, self._token)
        query = bodies.query(request)
        person = people.PEOPLE.get(query.text("user"))
        if person is None or person.is_bot:
            raise ControlError(404, "user must be one of the sample people")
        return person, query


async def _write(socket: web.WebSocketResponse, changes: asyncio.Queue[Json]) -> None:
    try:
        while True:
            await socket.send_json(await changes.get())
    except ConnectionError:
        return  # the reader sees the same end


def _sees(person: people.Person, channel: str | None) -> bool:
    return channel is None or people.CHANNELS[channel].user in (None, person.id)


def _file(name: str) -> web.Response:
    path = FILES / name
    content_type = _TYPES.get(path.suffix)
    # A name is one path segment, so it cannot climb; unknown kinds are not served at all.
    if content_type is None or Path(name).name != name or not path.is_file():
        raise ControlError(404, f"no file {name!r}")
    return web.Response(body=path.read_bytes(), content_type=content_type, charset="utf-8", headers=HEADERS)


def _user(person: people.Person) -> Json:
    return {
        "id": person.id,
        "name": person.name,
        "real_name": person.real_name,
        "color": person.color,
        "is_bot": person.is_bot,
        "is_guest": person.is_guest,
        "github": person.github,
    }
