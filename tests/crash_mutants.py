"""Rules taken out of the code, one at a time: the crash scenarios have to notice each.

A mutant is what somebody might write, and what others have written: most are named in post-mortems.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import crash_scenarios as scenarios
from crash_walk import Scenario
from slack_bolt.response import BoltResponse

from bot.sessions import ending, router, turn
from bot.sessions.effects import SessionEffects
from bot.sessions.states import Way, way_of
from bot.slack import listener
from bot.slack.backfill import Backfill
from bot.slack.edge import SlackEdge
from bot.slack.outbox import Outbox
from bot.slack.progress import Progress
from storage import Ledger, SessionFile, StateFile, Stop, Stopped, prompts

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutant:
    """`patches` make it; `scenario` is where it has to be noticed."""

    name: str
    scenario: Scenario
    patches: Callable[[], list[Patch]]

    @contextmanager
    def alive(self) -> Iterator[None]:
        with ExitStack() as stack:
            for target, name, value in self.patches():
                stack.enter_context(patch.object(target, name, value))
            yield


# -- the way in --------------------------------------------------------------------------------------


def _ack_first() -> list[Patch]:
    async def answer(self: SlackEdge, body: dict[str, Any], next: Any) -> BoltResponse:
        async def hear() -> None:
            afterwards = await self._listener.hear(body, 1_790_000_000.0)
            if afterwards is not None:
                await afterwards

        self._spawn(hear())
        return BoltResponse(status=200, body="")

    return [(SlackEdge, "_before_authorize", answer)]


def _keyed_by(key: Callable[[dict[str, Any]], str]) -> list[Patch]:
    """What is told apart by another key than the message's own."""
    heard, incoming = listener.Listener.hear, listener.Incoming
    current: dict[str, Any] = {}

    async def hear(self: Any, body: dict[str, Any], now: float, late: bool = False) -> Any:
        current["key"] = key(body)
        return await heard(self, body, now, late)

    def made(**given: Any) -> Any:
        return incoming(**{**given, "key": current["key"]})

    return [(listener.Listener, "hear", hear), (listener, "Incoming", made)]


def _no_dedupe() -> list[Patch]:
    numbers = itertools.count()
    return _keyed_by(lambda body: f"delivery {next(numbers)}")


def _no_mark() -> list[Patch]:
    @asynccontextmanager
    async def marking(self: StateFile, session_id: str) -> AsyncIterator[None]:
        yield

    return [(StateFile, "marking", marking)]


def _mark_taken_away() -> list[Patch]:
    """As soon as there is nothing to post, whatever else is owed."""

    async def settle(self: router.Sessions, session: Any) -> None:
        self.house.state._marked.discard(session)
        sql = "DELETE FROM dirty WHERE session_id = ?"
        await self.house.state._write(lambda tx: tx.execute(sql, session))

    return [(router.Sessions, "settle", settle)]


def _nothing_read_back() -> list[Patch]:
    async def run(self: Backfill) -> int:
        return 0

    return [(Backfill, "run", run)]


# -- recovery ----------------------------------------------------------------------------------------


def _nothing_queued_again() -> list[Patch]:
    async def requeue(self: SessionFile, epoch: int, counted: bool = True) -> list[Any]:
        return []

    return [(SessionFile, "requeue_running", requeue)]


def _nothing_taken_up() -> list[Patch]:
    async def recover(self: router.Sessions) -> list[Any]:
        return []

    return [(router.Sessions, "recover", recover)]


def _runs_again_behind_the_push() -> list[Patch]:
    def way(*given: Any) -> Way:
        found = way_of(*given)
        return Way.RUN if found is Way.LAND else found

    return [(turn, "way_of", way)]


def _tries_for_ever() -> list[Patch]:
    def way(attempt: int, most: int, effects: Any) -> Way:
        return way_of(1, most, effects)

    return [(turn, "way_of", way)]


def _streams_left_open() -> list[Patch]:
    async def close_orphans(self: Progress, session: Any) -> None:
        pass

    return [(Progress, "close_orphans", close_orphans)]


def _stop_forgotten() -> list[Patch]:
    """Only the turn that runs hears of it."""

    async def stop(self: SessionFile, said: Stop, ending: Any) -> Stopped:
        found = await self.prompts(("running", "waiting"))
        return Stopped(found[0] if found else None, bool(found))

    return [(SessionFile, "stop", stop)]


def _stop_heard_twice() -> list[Patch]:
    return [(prompts, "_heard_first", lambda tx, key: True)]


def _stop_ignored_after_a_crash() -> list[Patch]:
    def way(attempt: int, most: int, effects: Any) -> Way:
        return way_of(attempt, most, [e for e in effects if e["kind"] != "turn.stop"])

    return [(turn, "way_of", way)]


# -- effects -----------------------------------------------------------------------------------------


def _intent_behind() -> list[Patch]:
    async def once(self: SessionEffects, kind: str, key: str, *, intent: Any, find: Any, do: Any) -> Any:
        result = await do()
        row = await self._file.plan_of_turn(self._prompt, self._epoch, kind, key, intent)
        await self._file.send_of_turn(self._prompt, self._epoch, row["id"])
        await self._file.effect_done(row["id"], result)
        return result

    return [(SessionEffects, "once", once)]


def _no_look_before_a_second_try() -> list[Patch]:
    async def once(self: SessionEffects, kind: str, key: str, *, intent: Any, find: Any, do: Any) -> Any:
        row = await self._file.plan_of_turn(self._prompt, self._epoch, kind, key, intent)
        if row["state"] == "done":
            return row["result"]
        await self._file.send_of_turn(self._prompt, self._epoch, row["id"])
        result = await do()
        await self._file.effect_done(row["id"], result)
        return result

    return [(SessionEffects, "once", once)]


def _posts_not_looked_for() -> list[Patch]:
    async def look_for(self: Outbox, session: Any, row: Any) -> None:
        return None

    return [(Outbox, "_look_for", look_for)]


def _post_before_its_row() -> list[Patch]:
    """The row says `sending` only after Slack has answered."""
    sending, post = Ledger.effect_sending, Outbox._post

    async def later(self: Ledger, effect_id: int) -> bool:
        return True

    async def posted(self: Outbox, file: SessionFile, session: Any, row: Any) -> Any:
        result = await post(self, file, session, row)
        await sending(file, row["id"])
        return result

    return [(Ledger, "effect_sending", later), (Outbox, "_post", posted)]


def _done_before_the_post() -> list[Patch]:
    send = Outbox._send

    async def first(self: Outbox, file: SessionFile, row: Any) -> Any:
        await file.effect_sending(row["id"])
        await file.effect_done(row["id"], {})
        return await send(self, file, row)

    return [(Outbox, "_send", first)]


def _final_message_apart() -> list[Patch]:
    """State and final message in two transactions."""
    finish = SessionFile.finish

    async def apart(self: SessionFile, *given: Any, effects: Any = (), **more: Any) -> bool:
        ended = await finish(self, *given, **more)
        if ended:
            await self.record(effects=effects)
        return ended

    return [(ending.SessionFile, "finish", apart)]


def _newest_first() -> list[Patch]:
    claim = prompts.claim

    def other(tx: Any, epoch: int) -> Any:
        tx.execute("UPDATE prompts SET id = -id WHERE state = 'queued'")
        try:
            return claim(tx, epoch)
        finally:
            tx.execute("UPDATE prompts SET id = abs(id) WHERE id < 0")

    return [(prompts, "claim", other)]


def _no_fence() -> list[Patch]:
    """A turn of an older boot goes on as if it were still its own."""
    claim, finish = prompts.claim, prompts.finish

    def newest(tx: Any) -> int:
        return int(tx.one("SELECT max(epoch) AS epoch FROM prompts")["epoch"])

    def claimed(tx: Any, epoch: int) -> Any:
        return claim(tx, max(epoch, newest(tx)))

    def finished(tx: Any, prompt_id: int, epoch: int, *given: Any) -> bool:
        return finish(tx, prompt_id, newest(tx), *given)

    def runs(tx: Any, prompt_id: int, epoch: int) -> bool:
        return True

    return [(prompts, "claim", claimed), (prompts, "finish", finished), (prompts, "runs", runs)]


def _effects_not_fenced() -> list[Patch]:
    """The end of an older boot's turn is refused, but what it does outside is not."""
    return [(prompts, "runs", lambda tx, prompt_id, epoch: True)]


# Noticed where a boot that everybody took for dead goes on.
OF_ZOMBIES = (
    Mutant("has no fence", scenarios.MENTION, _no_fence),
    Mutant("fences no effects", scenarios.MENTION, _effects_not_fenced),
)

ALL = (
    Mutant("acknowledges first", scenarios.MENTION, _ack_first),
    Mutant("takes every delivery for another prompt", scenarios.MENTION, _no_dedupe),
    Mutant("tells prompts apart by event id", scenarios.MENTION, lambda: _keyed_by(lambda b: b["event_id"])),
    Mutant("marks no session", scenarios.MENTION, _no_mark),
    Mutant("takes a mark away too early", scenarios.MENTION, _mark_taken_away),
    Mutant("reads nothing back", scenarios.GAP, _nothing_read_back),
    Mutant("queues nothing again", scenarios.MENTION, _nothing_queued_again),
    Mutant("takes nothing up", scenarios.MENTION, _nothing_taken_up),
    Mutant("runs the agent again behind a push", scenarios.MENTION, _runs_again_behind_the_push),
    Mutant("tries for ever", scenarios.ONE_TRY, _tries_for_ever),
    Mutant("leaves streams open", scenarios.MENTION, _streams_left_open),
    Mutant("forgets a stop", scenarios.STOP, _stop_forgotten),
    Mutant("hears a stop twice", scenarios.STOP_AND_GO_ON, _stop_heard_twice),
    Mutant("ignores a stop after a crash", scenarios.STOP, _stop_ignored_after_a_crash),
    Mutant("writes the intent after the effect", scenarios.MENTION, _intent_behind),
    Mutant("does not look before a second try", scenarios.CLOSED, _no_look_before_a_second_try),
    Mutant("does not look for a post", scenarios.MENTION, _posts_not_looked_for),
    Mutant("posts before the row says so", scenarios.MENTION, _post_before_its_row),
    Mutant("calls a post done before it is out", scenarios.MENTION, _done_before_the_post),
    Mutant("writes the final message apart", scenarios.MENTION, _final_message_apart),
    Mutant("runs the newest first", scenarios.SECOND_THOUGHTS, _newest_first),
)
