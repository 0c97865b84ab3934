"""The walk of a mention, stage by stage, from the person's Enter to the final message in the thread.

Baseline: the same change by hand with git against the same code host, clone to push.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from rows import Row, p50, row

from bot.domain import ThreadKey
from bot.playground import people
from bot.playground.household import household
from bot.testing import Botty, Thread

ROUNDS, QUICK = 12, 3
REPOSITORY = "acme/storefront"
STAGES = {
    "permit": "may this person?",
    "classify": "which repository?",
    "lease": "a cold sandbox; the mirror is fetched meanwhile",
    "sync": "the repository into the sandbox",
    "agent_start": "until the first output",
    "first_output": "the agent at work",
    "last_output": "the last words are stored",
    "collect": "bundle out, checks, the commit",
    "push": "and read back",
    "pull_request": "opened and read back",
}

Times = dict[str, float]


class Witness:
    """Notes when a thread shows what, as the bot's calls reach Slack."""

    def __init__(self) -> None:
        self.seen: Times = {}

    def __call__(self, kind: str, name: str, payload: dict[str, Any]) -> None:
        if (kind, name) == ("event", "reaction_added"):
            self.note(f"reaction {payload['event']['reaction']}")
        elif (kind, name) == ("api", "chat.postMessage"):
            self.note("opening")
            self.seen["final"] = time.time()

    def note(self, what: str) -> None:
        """The first time counts."""
        self.seen.setdefault(what, time.time())


async def mention(botty: Botty, witness: Witness, number: int) -> Times:
    """Seconds from the mention to each sign, and of each stage."""
    witness.seen = {}
    begin = time.time()
    thread = await botty.say(f'create notes/{number}.md with "one" then append "two" to notes/{number}.md')
    await thread.final()
    stages = await stages_of(botty, thread)
    signs = {
        "sign": witness.seen["reaction eyes"],
        "output": stages["first_output"],
        "pull": stages["done"],
        "final": witness.seen["final"],
    }
    spans = {name: later - stages[name] for name, later in following(stages)}
    return {name: at - begin for name, at in signs.items()} | spans


async def stages_of(botty: Botty, thread: Thread) -> Times:
    session = ThreadKey(people.TEAM_ID, thread.channel, thread.ts).session_id
    async with botty.bot.house.store.use(session) as file:
        [turn] = await file.turns()
    return dict(turn["stages"])


def following(stages: Times) -> list[tuple[str, float]]:
    """Each stage with the time at which the next one began."""
    order = sorted(stages, key=stages.__getitem__)
    return [(name, stages[later]) for name, later in itertools.pairwise(order)]


async def by_hand(botty: Botty, folder: Path, number: int) -> float:
    """Seconds for clone, commit and push of such a change with nothing but git."""
    login = people.ADA.github
    token = botty.home.secrets[f"github.{login}"]
    url = f"{botty.home.github_url}/{REPOSITORY}.git".replace("://", f"://{login}:{token}@")
    clone = folder / f"clone{number}"
    begin = time.perf_counter()
    await git(folder, "clone", "--quiet", url, str(clone))
    await asyncio.to_thread((clone / f"hand{number}.md").write_text, "one\ntwo\n")
    await git(clone, "add", "--all")
    await git(clone, "commit", "--quiet", "--message", f"By hand {number}")
    await git(clone, "push", "--quiet", "origin", f"HEAD:refs/heads/by-hand-{number}")
    return time.perf_counter() - begin


async def git(folder: Path, *arguments: str) -> None:
    who = ["-c", "user.name=Hand", "-c", "user.email=hand@example.com"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    process = await asyncio.create_subprocess_exec("git", *who, *arguments, cwd=folder, env=environment)
    assert await process.wait() == 0, arguments


async def measure(folder: Path, rounds: int) -> list[Row]:
    limits = {"sessions_per_person": 10_000}
    botty = Botty(household(folder / "home", port=0), {"limits": limits})
    witness = Witness()
    botty.playground.slack.workspace.observers.append(witness)
    await botty.start()
    try:
        await mention(botty, witness, -1)  # the first one makes the mirror
        walks, hands = [], []
        for number in range(rounds):
            walks.append(await mention(botty, witness, number))
            hands.append(await by_hand(botty, folder, number))
    finally:
        await botty.close()
    return table(walks, p50(hands))


def table(walks: list[Times], hand: float) -> list[Row]:
    def median(name: str) -> float:
        return p50([walk[name] for walk in walks])

    stages = [row(f"  stage {name}", median(name), note=note) for name, note in STAGES.items()]
    return [
        row("mention -> first visible sign", median("sign"), note="👀"),
        row("mention -> first agent output", median("output"), note="cold sandbox, scripted agent"),
        row("mention -> pull request", median("pull"), hand, "baseline: git clone, commit, push by hand"),
        row("mention -> final message", median("final")),
        *stages,
    ]


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """One mention after the other, each in a new thread with a sandbox of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return {"rounds": rounds, "rows": asyncio.run(measure(Path(folder), rounds))}
