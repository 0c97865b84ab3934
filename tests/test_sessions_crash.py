"""kill -9: whatever was happening, what was asked is done once, or fails visibly; and nothing looks alive."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from session_kit import Gates, assert_clean, shows

from bot.playground.household import household
from bot.testing import Botty, Thread

pytestmark = pytest.mark.proof("kills")

# Every place on the way where a plugin is asked, and some of the events; in the order of a turn.
DOORS = (
    "prompt.accepted",
    "classify",
    "lease",
    "tool.started",
    "collect",
    "pushed",
    "published",
    "turn.finished",
)


class BotProcess(Botty):
    """The playground here, the bot as a process of its own that is started again whenever it ends."""

    deaths = 0

    async def start(self) -> None:
        await super().start()  # makes the client session and the playground; the bot in here is not needed
        await self.bot.close()
        self._config = self.home.folder / "with-plugins.toml"
        self._config.write_text(self.home.config.read_text() + self.more)
        self._keeper = asyncio.create_task(self._keep())

    more = ""

    async def close(self) -> None:
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        await super().close()

    async def _keep(self) -> None:
        with (self.home.folder / "bot.log").open("ab") as log:
            while True:
                command = (sys.executable, "-m", "bot", "run", "--config", str(self._config))
                self._process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
                try:
                    code = await self._process.wait()
                except asyncio.CancelledError:
                    with contextlib.suppress(ProcessLookupError):
                        self._process.terminate()
                    await self._process.wait()
                    raise
                assert code == -signal.SIGKILL, (self.home.folder / "bot.log").read_text()[-3000:]
                self.deaths += 1


Living = Callable[..., AbstractAsyncContextManager[BotProcess]]


@pytest.fixture
def gates(tmp_path: Path) -> Gates:
    return Gates(tmp_path / "plugins")


@pytest.fixture
def living(tmp_path: Path, gates: Gates) -> Living:
    @asynccontextmanager
    async def start(**limits: int) -> AsyncIterator[BotProcess]:
        place = BotProcess(household(tmp_path / "household", port=0), {})
        place.more = f'\n[plugins]\nfolder = "{gates.folder}"\n\n[limits]\n' + "".join(
            f"{name} = {value}\n" for name, value in limits.items()
        )
        try:
            await place.start()
            yield place
        finally:
            await place.close()

    return start


async def assert_done_once(place: Botty, thread: Thread, path: str) -> str:
    """One pull request with one commit, one final message that says so; returns its words."""
    pulls: list[dict[str, Any]] = [pull for pull in await place.pulls() if path in pull["files"]]
    assert [len(pull["commits"]) for pull in pulls] == [1]
    [final] = await assert_clean(place, thread)
    assert "Done." in final.text
    return final.everything


async def test_a_turn_that_is_killed_everywhere_on_its_way_is_done_once(
    living: Living, gates: Gates, record_property: Callable[[str, object], None]
) -> None:
    """At eight places in turn; and another thread, which is killed with it each time, as well."""
    for name in DOORS:
        gates.shut(name, "kill")
    async with living(attempts=50) as place:
        thread = await place.say('create a.txt with "a"')
        other = await place.say('create b.txt with "b"', "ben", "web")
        async with asyncio.timeout(100):
            while place.deaths < len(DOORS):
                await place.changed()
        await place.idle()
        said = await assert_done_once(place, thread, "a.txt")
        said += await assert_done_once(place, other, "b.txt")
        assert "restarted" in said
        record_property("cases", place.deaths)


async def test_a_prompt_that_brings_the_bot_down_again_and_again_is_given_up(
    living: Living, gates: Gates
) -> None:
    """Three times; then it fails visibly, and the bot lives on for others."""
    gates.shut("agent", "kill always")
    async with living(attempts=3) as place:
        thread = await place.say('create a.txt with "a"')
        final = await shows(place, thread, "cut off 3 times")
        await place.idle()
        await assert_clean(place, thread)
        assert "did not work" in final.text
        assert place.deaths == 3
        gates.open("agent")
        await thread.say('create b.txt with "b"')
        await place.idle()
        assert [pull["files"] for pull in await place.pulls()] == [["b.txt"]]
