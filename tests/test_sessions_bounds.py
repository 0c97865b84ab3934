"""A sandbox that hits a bound while an agent works in it: the thread is told which, and goes on afresh."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from session_kit import assert_clean

from bot.testing import Botty
from plugins.sandbox_runner import local, watch
from plugins.sandbox_runner.cgroups import find

pytestmark = pytest.mark.proof("inside")

FLOODS = {
    "20 MiB of disk": "for n in 1 2 3 4; do head -c 9M /dev/zero > big$n; done",
    "1280 files": "mkdir many; for n in $(seq 2000); do : > many/$n; done",
    "300 MiB of memory": "tail /dev/zero",
}


# An agent that answers what it has to, and at work takes all memory there is.
GLUTTON = """
import json, sys
answers = {"initialize": {"protocolVersion": 1}, "session/new": {"sessionId": "s"}}
for line in sys.stdin:
    asked = json.loads(line)
    eaten = []
    while asked["method"] == "session/prompt":
        eaten.append(b"x" * 1048576)
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": answers[asked["method"]]}), flush=True)
"""


@pytest.fixture
def botty_settings() -> dict[str, Any]:
    glutton = {"command": ["python3", "-c", GLUTTON]}
    repositories = [
        {"name": "acme/storefront", "channels": ["web"]},
        {"name": "acme/ledger", "agent": "glutton"},
    ]
    return {
        "sandbox_runner": {"disk_mib": 20, "memory_mib": 300},
        "agents": {"glutton": glutton},
        "repositories": repositories,
    }


@pytest.fixture
def eager_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        local, "find", lambda parent: None
    )  # else the kernel bounds memory, program by program
    monkeypatch.setattr(watch, "DISK_SECONDS", 0.1)
    monkeypatch.setattr(watch, "MEMORY_SECONDS", 0.1)
    monkeypatch.setattr(watch, "FEWEST_FILES", 100)


@pytest.mark.usefixtures("eager_watch")
async def test_the_thread_is_told_at_which_bound_its_sandbox_ended(
    botty: Botty, record_property: Callable[[str, object], None]
) -> None:
    """In the middle of the agent's work; another thread's goes on, and a reply starts afresh."""
    people = ("ada", "ben", "chloe")
    floods = [
        await botty.say(f"run `{flood}` then wait 60 seconds", person)
        for flood, person in zip(FLOODS.values(), people, strict=True)
    ]
    neighbour = await botty.say('create a.txt with "a"')
    await botty.idle()
    for thread, bound in zip(floods, FLOODS, strict=True):
        [final] = await assert_clean(botty, thread)
        assert "did not work" in final.text
        assert f"The sandbox was ended: its bound of {bound} was reached" in final.everything
    assert "Done." in (await neighbour.final()).text
    await floods[0].say('create b.txt with "b"')
    assert "Done." in (await floods[0].final()).text
    record_property("cases", len(FLOODS))


async def test_the_thread_is_told_when_the_kernel_ends_the_agent_at_its_bound(botty: Botty) -> None:
    groups = find("threadsmith")
    if groups is None or "memory" not in groups.parents:
        pytest.skip("no control group for memory can be made here")
    thread = await botty.say("repo=ledger have lunch")
    final = await thread.final()
    assert "did not work" in final.text
    assert "bound of 300 MiB of memory" in final.everything
    assert "at work" in final.everything
