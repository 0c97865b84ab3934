"""What was promised, held against what is seen: while it goes on, when all is idle, and on the disk."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from place import Json, Place, Process, descendants, disk_mib, figures
from talk import Said, Talk

from bot.domain import ThreadKey
from storage import DataFolder, Executor, SessionFile, SessionStore, StateFile

ENDS = {"done", "failed", "stopped"}
MOST_ATTEMPTS = 3
# How a turn may fail here: by a harm that was done to it, or by a bound; all else is a broken promise.
ALLOWED = {
    "cut off 3 times": r"^It was cut off 3 times",
    "sandbox or agent killed": r"sandbox|agent",
    "GitHub refused": r"GitHub|[Pp]ull request|[Pp]ush|[Ff]etch|[Rr]epository|remote|Publishing",
    "Slack refused": r"Slack",
    "too many requests of one person": r"^You have \d+ unfinished requests in other threads",
}
MOST_MIB = 400
MOST_FILES, FILES_OF_SANDBOX = 90, 12


class Judge:
    """`broken` is what was found wrong; `counts` is what there was to see."""

    def __init__(self, place: Place, team: str, bot: str, names: dict[str, str]) -> None:
        self._place = place
        self._team = team
        self._bot = bot
        self._names = names  # user id -> the name their commits bear
        self.broken: list[str] = []
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.most: Json = {"rss_mib": 0, "fds": 0}
        self.seen: dict[tuple[int, str], Process] = {}

    def _say(self, text: str) -> None:
        if text not in self.broken:
            self.broken.append(text)

    # -- while it goes on --------------------------------------------------------------------------

    async def watch(self, talks: list[Talk]) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(2)
            self.measure()
            for talk in list(talks):
                if talk.root:
                    await self.look(talk)
            self._pulls(await self._place.look("pulls"), talks)

    def measure(self) -> None:
        for each in descendants(self._place.process.pid):
            self.seen[each.pid, each.started] = each
        for name, value in figures(self._place.part("run")).items():
            self.most[name] = max(self.most[name], value)

    async def look(self, talk: Talk) -> Json:
        """Final messages: each once, in the order of the prompts, and never taken back."""
        thread: Json = await self._place.look("thread", channel=talk.channel, ts=talk.root)
        posts = [each for each in thread["messages"] if each["user"] == self._bot and not each["deleted"]]
        found = [(key, each) for each in posts if ":final:" in (key := _key(each))]
        keys = [key for key, _ in found]
        for key, times in Counter(keys).items():
            if times > 1:
                self._say(f"{talk.mark}: {times} final messages {key}")
        if [_number(key) for key in keys] != sorted(_number(key) for key in keys):
            self._say(f"{talk.mark}: final messages out of order: {keys}")
        now = {key: str(each["ts"]) for key, each in found}
        if gone := talk.finals.items() - now.items():
            self._say(f"{talk.mark}: final messages gone or posted anew: {sorted(gone)}")
        talk.finals = now
        return thread

    def _pulls(self, pulls: list[Json], talks: list[Talk]) -> None:
        """Of one thread one is open at most; no file and no commit is in two."""
        for talk in talks:
            own = _of(talk, pulls)
            if len([pull for pull in own if pull["state"] == "open"]) > 1:
                self._say(f"{talk.mark}: several open pull requests: {[pull['number'] for pull in own]}")
            if len(own) > talk.merged + 1:
                self._say(f"{talk.mark}: {len(own)} pull requests, {talk.merged} merged")
            commits = Counter(commit["sha"] for pull in own for commit in pull["commits"])
            if double := [sha for sha, times in commits.items() if times > 1]:
                self._say(f"{talk.mark}: commits in two pull requests: {double}")

    # -- when all is idle --------------------------------------------------------------------------

    async def calm(self, talks: list[Talk], seconds: float) -> None:
        """Nothing is queued or running any more, nothing looks alive, nothing has grown."""
        idle = await self._place.look("idle", timeout=str(seconds))
        if not idle["idle"]:
            self._say(f"not idle after {seconds:.0f} s: {idle}")
        for talk in talks:
            if not talk.root:
                continue
            thread = await self.look(talk)
            if open_streams := [each["ts"] for each in thread["messages"] if each["streaming"]]:
                self._say(f"{talk.mark}: streams still open: {open_streams}")
            if thread["status"] == "processing":
                self._say(f"{talk.mark}: still looks as if it were at work")
        self.pulls = await self._place.look("pulls")
        self._pulls(self.pulls, talks)
        self.measure()
        self.end = figures(self._place.part("run"))
        self.end["warm_sandboxes"] = len([e for e in self._place.inside() if "bwrap" in e.command])
        most_files = MOST_FILES + FILES_OF_SANDBOX * self.end["warm_sandboxes"]
        if self.most["rss_mib"] > MOST_MIB or self.end.get("fds", 0) > most_files:
            self._say(f"the bot has grown: {self.most}, at the end {self.end}")

    # -- after it was ended ------------------------------------------------------------------------

    async def ended(self, killed: list[Process]) -> None:
        """Nothing that was ever started is left: no process, no mount, no folder."""
        async with asyncio.timeout(60):
            while left := [each for each in [*self.seen.values(), *killed] if each.alive]:
                if not await _soon(left):
                    self._say(f"processes left: {[(each.pid, each.command[:80]) for each in left]}")
                    break
        data = self._place.data
        mounts = [line for line in Path("/proc/mounts").read_text().splitlines() if str(data) in line]
        if mounts:
            self._say(f"mounts left: {mounts}")
        bot = data / "bot"
        patterns = ("plugins/*/sandboxes/*", "mirrors/*/*.scratch/*", "mirrors/*/.new-*", "kept/*.new")
        left_over = [path for pattern in (*patterns, "sessions/*/*.new") for path in bot.glob(pattern)]
        if left_over:
            self._say(f"left in the data folder: {[str(path.relative_to(bot)) for path in left_over]}")
        self.disk = disk_mib(bot)
        log = self._place.log.read_text(errors="replace")
        if "was never retrieved" in log:
            self._say("an exception was never looked at; see logs/bot.log")

    async def on_disk(self, talks: list[Talk]) -> None:
        """Each thread's file against what was said in it."""
        folder, executor = DataFolder(self._place.data / "bot"), Executor()
        folder.acquire()
        state = await StateFile.open(folder.state_path, executor)
        store = SessionStore(folder, executor)
        waiting = set()
        known = {self._session(talk): talk for talk in talks if talk.root}
        for session in sorted(set(await store.ids()) - known.keys()):
            self._say(f"session {session} belongs to no thread")
        for session, talk in known.items():
            if not store.exists(session):
                self._say(f"{talk.mark}: its session has no file")
                continue
            async with store.use(session) as file:
                if await self._thread(talk, file):
                    waiting.add(session)
        if forgotten := waiting - set(await state.marked()):
            self._say(f"these wait for an answer, and a start would not look: {sorted(forgotten)}")
        await store.close()
        await state.close()
        executor.close()
        folder.release()

    def _session(self, talk: Talk) -> str:
        return str(ThreadKey(self._team, talk.channel, talk.root).session_id)

    async def _thread(self, talk: Talk, file: SessionFile) -> bool:
        """Whether it waits for an answer."""
        rows = {row["key"]: row for row in await file.prompts()}
        said = {f"{talk.channel}:{each.ts}": each for each in talk.said}
        for key in rows.keys() - said.keys():
            self._say(f"{talk.mark}: a prompt nobody said: {rows[key]['text']!r}")
        for key, each in said.items():
            if key in rows:
                self._prompt(talk, each, rows[key], str(file.name))
            elif not each.deleting:
                self._say(f"{talk.mark}: lost what {each.user} said at {each.ts}: {each.versions}")
        owed = await file.effects(("pending", "sending"))
        if owed:
            self._say(f"{talk.mark}: still owed: {[(e['kind'], e['key'], e['state']) for e in owed]}")
        await self._outcomes(talk, file, list(rows.values()))
        return any(row["state"] == "waiting" for row in rows.values())

    def _prompt(self, talk: Talk, said: Said, row: Json, session: str) -> None:
        self.counts["prompts"] += 1
        self.counts[row["state"]] += 1
        final = f"{session}:final:{row['id']}"
        if not any(version in row["text"] for version in said.versions):
            self._say(f"{talk.mark}: {row['text']!r} was never said; said was {said.versions}")
        if row["state"] == "removed":
            if not said.deleting:
                self._say(f"{talk.mark}: {said.versions} was taken out, and nobody had deleted it")
        elif row["state"] == "waiting":
            self.counts["unanswered"] += 1
        elif row["state"] not in ENDS:
            self._say(f"{talk.mark}: {said.versions} is {row['state']} for ever")
        elif final not in talk.finals:
            self._say(f"{talk.mark}: {said.versions} ({row['state']}) has no final message")
        if row["state"] == "removed" and final in talk.finals:
            self._say(f"{talk.mark}: {said.versions} was taken out and has a final message")
        if row["state"] == "stopped" and not talk.stops:
            self._say(f"{talk.mark}: {said.versions} was stopped by nobody")

    async def _outcomes(self, talk: Talk, file: SessionFile, rows: list[Json]) -> None:
        """One commit per finished turn, by the right author, in a pull request that is there."""
        posts = {each["key"]: each for each in await file.effects(kind_prefix="thread.post")}
        pushes = await file.effects(kind_prefix="git.push")
        made = {int(each["key"].partition(":")[2]): each["intent"]["commit"] for each in pushes}
        own = _of(talk, self.pulls)
        commits = {commit["sha"]: commit for pull in own for commit in pull["commits"]}
        for row in rows:
            facts = (posts.get(f"final:{row['id']}") or {}).get("intent") or {}
            if facts.get("outcome") == "failed":
                self._failed(talk, row, str(facts["error"]))
                if "nothing was pushed" in facts["error"] and made.get(row["id"]) in commits:
                    self._say(f"{talk.mark}: said that nothing was pushed, and {made[row['id']]} was")
            if facts.get("outcome") == "done" and row["id"] in made:
                commit = commits.get(made[row["id"]])
                if commit is None:
                    self._say(f"{talk.mark}: said done, but commit {made[row['id']]} is in no pull request")
                elif commit["author"] != self._names[row["author_id"]]:
                    self._say(f"{talk.mark}: {commit['author']} is not who asked for prompt {row['id']}")
            if facts.get("outcome") == "done" and (name := _file(row["text"])):
                self._has_file(talk, name, own)
        if strange := commits.keys() - set(made.values()):
            self._say(f"{talk.mark}: commits that no turn had planned: {strange}")
        if len(made.values()) != len(set(made.values())):
            self._say(f"{talk.mark}: two turns with one commit: {made}")

    def _has_file(self, talk: Talk, name: str, own: list[Json]) -> None:
        if not any(name in pull["files"] for pull in own):
            self._say(f"{talk.mark}: said done, but {name} is in no pull request")

    def _failed(self, talk: Talk, row: Json, error: str) -> None:
        kind = next((kind for kind, pattern in ALLOWED.items() if re.search(pattern, error)), "")
        if "broke on our side" in error or not kind:
            self._say(f"{talk.mark}: prompt {row['id']} failed, and nothing was done to it: {error}")
        if kind.startswith("cut off") and row["interrupted"] < MOST_ATTEMPTS:
            self._say(f"{talk.mark}: prompt {row['id']} was given up after {row['interrupted']} times")
        self.failures[kind or error] += 1


async def _soon(left: list[Process]) -> bool:
    """Whether some of them end by themselves within a few seconds."""
    for _ in range(100):
        if len([each for each in left if each.alive]) < len(left):
            return True
        await asyncio.sleep(0.1)
    return False


def _of(talk: Talk, pulls: list[Json]) -> list[Json]:
    return [pull for pull in pulls if any(path.startswith(f"{talk.mark}-") for path in pull["files"])]


def _file(text: str) -> str:
    found = re.search(r"create (\S+\.txt) with", text)
    return found[1] if found else ""


def _key(message: Json) -> str:
    payload: Any = (message.get("metadata") or {}).get("event_payload") or {}
    return str(payload.get("key", ""))


def _number(key: str) -> int:
    return int(key.rpartition(":")[2])


def databases(folder: Path) -> Iterator[str]:
    """What is wrong with any database of an ended bot."""
    for path in sorted(folder.rglob("*.db")):
        connection = sqlite3.connect(path)
        try:
            answer = connection.execute("PRAGMA integrity_check").fetchone()[0]
        finally:
            connection.close()
        if answer != "ok":
            yield f"{path.name}: {answer}"
