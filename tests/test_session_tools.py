"""The session's own MCP server: an agent's way to its thread, by the script in a sandbox and a real door."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking_kit import asked, closed, form, press, puppet_settings, question, session_of, told, write
from session_kit import shows, until

from bot.acp.questions import Option, Question
from bot.domain import Prompt
from bot.errors import UserError
from bot.sessions import polls, shelf, tools
from bot.sessions.questions import Questions
from bot.sessions.rows import prompt_of
from bot.sessions.shelf import Shelf
from bot.sessions.tools import SessionTools
from bot.sessions.workbench import Workbench
from bot.testing import Botty, Thread
from storage import SessionFile

PATIENT = {"_meta": {"progressToken": 7}}


@pytest.fixture
def botty_settings(tmp_path: Path) -> dict[str, Any]:
    return puppet_settings(tmp_path / "plugins", "allow")


def call(name: str, meta: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    params = {"name": name, "arguments": arguments, **(meta or {})}
    return {"id": 1, "method": "tools/call", "params": params}


async def answers(botty: Botty, thread: Thread) -> list[dict[str, Any]]:
    """What the agent was answered, in order, once its turn has ended: it repeats each."""
    await botty.idle()
    async with botty.bot.house.store.use(session_of(thread)) as file:
        events = await file.events(limit=5000)
    text = "".join(event["data"]["text"] for event in events if event["type"] == "agent.text")
    found, at, decoder = [], 0, json.JSONDecoder()
    while at < len(text):
        answer, at = decoder.raw_decode(text, at)
        found.append(answer)
    return found


def text_of(answer: dict[str, Any]) -> str:
    """The words of a tool's result, "!" before those of an error."""
    result = answer["result"]
    return ("!" if result["isError"] else "") + str(result["content"][0]["text"])


async def results(botty: Botty, thread: Thread) -> list[str]:
    return [text_of(answer) for answer in await answers(botty, thread)]


@asynccontextmanager
async def running(botty: Botty, thread: Thread) -> AsyncIterator[tuple[SessionFile, Prompt]]:
    """The file and the running prompt of a thread, as another attempt, so that names of questions differ."""
    async with botty.bot.house.store.use(session_of(thread)) as file:
        [row] = await file.prompts(("running",))
        yield file, replace(prompt_of(row, session_of(thread)), attempt=99)


@asynccontextmanager
async def tools_of(botty: Botty, thread: Thread) -> AsyncIterator[SessionTools]:
    """The tools of its running turn once more, to be called by hand."""
    async with running(botty, thread) as (file, prompt):
        house = botty.bot.house
        own = SessionTools(house, file, prompt, Questions(house, file, prompt))
        yield own
        await own.close()


# -- the protocol --------------------------------------------------------------------------------


async def test_it_speaks_the_protocol_and_offers_three_tools_without_a_destination(botty: Botty) -> None:
    hello = {"capabilities": {}, "clientInfo": {"name": "puppet", "version": "1"}}
    thread = await told(
        botty,
        [
            "mcp",
            {"id": "a", "method": "initialize", "params": {"protocolVersion": "2025-06-18", **hello}},
            {"id": "b", "method": "initialize", "params": {"protocolVersion": "1999-01-01", **hello}},
            {"method": "notifications/initialized"},
            {"id": 0, "method": "ping"},
            {"id": 1, "method": "tools/list", "params": {}},
            {"id": 2, "method": "resources/list"},
            {"id": 3, "method": "tools/call", "params": {"name": "push", "arguments": {}}},
            {"id": 4, "method": "tools/call", "params": ["ask"]},
        ],
    )
    old, new, pong, listed, no_method, no_tool, no_params = await answers(botty, thread)
    assert (old["id"], old["result"]["protocolVersion"]) == ("a", "2025-06-18")
    assert (new["result"]["protocolVersion"], "tools" in new["result"]["capabilities"]) == (
        "2025-11-25",
        True,
    )
    assert pong == {"jsonrpc": "2.0", "id": 0, "result": {}}
    offered = {tool["name"]: set(tool["inputSchema"]["properties"]) for tool in listed["result"]["tools"]}
    assert offered == {
        "ask": {"question", "options"},
        "post_file": {"path", "title"},
        "open_pull_request": {"title", "note"},
    }
    assert [each["error"]["code"] for each in (no_method, no_tool, no_params)] == [-32601, -32602, -32602]


async def test_arguments_that_do_not_fit_are_named_and_nothing_comes_of_them(botty: Botty) -> None:
    wrong = [
        ("question", call("ask")),
        ("question", call("ask", question="")),
        ("question", call("ask", question=7)),
        ("channel", call("ask", question="Which?", channel="C1")),
        ("options", call("ask", question="Which?", options="left")),
        ("options.0", call("ask", question="Which?", options=["x" * 301])),
        ("Ask something", call("ask", question=" \u0000 ")),
        ("up to 100", call("ask", question="Which?", options=["x"] * 101)),
        ("title", call("open_pull_request", title="x" * 201)),
        ("branch", call("open_pull_request", title="x", branch="main")),
        ("thread_ts", call("post_file", path="/etc/hostname", thread_ts="1.1")),
        ("cannot be read: No such file", call("post_file", path="nothing.txt")),
        ("cannot be read", call("post_file")),
    ]
    thread = await told(botty, ["mcp", *(each for _, each in wrong)])
    for (words, _), text in zip(wrong, await results(botty, thread), strict=True):
        assert text.startswith("!"), text
        assert words in text
    assert await asked(thread) == []


# -- ask -----------------------------------------------------------------------------------------


async def test_an_agent_asks_its_thread_and_is_told_the_answers(botty: Botty) -> None:
    first = call("ask", question="Which side?", options=["left", "right"])
    thread = await told(botty, ["mcp", first, call("ask", question="Which name?")])
    post = await question(botty, thread, "Which side?")
    await press(botty, post, thread, "right")
    await write(botty, await question(botty, thread, "Which name?"), thread, "Ada")
    assert await results(botty, thread) == ["right", "Ada"]
    assert "*right*, said" in (await closed(botty, thread, post)).everything


async def test_a_call_that_may_not_take_long_comes_back_and_the_next_gets_the_answer(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many clients give a call a minute. The question is one, however often it is asked."""
    monkeypatch.setattr(polls, "POLL_SECONDS", 0.1)
    ask = call("ask", question="Which side?", options=["left", "right"])
    thread = await told(botty, ["mcp", ask], ["mcp", {**ask, "params": ask["params"] | PATIENT}])
    await shows(botty, thread, "Nobody has answered yet")
    await press(botty, await question(botty, thread), thread, "left")
    assert await results(botty, thread) == [polls.NOT_YET, "left"]
    assert len(await asked(thread)) == 1


async def test_a_question_nobody_asks_for_any_more_is_withdrawn(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polls, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(polls, "GRACE_SECONDS", 0.1)
    thread = await told(botty, ["mcp", call("ask", question="Which side?", options=["left"])], form("Wait?"))
    await question(botty, thread, "Wait?")

    async def withdrawn() -> bool:
        return any("does not wait for it any more" in post.everything for post in await asked(thread))

    await until(botty, withdrawn)
    await thread.stop()
    await botty.idle()


# -- post_file and open_pull_request -------------------------------------------------------------


async def planned(botty: Botty, thread: Thread) -> list[dict[str, Any]]:
    async with botty.bot.house.store.use(session_of(thread)) as file:
        return [row["intent"] for row in await file.effects(kind_prefix="thread.file")]


async def test_a_file_is_posted_in_the_thread_and_kept_by_its_content_until_then(botty: Botty) -> None:
    """The host opens no path of the sandbox: a link there is followed there, and names are only names."""
    thread = await told(
        botty,
        ["write", "/tmp/../tmp/a report.txt", "all is well"],
        [
            "mcp",
            call("post_file", path="/tmp/../tmp/a report.txt", title="A\nreport"),
            call("post_file", path=".git"),
        ],
    )
    done, folder = await results(botty, thread)
    assert done == "a report.txt is being posted in the thread."
    assert folder == "!The file cannot be read: Is a directory."
    [facts] = await planned(botty, thread)
    assert (facts["name"], facts["title"], facts["prompt_id"]) == ("a report.txt", "A report", 1)
    kept = hashlib.sha256(b"all is well").hexdigest()
    assert facts["path"] == f"files/{session_of(thread)}/{kept}"
    posted = [file for post in await thread.by_bot() for file in post.raw.get("files") or []]
    assert [file["name"] for file in posted] == ["a report.txt"]


async def test_files_posted_at_once_are_all_posted_also_the_same_one_twice(botty: Botty) -> None:
    thread = await told(botty, form("Wait?"))
    await question(botty, thread, "Wait?")
    async with tools_of(botty, thread) as own:
        contents = [base64.b64encode(text).decode() for text in (b"one", b"two", b"one")]
        calls = [call("post_file", path=f"{n}.txt", content=each) for n, each in enumerate(contents)]
        said = [text_of(answer or {}) for answer in await asyncio.gather(*map(own.handle, calls))]
    assert said == [f"{n}.txt is being posted in the thread." for n in range(3)]
    await thread.stop()
    await botty.idle()
    posted = [file["name"] for post in await thread.by_bot() for file in post.raw.get("files") or []]
    assert posted == ["0.txt", "1.txt", "2.txt"]


async def test_a_shelf_holds_so_much_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still owed counts; what nobody owes makes room."""
    monkeypatch.setattr(shelf, "FILE_MIB", 1)
    monkeypatch.setattr(shelf, "_MOST_MIB", 1)
    kept, half = Shelf(tmp_path, "s"), b"x" * (600 * 1024)
    with pytest.raises(UserError, match="larger than 1 MiB"):
        await kept.put(half * 2, ())
    first = await kept.put(half, ())
    with pytest.raises(UserError, match="Too much waits"):
        await kept.put(half[1:], {first.name})
    second = await kept.put(half[1:], ())
    assert list(second.parent.iterdir()) == [second]


async def test_what_is_posted_is_bounded(botty: Botty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "MOST_FILES", 1)
    small = call("post_file", path="small")
    thread = await told(
        botty,
        ["write", "big", "x" * 100],
        ["write", "small", "x"],
        ["write", "empty", ""],
        ["grow", "big", 8 * 1024 * 1024 + 1],
        ["mcp", call("post_file", path="big"), call("post_file", path="empty"), small, small],
    )
    assert await results(botty, thread) == [
        "!The file cannot be read: it is larger than 8 MiB.",
        "!The file is empty.",
        "small is being posted in the thread.",
        "!No more than 1 files are posted for one request.",
    ]


async def test_a_pull_request_has_the_title_and_note_its_agent_wanted(botty: Botty) -> None:
    """Its last wish counts; the branch and where it goes do not change by that."""
    wishes = [("First", "no"), ("Say hello\nin a file", "Because it is *polite*. @channel")]
    calls = [call("open_pull_request", title=title, note=note) for title, note in wishes]
    await told(botty, ["write", "hello.txt", "hello"], ["mcp", *calls])
    await botty.idle()
    [pull] = await botty.pulls()
    assert pull["title"] == "Say hello in a file"
    assert "Because it is *polite*." in pull["body"]
    assert pull["commits"][0]["message"].startswith("Say hello in a file")
    assert pull["base"] == "main"


# -- bounds --------------------------------------------------------------------------------------


async def test_calls_are_bounded_at_once_and_in_all(botty: Botty, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "MOST_CALLS", 9)
    monkeypatch.setattr(tools, "MOST_AT_ONCE", 2)
    thread = await told(botty, form("Wait?"))
    await question(botty, thread, "Wait?")
    async with tools_of(botty, thread) as own:
        open_ones = [asyncio.create_task(own.handle(call("ask", question=f"Number {n}?"))) for n in range(2)]
        await question(botty, thread, "Number 1?")
        refused = [await own.handle(call("ask", question="One more?")) for _ in range(2)]
        assert ["too many calls" in text_of(answer or {}) for answer in refused] == [True, True]
        await own.close()
        closed_ones = [text_of(answer or {}) for answer in await asyncio.gather(*open_ones)]
        assert closed_ones == [polls.NOBODY, polls.NOBODY]
        monkeypatch.setattr(tools, "MOST_CALLS", 3)
        wish = call("open_pull_request", title="x")
        in_all = [text_of(await own.handle(wish) or {}) for _ in range(2)]
        assert ["too many" in text for text in in_all] == [False, True]
        for unasked in ({}, {"id": 1, "result": {}}, {"id": None, "method": "ping"}, {"id": 1, "method": []}):
            assert await own.handle(unasked) is None
    await thread.stop()
    await botty.idle()


async def test_tools_end_with_their_turn(botty: Botty) -> None:
    thread = await told(botty, form("Wait?"))
    await question(botty, thread, "Wait?")
    async with tools_of(botty, thread) as own:
        await thread.stop()
        await botty.idle()
        late = await own.handle(call("post_file", path="a", content="eA=="))
        assert text_of(late or {}) == "!This turn is over; nothing is posted."
        late = await own.handle(call("ask", question="Which?"))
        assert text_of(late or {}) == polls.NOBODY
    assert len(await asked(thread)) == 1


async def test_while_people_are_waited_for_the_agents_silence_is_no_fault(botty: Botty) -> None:
    thread = await told(botty, form("Wait?"))
    await question(botty, thread, "Wait?")
    async with running(botty, thread) as (file, prompt):
        bench = Workbench(botty.bot.house, session_of(thread))
        questions = Questions(botty.bot.house, file, prompt)
        questions.attend(bench)
        assert not bench.waiting()
        asking = asyncio.create_task(questions.ask(Question("Which?", (Option("a", "a"),))))
        await question(botty, thread, "Which?")
        assert bench.waiting()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert not bench.waiting()
