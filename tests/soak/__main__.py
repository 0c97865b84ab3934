"""`make soak`: people talk to a real demo for as long as you like while everything in it is killed.

Afterwards, and all the while, what was said is held against what is seen. Exits 1 when a promise is broken,
and then leaves the data folder where it is.
"""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click
from harm import Harm
from judge import Judge, databases
from place import Place, demo
from rich.console import Console
from rich.table import Table
from talk import People

CALM_SECONDS = 420
ANSWERS = 60  # rounds of answering what is still asked in the end


@click.command()
@click.option("--minutes", type=click.FloatRange(0.05, 24 * 60), default=5, show_default=True)
@click.option("--seed", type=int, default=None, help="What is said and done; printed when left out.")
@click.option(
    "--threads", type=click.IntRange(1, 100), default=6, show_default=True, help="Spoken in at a time."
)
@click.option("--pause", type=(float, float), default=(2.0, 9.0), help="Seconds between two harms.")
@click.option("--keep", is_flag=True, help="Leave the data folder in any case.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
def main(
    minutes: float, seed: int | None, threads: int, pause: tuple[float, float], keep: bool, as_json: bool
) -> None:
    """Kill everything, again and again, while people talk to it; then look whether anything was lost."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    folder = Path(tempfile.mkdtemp(prefix="threadsmith-soak-"))
    result = asyncio.run(ended_by_a_signal(Soak(folder, seed, threads, pause).run(minutes * 60)))
    if result["broken"] or keep:
        result["data"] = str(folder)
    else:
        shutil.rmtree(folder)
    if as_json:
        click.echo(json.dumps(result))
    else:
        show(result)
    sys.exit(1 if result["broken"] else 0)


async def ended_by_a_signal(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """So that the demo does not outlive us."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await task


class Soak:
    """`run` it once, for so many seconds."""

    def __init__(self, folder: Path, seed: int, threads: int, pause: tuple[float, float]) -> None:
        self._data = folder / "demo"
        self._seed = seed
        self._threads = threads
        self._pause = pause
        self._begin = time.monotonic()

    def _tell(self, text: str) -> None:
        click.echo(f"{time.monotonic() - self._begin:6.0f} s  {text}", err=True)

    async def run(self, seconds: float) -> dict[str, Any]:
        self._tell(f"seed {self._seed}, {self._threads} threads at a time, data in {self._data}")
        async with demo(self._data) as place:
            state = await place.look("state")
            names = {user["id"]: user["real_name"] for user in state["users"]}
            judge = Judge(place, state["team"]["id"], state["bot"]["id"], names)
            people = People(place, state, self._threads, random.Random(f"said {self._seed}"))
            harm = Harm(place, random.Random(f"done {self._seed}"))
            await self._storm(people, harm, judge, seconds)
            self._tell("no more harm; waiting until all is idle")
            await self._answer_all(people, place)
            await judge.calm(people.talks, CALM_SECONDS)
        self._tell("ended; looking at what is left")
        await judge.ended(harm.killed)
        await judge.on_disk(people.talks)
        judge.broken += databases(self._data)
        return self._result(people, harm, judge)

    async def _storm(self, people: People, harm: Harm, judge: Judge, seconds: float) -> None:
        watching = [
            asyncio.create_task(harm.run(*self._pause)),
            asyncio.create_task(judge.watch(people.talks)),
            asyncio.create_task(self._progress(people, harm, judge)),
        ]
        talking = asyncio.create_task(people.run())
        try:
            done, _ = await asyncio.wait({*watching, talking}, timeout=seconds, return_when="FIRST_COMPLETED")
            for task in done:
                await task  # none of them ends by itself, save by a mistake of ours
            people.over = True
            await talking
        finally:
            for task in [*watching, talking]:
                task.cancel()
            await asyncio.gather(*watching, talking, return_exceptions=True)

    async def _progress(self, people: People, harm: Harm, judge: Judge) -> None:
        while True:
            await asyncio.sleep(15)
            said = sum(len(talk.said) for talk in people.talks)
            ends = sum(len(talk.finals) for talk in people.talks)
            kills = _kills(harm)
            broken = f", BROKEN: {judge.broken}" if judge.broken else ""
            self._tell(
                f"{len(people.talks)} threads, {said} prompts, {ends} final messages, {kills} kills{broken}"
            )

    async def _answer_all(self, people: People, place: Place) -> None:
        """Until nothing waits for an answer: one may open the next question."""
        for _ in range(ANSWERS):
            idle = await place.look("idle", timeout="2")
            if not any([await people.pick(talk) for talk in people.talks]) and idle["idle"]:
                return

    def _result(self, people: People, harm: Harm, judge: Judge) -> dict[str, Any]:
        return {
            "seed": self._seed,
            "seconds": round(time.monotonic() - self._begin),
            "threads": len([talk for talk in people.talks if talk.root]),
            "prompts": dict(judge.counts),
            "failures": dict(judge.failures),
            "pull_requests": len(judge.pulls),
            "commits": sum(len(pull["commits"]) for pull in judge.pulls),
            "kills": _kills(harm),
            "harm": dict(sorted(harm.done.items())),
            "figures": {"most": judge.most, "at the end": judge.end, "data_mib": judge.disk},
            "broken": judge.broken,
        }


def _kills(harm: Harm) -> int:
    return sum(times for what, times in harm.done.items() if what.startswith("SIGKILL"))


def show(result: dict[str, Any]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in result.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {count}" for key, count in value.items())
        if name != "broken":
            table.add_row(name.replace("_", " "), str(value))
    console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
    console.print(table)
    for text in result["broken"]:
        console.print(f"BROKEN: {text}", soft_wrap=True)
    if result["broken"]:
        seed = result["seed"]
        console.print(
            f'Again: make soak ARGS="--seed {seed}"; the data is in {result["data"]}', soft_wrap=True
        )


if __name__ == "__main__":
    main()
