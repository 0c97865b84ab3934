"""One agent in one sandbox: start it, prompt it, watch it, stop it.

The SDK carries requests and responses; updates pass it by (`transport`, `inbox`), since it would reorder
them. Nothing the agent sends is trusted, and every wait has a limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from acp.connection import Connection
from acp.exceptions import RequestError
from acp.meta import CLIENT_METHODS

from bot.acp.abilities import Abilities
from bot.acp.answers import Answers
from bot.acp.blocks import fitting, text_block
from bot.acp.failures import flooded, refused, too_silent, too_slow, took_too_long
from bot.acp.inbox import Allowance, Inbox, OnUpdate
from bot.acp.opening import Opening, Wishes
from bot.acp.options import OpenSession
from bot.acp.process import Watched
from bot.acp.questions import Questions
from bot.acp.requests import Policy, allow_once
from bot.acp.shape import mapping
from bot.acp.transport import Message, ProcessTransport
from bot.acp.turn import AgentLimits, StopReason, Turn
from bot.acp.updates import Draft, drafts, usage_drafts
from bot.domain import McpServer, Process
from bot.errors import AgentError

__all__ = ["AgentClient", "OnQuiet", "text_block"]

log = logging.getLogger(__name__)

UPDATE = CLIENT_METHODS["session_update"]

OnQuiet = Callable[[float], Awaitable[None]]
"""Told of a silence in a turn, with its seconds so far."""


class AgentClient:
    """Drives an agent over ACP v1. One process, one ACP session, one turn at a time.

    `mcp_servers`, `options`, `mode` and `model` are what its session is given and set to. `questions` puts
    its forms to people; without it the agent is told that there are none. `outside` gets updates that arrive
    between turns (some agents send their last ones late); `on_quiet` is told, again and again, when nothing
    comes within a turn; while `waiting` says that a tool waits for people, silence is no fault. Once `usable`
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
        mcp_servers: Sequence[McpServer] = (),
        options: Mapping[str, str] | None = None,
        mode: str | None = None,
        model: str | None = None,
        questions: Questions | None = None,
        on_quiet: OnQuiet | None = None,
        waiting: Callable[[], bool] = bool,
    ) -> None:
        self.name = name
        self.resumed = False
        self._usable = False
        self.left_out: tuple[str, ...] = ()  # names of tool servers that it cannot be given
        self.foreign = 0  # updates of sessions that are not ours, and notifications we do not know
        self._limits = AgentLimits() if limits is None else limits
        self._answers = Answers(name, policy, questions, self._limits.answer_seconds)
        self._wishes = Wishes(mcp_servers, {} if options is None else options, mode, model)
        self._session = OpenSession()
        self._abilities = Abilities()
        self._outside = outside
        self._on_quiet = on_quiet
        self._waiting = waiting
        self._turn: Turn | None = None
        self._allowance = self._fresh_allowance()
        self._cwd = ""
        self._started = False

    @property
    def usable(self) -> bool:
        """Whether it can be prompted; one that ended by itself, between turns as well, cannot."""
        return self._usable and not self._transport.ended

    @property
    def skipped_lines(self) -> int:
        """Lines of its output that were no messages."""
        return self._transport.skipped_lines if self._started else 0

    @property
    def session_id(self) -> str:
        return self._session.id

    @property
    def session(self) -> OpenSession:
        """What its session is set to now, and how the agent calls it."""
        return self._session

    @property
    def abilities(self) -> Abilities:
        """What it can do, as it said, with the modes and options of now."""
        options = tuple(self._session.options.values())
        return replace(self._abilities, modes=self._session.modes, options=options)

    # -- start -----------------------------------------------------------------------------------

    async def start(self, process: Process, cwd: str, *, session_id: str | None = None) -> str:
        """Shake hands and open a session in `cwd`, an absolute path inside; returns the session's id.

        With `session_id` that session is gone on with where the agent can; `resumed` says whether it was.
        Its replayed history is dropped, for we have it. Raises AgentError, and then the process has ended.
        """
        self._cwd = cwd
        self._connect(process)
        try:
            await self._open(session_id)
        except BaseException:
            await self.close(grace_seconds=0)
            raise
        self._inbox.listen(self._outside)
        self._usable = True
        return self.session_id

    def _connect(self, process: Process) -> None:
        self._process = Watched(process)
        self._inbox = Inbox(self._limits.queued_updates)
        self._transport = ProcessTransport(self.name, process, self._notice, self._limits.line_bytes)
        self._connection = Connection(self._answer, self._transport)
        self._started = True

    async def _open(self, session_id: str | None) -> None:
        opening = Opening(self.name, self._call, self._session, self._wishes, self._cwd)
        try:
            async with asyncio.timeout(self._limits.start_seconds):
                await opening.run(session_id, forms=self._answers.forms)
                await self._inbox.drained()
        except TimeoutError:
            raise too_slow(self.name, self._limits.start_seconds, self._process.last_words()) from None
        self._abilities, self.resumed = opening.abilities, opening.resumed
        self.left_out = tuple(server.name for server in opening.left_out)
        self._allowance = self._fresh_allowance()  # a long history counts for no turn

    # -- a turn ----------------------------------------------------------------------------------

    async def prompt(self, blocks: Sequence[Mapping[str, Any]], on_update: OnUpdate) -> StopReason:
        """Send ACP content blocks (see `blocks`) and return why the turn ended.

        What the agent does not take becomes words about where it is. Every draft is handed to `on_update`
        in order, the last before this returns; what it raises ends the turn and is raised here. Raises
        AgentError when the agent refuses, dies, is silent for `idle_seconds` or needs more than
        `turn_seconds`, and SandboxGone when all died with its sandbox.
        """
        if not self.usable or self._turn is not None:
            raise AgentError(f"The agent {self.name} cannot take a prompt now: it has ended or is at work.")
        self._turn = turn = self._begin(blocks, on_update)
        try:
            return await self._finish(turn, on_update)
        finally:
            self._turn = None
            self._usable = self.usable and turn.response.done()  # never two turns at once in one agent
            turn.response.cancel()
            self._allowance = self._fresh_allowance()
            self._inbox.listen(self._outside)

    def _begin(self, blocks: Sequence[Mapping[str, Any]], on_update: OnUpdate) -> Turn:
        params = {"sessionId": self.session_id, "prompt": fitting(blocks, self._abilities)}
        self._allowance = self._fresh_allowance()
        response = asyncio.create_task(self._call("session/prompt", "at work", params))
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
            if turn.questions or self._inbox.busy or self._waiting():
                turn.touch()
            idle, total = turn.idle_left(), turn.time_left()
            if min(idle, total) <= 0:
                await self.cancel()
                raise self._overdue(total)
            if turn.quiet_left() <= 0:
                await self._tell_quiet(turn.silence())
            await turn.wait(max(0.0, min(idle, total, turn.quiet_left())))

    async def _tell_quiet(self, seconds: float) -> None:
        if self._on_quiet is None:
            return
        try:
            await self._on_quiet(seconds)
        except Exception:  # a word to people that failed ends nobody's work
            log.exception("nobody could be told that the agent %s is silent", self.name)

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
                await self._connection.send_notification("session/cancel", {"sessionId": self.session_id})
                await asyncio.wait({turn.response})
        if turn.answered:
            return True
        self._usable = False
        turn.give_up()
        return False

    # -- what it hears ---------------------------------------------------------------------------

    async def _notice(self, message: Message, size: int) -> None:
        """Take one notification; raising ends the stream, and so the turn, with that error."""
        self._allowance.weigh(size)
        if self._allowance.exhausted:
            raise flooded(self.name, "bytes of updates in one turn")
        params = mapping(message.get("params"))
        update = mapping(params.get("update"))
        if message["method"] != UPDATE or params.get("sessionId") != self.session_id:
            if not self.session_id:
                self._session.overhear(params.get("sessionId"), update)
            self.foreign += 1
            self._bear(self.foreign)
            return
        if self._turn is not None:
            self._turn.touch()
        for draft in [*self._session.hear(update), *drafts(update, self._cwd)]:
            await self._take(draft)

    async def _take(self, draft: Draft) -> None:
        if self._turn is not None:
            self._turn.note(draft)
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
        return await self._answers.answer(self._turn, self.session_id, method, params, self._cwd)

    # -- the wire and the end --------------------------------------------------------------------

    async def _call(self, method: str, doing: str, params: dict[str, Any]) -> Any:
        try:
            return await self._connection.send_request(method, params)
        except RequestError as error:
            raise refused(self.name, doing, error) from None
        except OSError:  # the pipe is broken, or the SDK saw the stream end
            self._usable = False
            raise await self._process.obituary(self.name, doing, self._transport.failure) from None

    async def close(self, *, grace_seconds: float | None = None) -> None:
        """Close its stdin, give it `close_seconds` to leave, then kill it. Safe to call twice."""
        self._usable = False
        if not self._started:
            return
        await self._process.end(self._limits.close_seconds if grace_seconds is None else grace_seconds)
        await self._connection.close()
        await self._inbox.close()
