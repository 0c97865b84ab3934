"""The way out: every keyed post of a session, sent once, whatever crashes between.

A row goes pending -> sending (on disk) -> Slack -> done. A row found in `sending` may have been posted:
the thread is read for the key in the message's metadata before it is ever sent again. What remains is a
post still on its way inside Slack while that scan runs; the scan waits out the request's time limit first.
Closing the live stream, the status and the reaction are decoration: they get a moment, and then the row is
done without them.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.domain import SessionId
from bot.sessions import OWED, Sessions
from bot.slack.calls import (
    LONGEST_PAUSE_SECONDS,
    UNREACHABLE,
    Outcome,
    Throttle,
    advice,
    answer_of,
    outcome,
    pause_after,
    reason,
)
from bot.slack.looking import Message, NotLooked, posted
from bot.slack.progress import Progress
from bot.slack.render import Blocks, render
from bot.slack.uploads import FILE, Uploads
from storage import Ledger, SessionFile, StorageError, Unusable

log = logging.getLogger(__name__)

OF_NO_SESSION = SessionId("state")  # the posts of `state.db`, under its own name
EVENT_TYPE = "threadsmith_outbox"
PAUSE_SECONDS = 3.0  # for showing what was said before a question
FINISH_SECONDS = 5.0  # for closing the live stream before the final message
SETTLE_SECONDS = 10.0  # for the status and the reaction after it
_UNSPEAKABLE = "I have something to say here that I cannot put into words. The bot's log has the details."
_FIRST_PAUSE_SECONDS = 0.5
_NAMESPACE = uuid.UUID("8b0f3f5e-3b1c-4d6a-9a41-6f7a6e1d5b11")


class Line(NamedTuple):
    """What waits behind each other: the posts of a session, or those of `state.db` for one thread."""

    owner: SessionId
    channel: str | None = None
    thread_ts: str | None = None


class Outbox:
    """One drainer per line with something to say; `notify` wakes it."""

    def __init__(self, client: AsyncWebClient, sessions: Sessions, progress: Progress) -> None:
        self._client = client
        self._sessions = sessions
        self._progress = progress
        self._uploads = Uploads(client, sessions.house.folder.path)
        self._drainers: dict[Line, asyncio.Task[None]] = {}
        self._again: set[Line] = set()
        self._decorating: set[asyncio.Task[None]] = set()
        self._complaints = Throttle()
        self._closed = False

    async def tidy(self) -> None:
        """Before anything is sent: what an earlier boot stored to be posted, and posted or gave up."""
        await asyncio.to_thread(self._uploads.sweep, await self._sessions.house.state.marked())

    def notify(self, session: SessionId, last_seq: int) -> None:
        """Something was committed in this session; cheap when nothing is owed."""
        self._wake(Line(session))

    def _wake(self, line: Line) -> None:
        if self._closed:
            return  # the next boot finds it; the files are about to be closed
        if line in self._drainers:
            self._again.add(line)
            return
        name = " ".join(filter(None, ("outbox", *line)))
        self._drainers[line] = asyncio.create_task(self._drain(line), name=name)

    async def close(self) -> None:
        self._closed = True
        await _cancel(list(self._drainers.values()))
        await _cancel(list(self._decorating))

    async def _drain(self, line: Line) -> None:
        """Until nothing is owed and that is noted; `close` waits for all of it.

        Whatever breaks, it goes on after a pause: nothing may end in silence.
        """
        pause = _FIRST_PAUSE_SECONDS
        try:
            while True:
                if not await self._drained(line):
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
                elif line not in self._again:
                    return
        finally:
            self._drainers.pop(line, None)

    async def _drained(self, line: Line) -> bool:
        try:
            async with self._opened(line.owner) as file:
                while True:
                    self._again.discard(line)
                    rows = await self._rows(file, line)
                    if not rows and line not in self._again:
                        break
                    for row in rows:
                        await self._send_until_sure(file, row)
            if line.owner != OF_NO_SESSION:
                await self._sessions.settle(line.owner)
        except Unusable as error:
            return await self._given_up(line.owner, error)
        except Exception:
            log.exception("session %s: the outbox stopped; it goes on after a pause", line.owner)
            return False
        return True

    async def _rows(self, file: Ledger, line: Line) -> list[dict[str, Any]]:
        """What this line is to send now, oldest first.

        Those of `state.db` know nothing of each other: each thread of its posts becomes a line of its own.
        """
        rows = await file.effects(OWED, "thread.")
        if line.owner != OF_NO_SESSION:
            return rows
        if line == Line(OF_NO_SESSION):
            for other in dict.fromkeys(map(_line_of, rows)):
                self._wake(other)
            return []
        return [row for row in rows if _line_of(row) == line]

    @asynccontextmanager
    async def _opened(self, owner: SessionId) -> AsyncIterator[Ledger]:
        if owner == OF_NO_SESSION:
            yield self._sessions.house.state
            return
        async with self._sessions.house.store.use(owner) as file:
            yield file

    async def _given_up(self, session: SessionId, error: Unusable) -> bool:
        """What its file owed cannot be read any more; the thread is told that. False: not even that."""
        try:
            await self._sessions.report(session, error)
        except StorageError:
            log.exception("session %s: its thread cannot be told that its file cannot be used", session)
            return False
        return True

    async def _send_until_sure(self, file: Ledger, row: dict[str, Any]) -> None:
        """Try until it is out or refused; a later message never overtakes an earlier one of its thread."""
        pause = _FIRST_PAUSE_SECONDS
        while True:
            try:
                result = await self._send(file, row)
                await file.effect_done(row["id"], result)
                return await self._settled(file, row)
            except NotLooked as failed:
                error, means = failed.error, failed.means
            except UNREACHABLE as failed:
                error, means = failed, outcome(failed)
            if means is Outcome.REFUSED:
                log.error("cannot post %s: Slack says %s", row["key"], reason(error))
                await file.effect_failed(row["id"], reason(error), retry=False)
                return await self._settled(file, row)
            self._complain(row["key"], error)
            if means is Outcome.PASSING:
                await file.effect_failed(row["id"], reason(error), retry=True)
            pause = pause_after(error, pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            row = await file.effect(row["id"])

    async def _settled(self, file: Ledger, row: Mapping[str, Any]) -> None:
        if row["kind"] == FILE:
            await self._uploads.forget(file, row)

    def _complain(self, key: str, error: BaseException) -> None:
        if self._complaints.may_say(reason(error)):
            log.warning(
                "cannot post %s yet (%s), and perhaps others; trying on. %s",
                key,
                reason(error),
                advice(error),
            )

    async def _decorate(self, work: Coroutine[Any, Any, None], seconds: float) -> None:
        """Give it so long; what takes longer goes on by itself, and its failure is nobody's here."""
        task = asyncio.create_task(work)
        self._decorating.add(task)
        task.add_done_callback(self._decorated)
        await asyncio.wait({task}, timeout=seconds)

    def _decorated(self, task: asyncio.Task[None]) -> None:
        self._decorating.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("decoration failed", exc_info=task.exception())

    async def _send(self, file: Ledger, row: dict[str, Any]) -> dict[str, Any]:
        session = await _place(file, row)
        if row["kind"] == FILE:
            return await self._send_file(file, session, row)
        facts = row["intent"]
        if row["kind"] == "thread.update":
            await file.effect_sending(row["id"])
            return await self._update(file, session, await file.effect(row["id"]))
        final = facts["kind"] == "final"
        if final:
            closing = self._progress.finish(SessionId(session["id"]), facts["prompt_id"])
            await self._decorate(closing, FINISH_SECONDS)
        if facts["kind"] == "ask":
            await self._progress.pause(SessionId(session["id"]), PAUSE_SECONDS)
        found = await self._look_for(session, row) if row["state"] == "sending" else None
        result = found if found is not None else await self._post(file, session, row)
        if final:
            await self._decorate(self._progress.settle(session, facts), SETTLE_SECONDS)
        return result

    async def _send_file(
        self, file: Ledger, session: Mapping[str, Any], row: dict[str, Any]
    ) -> dict[str, Any]:
        """The file; where it cannot be posted, a line in its place that says why."""
        sent = await self._uploads.send(file, session, row)
        if sent is not None:
            return sent
        row = await file.effect(row["id"])
        found = await self._look_for(session, row) if row["state"] == "sending" else None
        return found if found is not None else await self._post(file, session, row)

    async def _post(self, file: Ledger, session: Mapping[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        await file.effect_sending(row["id"])
        row = await file.effect(row["id"])  # it may have been added to until now, but is not from here on
        text, blocks = _rendered(row)
        key = _full_key(session, row)
        answer = await self._call_with_blocks(
            "chat.postMessage",
            {
                "channel": session["channel"],
                "thread_ts": session["thread_ts"],
                "text": text,
                "metadata": {"event_type": EVENT_TYPE, "event_payload": {"key": key}},
                "client_msg_id": str(uuid.uuid5(_NAMESPACE, key)),
                "unfurl_links": False,
                "unfurl_media": False,
            },
            blocks,
        )
        return {"ts": answer["ts"]}

    async def _update(
        self, file: Ledger, session: Mapping[str, Any], row: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Change an earlier post; safe to repeat. Nothing to do when that post never got out."""
        of = row["intent"].get("of")
        posts = [e for e in await file.effects(kind_prefix="thread.post") if e["key"] == of]
        ts = (posts[0]["result"] or {}).get("ts") if posts else None
        if ts is None:
            return {}
        text, blocks = _rendered(row)
        await self._call_with_blocks(
            "chat.update", {"channel": session["channel"], "ts": ts, "text": text}, blocks
        )
        return {"ts": ts}

    async def _call_with_blocks(
        self, method: str, arguments: dict[str, Any], blocks: Blocks
    ) -> Mapping[str, Any]:
        """With blocks; as plain text when Slack refuses them: the message matters more than its looks."""
        try:
            return await self._call(method, {**arguments, "blocks": blocks})
        except SlackApiError as error:
            if reason(error) not in {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"}:
                raise
            log.error(
                "%s refused our blocks for %s; sending plain text", method, arguments.get("text", "")[:80]
            )
            return await self._call(method, arguments)

    async def _call(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        return _body(await answer_of(lambda: self._client.api_call(method, json=arguments)))

    async def _look_for(self, session: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any] | None:
        """The post of this key, if an earlier try got through."""
        key = _full_key(session, row)

        def is_it(message: Message) -> bool:
            return ((message.get("metadata") or {}).get("event_payload") or {}).get("key") == key

        ts = await posted(self._client, session, row, is_it)
        return None if ts is None else {"ts": ts}


def _rendered(row: Mapping[str, Any]) -> tuple[str, Blocks]:
    """What to post. Facts that cannot be rendered, of another version maybe, hold up nothing behind them."""
    try:
        return render(facts_of(row))
    except Exception:
        log.exception("%s cannot be rendered", row["key"])
        return _UNSPEAKABLE, []


def facts_of(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is said of a row. A file is posted and not said, unless it was refused."""
    if row["kind"] != FILE:
        return dict(row["intent"])
    return {**row["intent"], "kind": "file_refused", "why": (row["expected"] or {}).get("refused")}


def _line_of(row: Mapping[str, Any]) -> Line:
    """Where a row of `state.db` waits."""
    return Line(OF_NO_SESSION, str(row["intent"].get("channel")), str(row["intent"].get("thread_ts")))


async def _place(file: Ledger, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The thread a row is for: its session's, or the one it names itself."""
    return await file.session() if isinstance(file, SessionFile) else {"id": file.name, **row["intent"]}


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _body(response: AsyncSlackResponse) -> dict[str, Any]:
    return response.data if isinstance(response.data, dict) else {}


def _full_key(session: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    return f"{session['id']}:{row['key']}"
