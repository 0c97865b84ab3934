"""The control API: the workspace and its people's hands, for scripts and tests."""

from __future__ import annotations

import base64
import math
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase

from aiohttp import web

from bot.playground import people
from bot.playground.faults import FaultRefused
from bot.playground.slack import bodies, views
from bot.playground.slack.api import APP_TOKEN_METHODS, METHODS, STREAM_METHODS
from bot.playground.slack.bodies import Body
from bot.playground.slack.code_host import CodeHost
from bot.playground.slack.deliveries import EVENTS
from bot.playground.slack.errors import ControlError
from bot.playground.slack.file_host import DOWNLOAD, UPLOAD
from bot.playground.slack.files import MAX_MESSAGE_BYTES, described
from bot.playground.slack.guard import require_token
from bot.playground.slack.humans import Humans
from bot.playground.slack.idle import Idle
from bot.playground.slack.messages import Json
from bot.playground.slack.sockets import Sockets
from bot.playground.slack.workspace import Workspace

Look = Callable[[Body], Awaitable[Json | list[Json]]]
Action = Callable[[Body], Awaitable[Json]]
MAX_IDLE_SECONDS = 600.0
MAX_SAID_BYTES = MAX_MESSAGE_BYTES * 4 // 3 + (1 << 20)
_CALLS = frozenset((*METHODS, *APP_TOKEN_METHODS, "api.test", UPLOAD, DOWNLOAD))
_SENT = frozenset(
    (
        *(EVENTS, "message", "app_mention", "message_changed", "message_deleted", "thread_broadcast"),
        *("reaction_added", "reaction_removed", "agent_session_stopped", "interactive", "block_actions"),
        *("slash_commands", *(command.command for command in people.COMMANDS)),
    )
)
STRUCK_BY = {
    "rate_limited": _CALLS,
    "server_error": _CALLS,
    "lost_reply": _CALLS,
    "refused": _CALLS,
    "stream_expired": STREAM_METHODS,
    "duplicate": _SENT,
}


class Control:
    """Handlers under `/control/`. Every one needs the token; actions are POST, looks are GET."""

    def __init__(
        self, workspace: Workspace, sockets: Sockets, code_host: CodeHost, idle: Idle, token: str
    ) -> None:
        self._workspace = workspace
        self._humans = Humans(workspace)
        self._sockets = sockets
        self._code_host = code_host
        self._idle = idle
        self._token = token

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        looks: dict[str, Look] = {
            "state": self.state,
            "thread": self.thread,
            "requests": self.requests,
            "pulls": self.pulls,
            "idle": self.idle,
            "file": self.file,
        }
        actions: dict[str, Action] = {
            "message": self.message,
            "edit": self.edit,
            "delete": self.delete,
            "react": self.react,
            "click": self.click,
            "command": self.command,
            "stop": self.stop,
            "view_submit": self.view_submit,
            "merge": self.merge,
            "review": self.review,
            "commit": self.commit,
            "fault": self.fault,
            "scopes": self.scopes,
        }
        return [
            *(web.get(f"/control/{name}", self._look(look)) for name, look in looks.items()),
            *(web.post(f"/control/{name}", self._act(action)) for name, action in actions.items()),
        ]

    def _look(self, look: Look) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(request: web.Request) -> web.Response:
            require_token(request, self._token)
            return web.json_response(await look(bodies.query(request)))

        return handler

    def _act(self, action: Action) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handler(request: web.Request) -> web.Response:
            require_token(request, self._token)
            if action == self.message:
                request = request.clone(client_max_size=MAX_SAID_BYTES)  # with files, as base64 in JSON
            return web.json_response(await action(await bodies.read(request)))

        return handler

    async def state(self, _: Body) -> Json:
        """The people, the channels each may be used in, the repositories, and the bot."""
        channels = [_channel(self._workspace, channel) for channel in people.CHANNELS.values()]
        return {
            "users": [_user(person) for person in people.HUMANS],
            "channels": channels,
            "repositories": self._code_host.repositories(),
            "bot": {
                "id": people.BOT_USER_ID,
                "name": people.BOT.name,
                "bot_id": people.BOT_ID,
                "connected": self._workspace.deliveries.connected > 0,
            },
            "team": {"id": people.TEAM_ID, "name": people.TEAM_NAME},
        }

    async def thread(self, query: Body) -> Json:
        """A thread as people see it: root first, with what was deleted flagged, and its session's status.

        Without `ts` the channel's top level, where answers to slash commands are.
        """
        channel, ts = query.text("channel"), query.maybe("ts")
        if ts is None:
            return self._top_level(channel)
        root = self._workspace.messages.get(channel, ts)
        if root is None:
            raise ControlError(404, f"no message {ts!r} in channel {channel!r}")
        messages = self._workspace.messages.thread(channel, root.root_ts)
        session = self._workspace.status(channel, root.root_ts)
        return {
            "messages": [views.control_message(message) for message in messages],
            "status": session["status"] if session else None,
            "session": session,
        }

    def _top_level(self, channel: str) -> Json:
        if channel not in people.CHANNELS:
            raise ControlError(404, f"no channel {channel!r}; /control/state lists them")
        messages = self._workspace.messages.roots(channel)
        return {"messages": [views.control_message(m) for m in messages], "status": None, "session": None}

    async def requests(self, _: Body) -> list[Json]:
        """Every call received, oldest first; `side` is slack or github."""
        ours = [{"side": "slack", **request} for request in self._workspace.requests()]
        theirs = [{"side": "github", **request} for request in self._code_host.requests()]
        return sorted([*ours, *theirs], key=lambda request: request["at"])

    async def pulls(self, _: Body) -> list[Json]:
        """The pull requests of all repositories."""
        return await self._code_host.pulls()

    async def idle(self, query: Body) -> Json:
        """Wait until nothing is queued or running, at most `timeout` seconds (30)."""
        try:
            timeout = float(query.maybe("timeout") or 30)
        except ValueError:
            timeout = math.nan
        if math.isnan(timeout):
            raise ControlError(400, "timeout must be a number of seconds")
        return await self._idle.wait(min(max(timeout, 0.0), MAX_IDLE_SECONDS))

    async def file(self, query: Body) -> Json:
        """A file as it was posted, with its content."""
        file = self._workspace.files.get(query.text("id"))
        content = self._workspace.files.content(file.id) if file else None
        if file is None or content is None:
            raise ControlError(404, "no such file")
        data = base64.b64encode(content).decode()
        return {**described(file, self._workspace.base_url), "shares": file.shares, "content_base64": data}

    async def message(self, body: Body) -> Json:
        """Somebody says something, with files or without."""
        thread_ts, channel, user = body.maybe("thread_ts"), body.text("channel"), body.text("user")
        files = body.attached("files")
        text = (body.maybe("text") or "") if files else body.text("text")
        message = self._humans.say(channel, user, text, thread_ts, files)
        return {"ts": message.ts, "channel": message.channel, "thread_ts": message.thread_ts}

    async def edit(self, body: Body) -> Json:
        """Somebody changes their message."""
        text = body.maybe("text") or ""  # empty only where there are files, which it is for `edit` to say
        self._humans.edit(body.text("channel"), body.text("ts"), body.text("user"), text)
        return {"ok": True}

    async def delete(self, body: Body) -> Json:
        """Somebody deletes their message."""
        self._humans.delete(body.text("channel"), body.text("ts"), body.text("user"))
        return {"ok": True}

    async def react(self, body: Body) -> Json:
        """Somebody adds a reaction, or with `remove` takes it back."""
        place = body.text("channel"), body.text("ts"), body.text("user")
        self._humans.react(*place, body.text("name"), remove=body.flag("remove"))
        return {"ok": True}

    async def click(self, body: Body) -> Json:
        """Somebody presses a button, or picks the option `value`."""
        place = body.text("channel"), body.text("ts"), body.text("user")
        self._humans.click(*place, body.text("action_id"), body.maybe("value"))
        return {"ok": True}

    async def command(self, body: Body) -> Json:
        """Somebody gives a slash command."""
        text = body.maybe("text") or ""
        self._humans.command(body.text("channel"), body.text("user"), body.text("command"), text)
        return {"ok": True}

    async def stop(self, body: Body) -> Json:
        """Somebody presses Stop on a session at work."""
        self._humans.stop(body.text("channel"), body.text("thread_ts"), body.text("user"))
        return {"ok": True}

    async def view_submit(self, body: Body) -> Json:
        """No view can be open yet."""
        raise ControlError(404, f"no view {body.text('view_id')!r} is open")

    async def merge(self, body: Body) -> Json:
        """Somebody merges a pull request."""
        login = _login(body.text("user"))
        return {
            "ok": True,
            **await self._code_host.merge(body.text("repository"), body.number("number"), login),
        }

    async def review(self, body: Body) -> Json:
        """Somebody reviews a pull request."""
        login, repository, number = _login(body.text("user")), body.text("repository"), body.number("number")
        done = await self._code_host.review(
            repository, number, login, body.text("state"), body.maybe("body") or ""
        )
        return {"ok": True, **done}

    async def commit(self, body: Body) -> Json:
        """Somebody commits files to a branch."""
        login, files = _login(body.text("user")), body.files("files")
        done = await self._code_host.commit(body.text("repository"), body.text("branch"), login, files)
        return {"ok": True, **done}

    async def scopes(self, body: Body) -> Json:
        """The app is installed again, with other scopes."""
        self._workspace.scopes = frozenset(body.texts("scopes"))
        return {"ok": True}

    async def fault(self, body: Body) -> Json:
        """Something is to go wrong. A method of the GitHub side has a space in it or begins with git-."""
        kind, times = body.text("kind"), body.number("times", 1)
        method = body.maybe("method") or "*"
        if " " in method or method.startswith("git-"):
            self._code_host.fault(method, kind, times)
            return {"ok": True}
        if kind == "disconnect":
            self._sockets.disconnect(times)
            return {"ok": True}
        _must_strike(method, kind)
        try:
            self._workspace.faults.add(method, kind, times)
        except FaultRefused as error:
            raise ControlError(400, str(error)) from None
        return {"ok": True}


def _must_strike(method: str, kind: str) -> None:
    """A fault that waits for ever looks like a bot that withstood it: say what it could have named."""
    named = STRUCK_BY.get(kind)
    if named is not None and not any(fnmatchcase(name, method) for name in named):
        what = "one of these" if len(named) < 20 else "a Slack method, such as chat.postMessage or chat.*"
        listed = f": {', '.join(sorted(named))}" if len(named) < 20 else ""
        hint = "; the code host's are like 'POST /repos/*/pulls' or git-receive-pack"
        raise ControlError(400, f"{kind} strikes {what}{listed}, never {method!r}{hint}")


def _user(person: people.Person) -> Json:
    return {
        "id": person.id,
        "name": person.name,
        "real_name": person.real_name,
        "github": person.github,
        "is_guest": person.is_guest,
    }


def _channel(workspace: Workspace, channel: people.Channel) -> Json:
    members = workspace.members(channel.id)
    return {
        "id": channel.id,
        "name": channel.name,
        "topic": channel.topic,
        "is_im": channel.is_im,
        "user": channel.user,
        "members": members,
        "bot_is_member": people.BOT_USER_ID in members,
    }


def _login(user: str) -> str:
    person = people.PEOPLE.get(user)
    if person is None:
        raise ControlError(404, f"no person {user!r}; /control/state lists them")
    if person.github is None:
        raise ControlError(403, f"{person.name} has no GitHub account")
    return person.github
