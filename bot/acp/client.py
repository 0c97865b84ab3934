"""One agent in one sandbox: start it, prompt it, watch it, stop it.

The SDK carries requests and responses; updates pass it by (`transport`, `inbox`), since it would reorder
them. Nothing the agent sends is trusted, and every wait has a limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from acp.connection import Connection
from acp.exceptions import RequestError
from acp.meta import AGENT_METHODS, CLIENT_METHODS, PROTOCOL_VERSION

from bot.acp.failures import (
    AgentRefused,
    flooded,
    refused,
    too_silent,
    too_slow,
    took_too_long,
    wrong_version,
)
from bot.acp.inbox import Allowance, Inbox, OnUpdate
from bot.acp.process import Watched
from bot.acp.requests import PERMISSION, Policy, allow_once, outcome, permission_ask, refuse
from bot.acp.shape import mapping
from bot.acp.transport import Message, ProcessTransport
from bot.acp.turn import AgentLimits, StopReason, Turn
from bot.acp.updates import drafts, usage_drafts
from bot.domain import Process
from bot.errors import AgentError

log = logging.getLogger(__name__)

UPDATE = CLIENT_METHODS["session_update"]
ID_LIMIT = 256


def text_block(text: str) -> dict[str, Any]:
    """A content block for `AgentClient.prompt`."""
    return {"type": "text", "text": text}


class AgentClient:
    """Drives an agent over ACP v1. One process, one ACP session, one turn at a time.

    `outside` gets updates that arrive between turns (some agents send their last ones late). Once `usable`
    is False the process must be ended with `close()`; what it did so far is not lost by that.
    """

    _process: Watched
    _inbox: Inbox
    _transport: ProcessTransport
    _connection: Connection

    def __init__(
        self,
        name: str,
        *,
        limits: AgentLimits | None = None,
        policy: Policy = allow_once,
        outside: OnUpdate | None = None,
    ) -> None:
        self.name = name
        self.session_id = ""
        self.resumed = False
        self.usable = False
        self.foreign = 0  # updates of sessions that are not ours, and notifications we do not know
        self._limits = AgentLimits() if limits is None else limits
        self._policy = policy
        self._outside = outside
        self._turn: Turn | None = None
        self._allowance = self._fresh_allowance()
        self._cwd = ""
        self._started = False

    @property
    def skipped_lines(self) -> int:
        """Lines of its output that were no messages."""
        return self._transport.skipped_lines if self._started else 0

    # -- start -----------------------------------------------------------------------------------

    async def start(self, process: Process, cwd: str, *, session_id: str | None = None) -> str:
        """Shake hands and open a session in `cwd`, an absolute path inside; returns the session's id.

        With `session_id` that session is loaded where the agent can; `resumed` says whether it was. Its
        replayed history is dropped, for we have it. Raises AgentError, and then the process has ended.
        """
        self._cwd = cwd
        self._connect(process)
        try:
            await self._open(session_id)
        except BaseException:
            await self.close(grace_seconds=0)
            raise
        self._inbox.listen(self._outside)
        self.usable = True
        return self.session_id

    def _connect(self, process: Process) -> None:
        self._process = Watched(process)
        self._inbox = Inbox(self._limits.queued_updates)
        self._transport = ProcessTransport(self.name, process, self._notice, self._limits.line_bytes)
        self._connection = Connection(self._answer, self._transport)
        self._started = True

    async def _open(self, session_id: str | None) -> None:
        try:
            async with asyncio.timeout(self._limits.start_seconds):
                can_load = await self._initialize()
                self.resumed = session_id is not None and can_load and await self._load(session_id)
                if not self.resumed:
                    self.session_id = await self._new()
                await self._inbox.drained()
        except TimeoutError:
            raise too_slow(self.name, self._limits.start_seconds, self._process.last_words()) from None

    async def _initialize(self) -> bool:
        """Shake hands; returns whether sessions can be loaded."""
        reply = mapping(await self._call("initialize", "starting", _HELLO | {"clientInfo": _client_info()}))
        theirs = reply.get("protocolVersion")
        if theirs != PROTOCOL_VERSION:
            raise wrong_version(self.name, theirs, PROTOCOL_VERSION)
        return mapping(reply.get("agentCapabilities")).get("loadSession") is True

    async def _load(self, session_id: str) -> bool:
        params = {"sessionId": session_id, "cwd": self._cwd, "mcpServers": []}
        try:
            await self._call("session_load", "loading its session", params)
        except AgentRefused:
            return False
        self.session_id = session_id
        return True

    async def _new(self) -> str:
        reply = await self._call("session_new", "opening a session", {"cwd": self._cwd, "mcpServers": []})
        session_id = mapping(reply).get("sessionId")
        # Printable as well: it is stored, and half a character pair could not be.
        if isinstance(session_id, str) and 0 < len(session_id) <= ID_LIMIT and session_id.isprintable():
            return session_id
        raise AgentError(
            f"The agent {self.name} opened a session without a usable id: it cannot be prompted."
        )

    # -- a turn ----------------------------------------------------------------------------------

    async def prompt(self, blocks: Sequence[Mapping[str, Any]], on_update: OnUpdate) -> StopReason:
        """Send ACP content blocks (see `text_block`) and return why the turn ended.

        Every draft is handed to `on_update` in order, the last before this returns; what it raises ends the
        turn and is raised here. Raises AgentError when the agent refuses, dies, is silent for
        `idle_seconds` or needs more than `turn_seconds`, and SandboxGone when all died with its sandbox.
        """
        if not self.usable or self._turn is not None:
            raise AgentError(f"The agent {self.name} cannot take a prompt now: it has ended or is at work.")
        self._turn = turn = self._begin(blocks, on_update)
        try:
            return await self._finish(turn, on_update)
        finally:
            self._turn = None
            self.usable = self.usable and turn.response.done()  # never two turns at once in one agent
            turn.response.cancel()
            self._allowance = self._fresh_allowance()
            self._inbox.listen(self._outside)

    def _begin(self, blocks: Sequence[Mapping[str, Any]], on_update: OnUpdate) -> Turn:
        params = {"sessionId": self.session_id, "prompt": [dict(block) for block in blocks]}
        self._allowance = self._fresh_allowance()
        response = asyncio.create_task(self._call("session_prompt", "at work", params))
        return Turn(response, self._inbox.listen(on_update), self._limits)

    async def _finish(self, turn: Turn, on_update: OnUpdate) -> StopReason:
        await self._watch(turn)
        await self._hand_over(turn)
        if turn.given_up.done():
            return StopReason.CANCELLED
        reply = mapping(turn.response.result())
        for draft in usage_drafts(reply.get("usage")):
            await on_update(draft)
        return StopReason.read(reply.get("stopReason"))

    async def _watch(self, turn: Turn) -> None:
        """Wait for the end of a turn; stops it and raises when it went beyond a time limit."""
        while not turn.over:
            if turn.questions or self._inbox.busy:
                turn.touch()
            idle, total = turn.idle_left(), turn.time_left()
            if min(idle, total) <= 0:
                await self.cancel()
                raise self._overdue(total)
            await turn.wait(min(idle, total))

    async def _hand_over(self, turn: Turn) -> None:
        """Wait until every update was taken; a listener's error stops the turn and is raised."""
        if not turn.failed.done():
            await self._inbox.drained()
        if turn.failed.done():
            await self.cancel()
            turn.failed.result()

    def _overdue(self, time_left: float) -> AgentError:
        if time_left <= 0:
            return took_too_long(self.name, self._limits.turn_seconds)
        return too_silent(self.name, self._limits.idle_seconds)

    async def cancel(self) -> bool:
        """Ask the agent to stop its turn. True: it did, and can go on; False: end it with `close()`.

        Either way `prompt` has its end then: it returns the agent's own reason, or CANCELLED.
        """
        turn = self._turn
        if turn is None:
            return self.usable
        turn.cancelling.set()
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(self._limits.drain_seconds):
                await self._connection.send_notification(_CANCEL, {"sessionId": self.session_id})
                await asyncio.wait({turn.response})
        if turn.answered:
            return True
        self.usable = False
        turn.give_up()
        return False

    # -- what it hears ---------------------------------------------------------------------------

    async def _notice(self, message: Message, size: int) -> None:
        """Take one notification; raising ends the stream, and so the turn, with that error."""
        self._allowance.weigh(size)
        if self._allowance.exhausted:
            raise flooded(self.name, "bytes of updates in one turn")
        params = mapping(message.get("params"))
        if message["method"] != UPDATE or params.get("sessionId") != self.session_id:
            self.foreign += 1
            self._bear(self.foreign)
            return
        if self._turn is not None:
            self._turn.touch()
        for draft in drafts(params.get("update"), self._cwd):
            admitted = self._allowance.admit(draft)
            self._bear(self._allowance.dropped)
            if admitted is not None:
                await self._inbox.put(admitted)

    def _bear(self, useless: int) -> None:
        if useless > self._limits.turn_dropped:
            raise flooded(self.name, "updates that mean nothing here or are beyond what a turn may say")

    def _fresh_allowance(self) -> Allowance:
        return Allowance(self._limits.turn_characters, self._limits.turn_updates, self._limits.turn_bytes)

    async def _answer(self, method: str, params: Any, is_notification: bool) -> Any:
        if method != PERMISSION:
            return refuse(method)
        turn = self._turn
        if turn is None or mapping(params).get("sessionId") != self.session_id:
            raise RequestError.invalid_params({"details": "sessionId: no turn runs in this session"})
        turn.questions += 1
        try:
            return outcome(await self._decide(turn, params))
        finally:
            turn.questions -= 1
            turn.touch()

    async def _decide(self, turn: Turn, params: Any) -> str | None:
        """The policy's answer; None as soon as the turn is being cancelled, as the protocol demands."""
        answer = asyncio.ensure_future(self._policy(permission_ask(params)))
        cancelled = asyncio.create_task(turn.cancelling.wait())
        try:
            await asyncio.wait({answer, cancelled}, return_when=asyncio.FIRST_COMPLETED)
            return answer.result() if answer.done() else None
        except Exception:  # its text stays here: the SDK would send it to the agent
            log.exception("the permission policy failed; the agent %s was told no", self.name)
            return None
        finally:
            answer.cancel()
            cancelled.cancel()

    # -- the wire and the end --------------------------------------------------------------------

    async def _call(self, method: str, doing: str, params: dict[str, Any]) -> Any:
        try:
            return await self._connection.send_request(AGENT_METHODS[method], params)
        except RequestError as error:
            raise refused(self.name, doing, error) from None
        except OSError:  # the pipe is broken, or the SDK saw the stream end
            self.usable = False
            raise await self._process.obituary(self.name, doing, self._transport.failure) from None

    async def close(self, *, grace_seconds: float | None = None) -> None:
        """Close its stdin, give it `close_seconds` to leave, then kill it. Safe to call twice."""
        self.usable = False
        if not self._started:
            return
        await self._process.end(self._limits.close_seconds if grace_seconds is None else grace_seconds)
        await self._connection.close()
        await self._inbox.close()


_CANCEL = AGENT_METHODS["session_cancel"]
_HELLO: dict[str, Any] = {
    "protocolVersion": PROTOCOL_VERSION,
    "clientCapabilities": {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False},
}


@cache
def _client_info() -> dict[str, str]:
    return {"name": "threadsmith", "title": "Threadsmith", "version": version("threadsmith")}
