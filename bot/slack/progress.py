"""A running turn as people see it: 👀, the agent-session status with its Stop button, and a live stream.

All of it is disposable. It is read from the session's events by cursor, at Slack's pace; a stream that
broke or grew old is replaced, one that an earlier boot left open is closed, and nothing here is ever the
only place where something is said: the final message is the outbox's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain import EventType, SessionId, ThreadKey
from bot.errors import UserError
from bot.sessions import Sessions
from bot.slack.calls import UNREACHABLE, Outcome, answer_of, outcome, pause_after, reason, repeatable
from bot.slack.pace import Pacer
from bot.slack.stream_chunks import TEXT_LIMIT, Chunk, ChunkWriter, characters, first_of
from bot.slack.stream_ends import NO_STREAM, busy_steps, end_stream
from bot.slack.turn_events import WELL, is_end, of_running_turn, open_questions
from bot.slack.workspace import SlackWorkspace
from storage import StorageError

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.4
_LONGEST_PAUSE_SECONDS = 15.0  # while Slack fails
_STREAM_SECONDS = 240.0  # Slack ends a stream about 5 minutes after its start, appends or not
_APPENDS_PER_MINUTE = 90
_STREAMS_PER_MINUTE = 18
_MOST_ORPHANS = 5
_MOST_REFUSALS = 5
_MOST_SEEN = 50
_REACTIONS = {"failed": "warning"}


class Progress:
    """One viewer per running turn."""

    def __init__(self, client: AsyncWebClient, sessions: Sessions, workspace: SlackWorkspace) -> None:
        self.client = client
        self.sessions = sessions
        self.appends = Pacer(_APPENDS_PER_MINUTE, burst=20)
        self.streams = Pacer(_STREAMS_PER_MINUTE, burst=10)
        self.workspace = workspace
        self._viewers: dict[SessionId, Viewer] = {}
        self._refusals = 0  # that are being marked now
        self._closed = False
        self._live: set[tuple[str, str]] = set()  # channel and ts of the streams our viewers feed
        # One a thread: what is being opened has no name yet, so nobody looks for orphans meanwhile.
        self._openings: WeakValueDictionary[ThreadKey, asyncio.Lock] = WeakValueDictionary()

    def notify(self, session: SessionId, last_seq: int) -> None:
        """New events in this session, up to `last_seq`."""
        if self._closed:
            return
        viewer = self._viewers.get(session)
        if viewer is None:
            viewer = self._viewers[session] = Viewer(self, session, last_seq)
        viewer.wake()

    async def finish(self, session: SessionId, prompt: int) -> None:
        """Show all there is of this turn and close its stream, before its final message is posted."""
        viewer = self._viewers.pop(session, None)
        if viewer is not None:
            await viewer.finish()

    async def pause(self, session: SessionId, seconds: float) -> None:
        """Wait until all that was said before an open question is shown, so that it stands above it."""
        viewer = self._viewers.get(session)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(viewer.waits.wait() if viewer else asyncio.sleep(0), seconds)

    async def settle(self, session: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
        """After the final message: the status off processing, a mark on the message that asked."""
        await self.status(session, "active")
        reaction = "white_check_mark" if facts.get("pull_request") else _REACTIONS.get(str(facts["outcome"]))
        if reaction and facts.get("message_ts"):
            await self.react(session["channel"], facts["message_ts"], reaction)

    async def seen(self, channel: str, ts: str) -> None:
        """👀 on a message that was accepted."""
        await self.react(channel, ts, "eyes")

    async def not_taken(self, channel: str, ts: str) -> None:
        """🚫 on a message that was refused; the thread says why. In a flood the first ones get it."""
        if self._refusals >= _MOST_REFUSALS:
            return
        self._refusals += 1
        try:
            await self.react(channel, ts, "no_entry_sign")
        finally:
            self._refusals -= 1

    async def react(self, channel: str, ts: str, name: str) -> None:
        await repeatable(
            self.client,
            "reactions.add",
            {"channel": channel, "timestamp": ts, "name": name},
            {"already_reacted"},
        )

    async def status(self, session: Mapping[str, Any], status: str) -> None:
        """The native status of the thread; `processing` shows the Stop button."""
        arguments = {"channel_id": session["channel"], "thread_ts": session["thread_ts"], "status": status}
        if session.get("title"):
            arguments["title"] = str(session["title"])[:200]
        await repeatable(self.client, "agents.sessions.setStatus", arguments)

    async def take_up(self, session_id: SessionId) -> None:
        """After a restart: what an earlier boot may not have shown any more, and what it left open.

        Nothing that goes wrong here is worth keeping anything else from being taken up.
        """
        try:
            async with self.sessions.house.store.use(session_id) as file:
                session = await file.session()
                unfinished = await file.prompts(("queued", "running", "waiting"))
            for prompt in unfinished[:_MOST_SEEN]:
                if prompt["source"] == "slack" and prompt["message_ts"]:
                    await self.seen(session["channel"], prompt["message_ts"])
            await self.close_orphans(session)
        except Exception:
            log.exception("session %s: what an earlier boot left open could not be closed", session_id)

    async def close_orphans(self, session: Mapping[str, Any]) -> None:
        """Close the streams nobody feeds any more: the bot's messages that no outbox row and no viewer owns.

        They are of an earlier boot, or their opening's answer was lost. UserError when Slack does not say.
        """
        thread = _thread_of(session)
        async with self.opening(thread):
            orphans = await self._unfed(thread)
        for post in orphans[-_MOST_ORPHANS:]:
            await self.end(thread, str(post["ts"]), busy_steps(post, "error"))

    async def _unfed(self, thread: ThreadKey) -> list[Mapping[str, Any]]:
        posts = await self.workspace.unkeyed_posts(thread)
        return [post for post in posts if (thread.channel, post["ts"]) not in self._live]

    async def unanswered(self, thread: ThreadKey, after: str) -> str | None:
        """The stream that Slack opened without our hearing of it, if it did; `after` is older than it.

        UserError when Slack does not say.
        """
        found = [str(post["ts"]) for post in await self._unfed(thread) if float(post["ts"]) > float(after)]
        return found[-1] if found else None

    async def end(self, thread: ThreadKey, ts: str, steps: list[Chunk]) -> None:
        """Stop a stream, its steps in their last state."""

        async def read() -> Mapping[str, Any] | None:
            try:
                posts = await self.workspace.unkeyed_posts(thread)
            except UserError as error:
                log.warning("a stream keeps steps that look at work (%s)", error)
                return None
            return next((post for post in posts if post["ts"] == ts), None)

        await end_stream(self.client, thread.channel, ts, steps, read)

    def opening(self, thread: ThreadKey) -> asyncio.Lock:
        """Held while a stream of this thread is opened and has no name yet."""
        lock = self._openings.get(thread)
        if lock is None:
            lock = self._openings[thread] = asyncio.Lock()
        return lock

    def feeds(self, channel: str, ts: str) -> None:
        """A viewer has opened this stream, and closes it."""
        self._live.add((channel, ts))

    def feeds_no_more(self, channel: str, ts: str) -> None:
        self._live.discard((channel, ts))

    def forget(self, session: SessionId, viewer: Viewer) -> None:
        if self._viewers.get(session) is viewer:
            del self._viewers[session]

    async def close(self) -> None:
        self._closed = True
        await asyncio.gather(*(viewer.cancel() for viewer in list(self._viewers.values())))
        self._viewers.clear()


class Viewer:
    """Shows one session's running turn; ends itself with the turn, or when nothing runs."""

    def __init__(self, progress: Progress, session: SessionId, last_seq: int) -> None:
        self._progress = progress
        self._session_id = session
        self._cursor = max(0, last_seq - 50)
        self._news = asyncio.Event()
        self._hurry = asyncio.Event()
        self._session: dict[str, Any] = {}
        self._author: dict[str, Any] | None = None  # of the running turn; None while none runs
        self._stream_ts: str | None = None
        self._stream_at = 0.0
        self._sent: list[Chunk] = []  # into the stream that is open
        self._asked = False  # a stream was asked for, and nobody knows yet whether it was opened
        self._lost = False  # that was so at least once
        self._before = "0"  # newer than this is any stream that is to come
        self._writer = ChunkWriter()
        self._unsent: list[Chunk] = []  # rendered once, kept until Slack has them
        self._pause = _TICK_SECONDS
        self._ended = False  # all of the turn was read
        self._asks = False  # with a question
        self._more = False  # and something came after it
        self._failed = False
        self._open: set[str] = set()  # questions that the turn waits for
        self.waits = asyncio.Event()  # and that is shown
        self._task = asyncio.create_task(self._run(), name=f"progress {session}")

    def wake(self) -> None:
        self._news.set()

    async def finish(self) -> None:
        """Show what is left and close the stream; never cuts a call to Slack in half."""
        self._hurry.set()
        self._news.set()
        await self._task

    async def cancel(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while not await self._shown():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._pause)
        await self._close_stream()
        await self._close_lost()
        self._progress.forget(self._session_id, self)
        if self._more or self._news.is_set():
            self._progress.notify(self._session_id, self._cursor + 50)

    async def _shown(self) -> bool:
        """Show what is new: whether that was all, or all there is time for."""
        await self._news.wait()
        self._news.clear()
        try:
            await self._look()
        except (*UNREACHABLE, UserError) as error:  # or whether there is a stream already cannot be seen now
            self._note_refusal(error)
            return self._hurry.is_set()
        except StorageError:  # the outbox says what there is to say
            log.exception("session %s: progress cannot be read", self._session_id)
            return True
        self._pause = _TICK_SECONDS
        return self._ended or self._author is None or self._hurry.is_set()

    async def _look(self) -> None:
        """Show the events since the cursor, up to the end of the turn."""
        if not self._ended:
            await self._read()
        while self._unsent:
            part = first_of(self._unsent)
            await self._send_or_drop(part)
            del self._unsent[: len(part)]
        if self.waits.is_set() != bool(self._open) and not self._ended:
            await self._close_stream(waiting=bool(self._open))  # what comes next belongs below the question
            (self.waits.set if self._open else self.waits.clear)()
        if self._asks:
            await self._progress.status(self._session, "suspended")  # it is people's turn now

    async def _read(self) -> None:
        """Each event once: what is shown of a turn is counted, and Slack may have to be asked again."""
        async with self._progress.sessions.house.store.use(self._session_id) as file:
            events = await file.events(self._cursor, 500)
            self._session = await file.session()
            turn = of_running_turn(events, begun=self._author is not None)
            if self._author is None and turn:
                prompt = await file.prompt(turn[0]["prompt_id"])
                self._author = prompt["author"] if prompt else None
                self._before = (prompt["message_ts"] if prompt else None) or self._session["thread_ts"]
                await self._progress.status(self._session, "processing")
        self._unsent = self._writer.chunks(turn, self._unsent)
        self._open = open_questions(turn, self._open)
        last = turn[-1]["type"] if turn else None
        self._ended = bool(turn) and is_end(turn[-1])
        self._asks = self._ended and last == EventType.QUESTION_ASKED
        self._failed = self._ended and last not in WELL
        if events:
            self._cursor = turn[-1]["seq"] if self._ended else events[-1]["seq"]
            self._more = self._cursor < events[-1]["seq"]

    async def _send_or_drop(self, chunks: list[Chunk]) -> None:
        """What Slack will never take holds up nothing behind it."""
        try:
            await self._send(chunks)
        except UNREACHABLE as error:
            if outcome(error) is not Outcome.REFUSED or reason(error) in NO_STREAM:
                raise
            log.warning("session %s: some progress is not shown (%s)", self._session_id, reason(error))

    async def _send(self, chunks: list[Chunk]) -> None:
        is_old = time.monotonic() - self._stream_at > _STREAM_SECONDS
        if self._stream_ts is not None and (is_old or characters([*self._sent, *chunks]) > TEXT_LIMIT):
            await self._close_stream()
        if self._stream_ts is None:
            await self._open_stream(chunks)
            return
        try:
            await self._append(chunks)
        except SlackApiError as error:
            if reason(error) not in NO_STREAM:
                raise
            self._progress.feeds_no_more(self._session["channel"], self._stream_ts)
            self._stream_ts = None
            await self._open_stream(chunks)

    async def _append(self, chunks: list[Chunk]) -> None:
        await self._progress.appends.wait()
        await self._call("chat.appendStream", {"ts": self._stream_ts, "chunks": chunks})
        self._sent += chunks

    async def _open_stream(self, chunks: list[Chunk]) -> None:
        """With what may be said twice; the rest is added to it, since its opening's answer may be lost."""
        await self._progress.streams.wait()
        first = (
            1 if chunks[0]["type"] == "task_update" and not chunks[0].keys() & {"details", "output"} else 0
        )
        thread = _thread_of(self._session)
        async with self._progress.opening(thread):
            ts = await self._progress.unanswered(thread, self._before) if self._asked else None
            rest = chunks  # what its opening was asked with may have been something older
            if ts is None:
                ts, rest = await self._start_stream(chunks[:first]), chunks[first:]
            self._stream_ts, self._stream_at, self._asked = ts, time.monotonic(), False
            self._sent = list(chunks[:first])
            self._before = max(self._before, ts, key=float)
            self._progress.feeds(thread.channel, ts)
        if rest:
            await self._append(rest)

    async def _start_stream(self, chunks: list[Chunk]) -> str:
        assert self._author is not None
        arguments = {
            "thread_ts": self._session["thread_ts"],
            "recipient_user_id": self._author["id"],
            "recipient_team_id": self._author["team"],
            "task_display_mode": "timeline",
            **({"chunks": chunks} if chunks else {}),
        }
        try:
            return str((await self._call("chat.startStream", arguments))["ts"])
        except UNREACHABLE as error:
            self._asked = outcome(error) is Outcome.UNKNOWN
            self._lost = self._lost or self._asked
            raise

    async def _close_lost(self) -> None:
        """A stream whose opening was not answered may be open all the same."""
        if not self._lost:
            return
        try:
            await self._progress.close_orphans(self._session)
        except UserError as error:
            log.warning("session %s: a stream may have been left open (%s)", self._session_id, error)

    async def _close_stream(self, waiting: bool = False) -> None:
        ts, self._stream_ts = self._stream_ts, None
        if ts is None:
            return
        shown = {each.get("id") for each in self._sent}  # what an earlier stream showed was ended there
        steps = [each for each in self._writer.closing(self._failed) if each["id"] in shown]
        steps = [{**each, "status": "pending"} for each in steps] if waiting else steps
        await self._progress.end(_thread_of(self._session), ts, steps)
        self._progress.feeds_no_more(self._session["channel"], ts)

    async def _call(self, method: str, arguments: dict[str, Any]) -> Mapping[str, Any]:
        arguments = {"channel": self._session["channel"], **arguments}
        ask = partial(self._progress.client.api_call, method, json=arguments)
        answer = (await answer_of(ask)).data
        return answer if isinstance(answer, dict) else {}

    def _note_refusal(self, error: Exception) -> None:
        """What is unsent is tried again, less and less often while it fails."""
        why = error if isinstance(error, UserError) else reason(error)
        log.warning("session %s: progress not shown (%s)", self._session_id, why)
        if why == "ratelimited":
            self._progress.appends.hold(pause_after(error, 1.0))
        self._pause = pause_after(error, min(self._pause * 2, _LONGEST_PAUSE_SECONDS))
        self._news.set()


def _thread_of(session: Mapping[str, Any]) -> ThreadKey:
    return ThreadKey(session["team"], session["channel"], session["thread_ts"])
