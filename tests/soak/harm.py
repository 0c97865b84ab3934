"""What goes wrong, seeded: processes killed, sockets cut, deliveries doubled, answers lost or refused."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

from place import Place, Process, Refused, Unsure

POSTS = ("chat.postMessage", "chat.update", "conversations.replies", "reactions.add", "users.info")
STREAMS = ("chat.startStream", "chat.appendStream", "chat.stopStream")
GITHUB = ("POST /repos/*/pulls", "GET /repos/*/pulls*", "git-receive-pack", "git-upload-pack")
SLACK_FAULTS = ("lost_reply", "rate_limited", "server_error")


class Harm:
    """`done` counts what was done to the demo, by kind."""

    def __init__(self, place: Place, chance: random.Random) -> None:
        self._place = place
        self._chance = chance
        self.done: Counter[str] = Counter()
        self.killed: list[Process] = []  # everything that has to be gone, with all it had started

    async def run(self, least: float, most: float) -> None:
        """One harm after another, `least` to `most` seconds apart, until cancelled."""
        kinds: dict[Callable[[], Awaitable[str]], int] = {
            self._kill_bot: 4,
            self._kill_playground: 2,
            self._kill_inside: 2,
            self._disconnect: 2,
            self._duplicate: 4,
            self._slack: 5,
            self._stream: 1,
            self._github: 2,
        }
        while True:
            await asyncio.sleep(self._chance.uniform(least, most))
            try:
                what = await self._chance.choices(list(kinds), list(kinds.values()))[0]()
            except (Refused, Unsure):
                continue  # the playground is down this moment
            if what:
                self.done[what] += 1

    async def _kill_bot(self) -> str:
        bot, below = self._place.part("run"), self._place.inside()
        if not self._place.kill(bot):
            return ""
        self.killed += below
        return "SIGKILL of the bot"

    async def _kill_playground(self) -> str:
        return "SIGKILL of the playground" if self._place.kill(self._place.part("playground")) else ""

    async def _kill_inside(self) -> str:
        """A supervisor, or an agent, or bubblewrap around them."""
        below = [each for each in self._place.inside() if _of_sandbox(each)]
        if not below:
            return ""
        victim = self._chance.choice(sorted(below, key=lambda each: each.pid))
        return "SIGKILL in a sandbox" if self._place.kill(victim) else ""

    async def _disconnect(self) -> str:
        await self._place.act("fault", method="*", kind="disconnect", times=self._chance.randrange(1, 3))
        return "socket cut"

    async def _duplicate(self) -> str:
        name = self._chance.choice(("message", "app_mention", "block_actions", "message_changed"))
        await self._place.act("fault", method=name, kind="duplicate", times=self._chance.randrange(1, 4))
        return "delivery doubled"

    async def _slack(self) -> str:
        kind = self._chance.choice(SLACK_FAULTS)
        await self._place.act("fault", method=self._chance.choice(POSTS), kind=kind, times=1)
        return f"Slack {kind.replace('_', ' ')}"

    async def _stream(self) -> str:
        kind = self._chance.choice((*SLACK_FAULTS, "stream_expired"))
        await self._place.act("fault", method=self._chance.choice(STREAMS), kind=kind, times=1)
        return f"stream {kind.replace('_', ' ')}"

    async def _github(self) -> str:
        kind = self._chance.choice(("lost_reply", "server_error"))
        await self._place.act("fault", method=self._chance.choice(GITHUB), kind=kind, times=1)
        return f"GitHub {kind.replace('_', ' ')}"


def _of_sandbox(process: Process) -> bool:
    return any(word in process.command for word in ("bwrap", "supervisor.py", "scripted_agent"))
