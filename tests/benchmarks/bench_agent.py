"""A real agent from the mention to the pull request: opencode in a cold sandbox, a stand-in for its model.

Baseline: the same mention for the scripted agent, which starts at once; what is more is opencode's own.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench_walk import Times, following, stages_of
from rows import Row, p50, row

from bot.playground.household import household
from bot.testing import Botty

ROUNDS, QUICK = 4, 1
_SAID = "add the note"
_NOTE = {"command": "echo one > note.md", "description": "Write the note"}


def _fixtures() -> list[dict[str, Any]]:
    from aimock_kit import TITLE, answers, calls

    return [
        TITLE,
        calls(_SAID, ("bash", _NOTE), match={"turnIndex": 0}),
        answers(_SAID, "The note is there.", match={"turnIndex": 1}),
    ]


async def mention(botty: Botty, text: str) -> Times:
    """Seconds of each stage, to the first output, and to the end."""
    begin = time.time()
    thread = await botty.say(text)
    final = await thread.final()
    assert "Done." in final.text, final
    stages = await stages_of(botty, thread)
    spans = {name: later - stages[name] for name, later in following(stages)}
    return {"output": stages["first_output"] - begin, "done": stages["done"] - begin} | spans


async def measured(folder: Path, settings: dict[str, Any], text: str, rounds: int) -> list[Times]:
    limits = {"limits": {"sessions_per_person": 10_000}}
    botty = Botty(household(folder, port=0), settings | limits)
    await botty.start()
    try:
        await mention(botty, text)  # the first one makes the mirror and warms the file cache
        return [await mention(botty, text) for _ in range(rounds)]
    finally:
        await botty.close()


async def measure(folder: Path, rounds: int) -> list[Row]:
    from aimock_kit import aimock

    async with aimock(folder, _fixtures()) as model:
        route = {"name": "model", "kind": "openai", "upstream": f"{model.url}/v1"}
        stub = {"name": "stub", "route": "model", "input_usd": 1.0, "output_usd": 4.0}
        settings = {"gateway": {"routes": [route], "models": [stub]}, "agents": {"default": "opencode"}}
        real = await measured(folder / "real", settings, _SAID, rounds)
    scripted = await measured(folder / "scripted", {}, 'create note.md with "one"', rounds)
    return table(real, scripted)


def table(real: list[Times], scripted: list[Times]) -> list[Row]:
    def median(times: list[Times], name: str) -> float:
        return p50([each[name] for each in times])

    names = {
        "output": ("mention -> first agent output, opencode", "cold; baseline: the scripted agent"),
        "done": ("mention -> pull request, opencode", "the same"),
        "lease": ("  stage lease", "a cold sandbox with the agent's program in it"),
        "sync": ("  stage sync", "the same"),
        "agent_start": ("  stage agent_start", "process, handshake, session, first answer of the model"),
        "first_output": ("  stage first_output", "the agent at work"),
    }
    return [
        row(words, median(real, name), median(scripted, name), note) for name, (words, note) in names.items()
    ]


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """One mention after the other, each in a new thread with a sandbox of its own."""
    sys.path.insert(0, str(Path(__file__).parents[1]))  # the kit of the tests starts the model's stand-in
    with tempfile.TemporaryDirectory() as folder:
        return {"rounds": rounds, "rows": asyncio.run(measure(Path(folder), rounds))}
