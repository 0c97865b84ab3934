"""An agent that asks what a test tells it to ask, in the whole bot; and people who answer."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from session_kit import until

from bot.domain import SessionId, ThreadKey
from bot.playground import people
from bot.testing import Botty, Post, Thread

PUPPET = Path(__file__).parent / "data" / "puppet_agent.py"
_PLUGIN = """
from pathlib import Path

from bot import AgentRecipe, hookimpl

PUPPET = Path({puppet!r}).read_bytes()


@hookimpl(tryfirst=True)
def register_agents(agents):
    agents.add(
        AgentRecipe(
            name="puppet",
            description="Does what a test tells it.",
            command=("python3", "-E", "-s", "-c", PUPPET.decode()),
            permissions={permissions!r},
        )
    )


@hookimpl
def may(actor, action):
    return False if (actor.id, str(action)) in {denied!r} else None
"""
ONCE = {"optionId": "once", "kind": "allow_once", "name": "Allow"}
ALWAYS = {"optionId": "always", "kind": "allow_always", "name": "Always"}
REJECT = {"optionId": "no", "kind": "reject_once", "name": "No"}


def puppet_settings(
    folder: Path, permissions: str = "ask", denied: Collection[tuple[str, str]] = (), **more: Any
) -> dict[str, Any]:
    """The bot's settings with that agent as the default one. `denied`: who may not do what, by id."""
    folder.mkdir()
    source = _PLUGIN.format(puppet=str(PUPPET), permissions=permissions, denied=set(denied) or {("", "")})
    (folder / "puppet.py").write_text(source)
    return {"plugins": {"folder": str(folder)}, **more}


def command(text: str, options: Sequence[dict[str, str]] = (ONCE, ALWAYS, REJECT), number: int = 7) -> Any:
    """The operation that asks for permission to run a command."""
    tool = {"toolCallId": f"t{number}", "title": "Run the tests", "kind": "execute"}
    tool["rawInput"] = {"command": text}  # type: ignore[assignment]  # a table among texts
    params = {"sessionId": "puppet-1", "toolCall": tool, "options": list(options)}
    return ["request", number, "session/request_permission", params]


def form(question: str, *options: str, number: int = 8) -> Any:
    """The operation that asks people something: between options, or for words."""
    answer: dict[str, Any] = {"type": "string", "title": question}
    if options:
        answer["enum"] = list(options)
    schema = {"type": "object", "properties": {"answer": answer}, "required": ["answer"]}
    params = {"sessionId": "puppet-1", "mode": "form", "message": question, "requestedSchema": schema}
    return ["request", number, "elicitation/create", params]


async def told(botty: Botty, *operations: Any, user: str = "ada") -> Thread:
    """A thread whose agent does these."""
    return await botty.say(json.dumps(list(operations)), user)


async def question(botty: Botty, thread: Thread, words: str = "") -> Post:
    """The open question with these words, once it is there."""

    async def look() -> Post | None:
        asked = [post for post in await thread.by_bot() if _is_open(post) and words in post.everything]
        return asked[-1] if asked else None

    found = await until(botty, look)
    assert isinstance(found, Post)
    return found


def _is_open(post: Post) -> bool:
    return any(str(action["action_id"]).startswith("answer") for action in post.actions)


async def press(botty: Botty, post: Post, thread: Thread, label: str, user: str = "ada") -> None:
    """Press the button with this label."""
    button = next(each for each in _elements(post) if each["text"]["text"] == label)
    await click(botty, post, thread, button["action_id"], button["value"], user)


async def pick(botty: Botty, post: Post, thread: Thread, label: str, user: str = "ada") -> None:
    """Choose this option of the list."""
    [picker] = _elements(post)
    option = next(each for each in picker["options"] if each["text"]["text"] == label)
    await click(botty, post, thread, picker["action_id"], option["value"], user)


async def write(botty: Botty, post: Post, thread: Thread, words: str, user: str = "ada") -> None:
    """Write into the field, and press Enter."""
    [field] = [block["element"] for block in post.raw["blocks"] if block["type"] == "input"]
    await click(botty, post, thread, field["action_id"], words, user)


async def click(
    botty: Botty, post: Post, thread: Thread, action_id: str, value: str, user: str = "ada"
) -> None:
    place = {"channel": thread.channel, "ts": post.ts, "user": botty.person(user)}
    await botty.control("POST", "click", **place, action_id=action_id, value=value)


def labels(post: Post) -> list[str]:
    """What the buttons of a post say."""
    return [element["text"]["text"] for element in _elements(post)]


def _elements(post: Post) -> list[dict[str, Any]]:
    found = [block for block in post.raw["blocks"] if block["type"] == "actions"]
    return [element for block in found for element in block["elements"]]


def session_of(thread: Thread) -> SessionId:
    return ThreadKey(people.TEAM_ID, thread.channel, thread.ts).session_id


async def asked(thread: Thread) -> list[Post]:
    """The posts that are questions of the agent, open or closed."""
    return [
        post
        for post in await thread.by_bot()
        if "May the agent do this?" in post.text or "The agent asks:" in post.text
    ]


async def closed(botty: Botty, thread: Thread, post: Post) -> Post:
    """That post once nothing in it can be pressed any more."""

    async def look() -> Post | None:
        found = next(each for each in await thread.by_bot() if each.ts == post.ts)
        return None if found.actions else found

    found = await until(botty, look)
    assert isinstance(found, Post)
    return found


async def whispered(botty: Botty, thread: Thread, words: str, user: str) -> None:
    """That person alone is told these words."""

    async def look() -> bool:
        told_so = [post for post in await thread.by_bot() if words in post.everything]
        return any(post.raw["ephemeral_to"] == botty.person(user) for post in told_so)

    await until(botty, look)
