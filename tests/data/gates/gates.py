"""A plugin of the tests: doors on a turn's way, which a test shuts, or which kill the bot that comes to them.

A file `shut/NAME` shuts a door; `reached/NAME` says that somebody stands before it. With `kill` in it, the
bot ends there with SIGKILL, once; with `kill always`, each time.
"""

import asyncio
import os
import signal
from pathlib import Path

from bot import GitPurpose, hookimpl

HOME = Path(__file__).parent


async def door(name):
    shut, reached = HOME / "shut" / name, HOME / "reached" / name
    if not shut.exists():
        return
    reached.touch()
    if (order := shut.read_text()).startswith("kill"):
        if order == "kill":
            shut.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    while shut.exists():
        await asyncio.sleep(0.02)


@hookimpl
async def may(actor, action):
    if action == "start":
        await door("permit")


@hookimpl
async def choose_repository(question):
    await door("classify")


@hookimpl
async def git_access(repository, person, purpose):
    await door("identity" if purpose == GitPurpose.PUSH else "fetch")


@hookimpl
async def lease_sandbox(request):
    await door("lease")


@hookimpl
async def prompt_context(prompt):
    await door("agent")


@hookimpl
async def git_identity(person):
    await door("collect")


@hookimpl(tryfirst=True)
async def publish(change):
    await door("pushed")


@hookimpl
async def session_event(session, event):
    await door(str(event.type))
