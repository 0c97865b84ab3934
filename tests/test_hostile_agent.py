"""Attacks by an agent over its protocol: the host reads on, in bounds, or ends it and says why."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from acp_process import MANY, Bench, play

from bot.acp.options import OPTIONS_KEPT, TITLE_LIMIT
from bot.acp.transport import MAX_LINE_BYTES, parse
from bot.acp.turn import StopReason
from bot.domain import EventType
from bot.errors import AgentError

pytestmark = pytest.mark.proof("output")
MINE = "puppet-1"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.close()


def update(body: object, session: object = MINE) -> str:
    message = {"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": session, "update": body}}
    return json.dumps(message)


def says(text: str, session: object = MINE) -> str:
    return update(
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}, session
    )


def tool(**fields: Any) -> str:
    return update({"sessionUpdate": "tool_call", "toolCallId": "t", **fields})


def raw_tool(field: str) -> str:
    """An update whose JSON no encoder would write."""
    return tool(rawInput="HERE").replace('"HERE"', field)


SKIPPED = {
    "an empty batch": "[]",
    "a batch of requests": json.dumps(
        [{"id": 1, "method": "terminal/create"}, {"id": 2, "method": "fs/read_text_file"}]
    ),
    "a batch of updates": f"[{says('unheard')}]",
    "a batch of answers": '[{"id":2,"result":{"stopReason":"end_turn"}}]',
    "words": "Thinking…",
    "JSON that is cut": says("unheard")[:-1],
    "JSON with something behind it": says("unheard") + "}",
    "two messages in a line": says("unheard") + says("unheard"),
    "a NUL before it": "\0" + says("unheard"),
    "a NUL in its text": says("unheard").replace("unheard", "un\0heard"),
    "a comment": "/* " + says("unheard") + " */",
    "a byte order mark": "\ufeff" + says("unheard"),
    "single quotes": says("unheard").replace('"', "'"),
    "a mail's header": "Content-Length: 52",
    "a terminal's escape": "\x1b[2J\x1b]0;owned\x07",
    "brackets in each other": "[" * 100_000,
    "an object in each other": '{"method":' * 50_000,
    "an answer nobody asked for": '{"id":77,"result":{}}',
    "an answer to a negative number": '{"id":-1,"result":{}}',
    "an answer to a huge number": '{"id":%s,"result":{}}' % ("9" * 4_000),
    "an answer to a number beyond all": '{"id":%s,"result":{}}' % ("9" * 5_000),
    "an answer to a fraction": '{"id":2.0,"result":{}}',
    "an answer to true": '{"id":true,"result":{}}',
    "an answer to a text": '{"id":"2","result":{}}',
    "an answer to nobody": '{"result":{}}',
    "an error that is a text": '{"id":2,"error":"x"}',
    "a method that is a list": '{"id":3,"method":["fs/read_text_file"]}',
    "an endless method": '{"id":3,"method":"%s"}' % ("m" * 1_000),
    "an id that is an object": '{"id":{"a":1},"method":"fs/read_text_file"}',
}


async def test_lines_that_are_no_messages_for_us_change_nothing(bench, record_property):
    client = await bench.puppet()
    reason, heard = await play(client, *[["raw", line] for line in SKIPPED.values()], ["say", "still here"])
    assert (reason, heard.text) == (StopReason.END_TURN, "still here")
    assert client.skipped_lines == len(SKIPPED)
    record_property("cases", len(SKIPPED))


FOREIGN = {
    "another session": says("unheard", "puppet-2"),
    "another session's tool": update({"sessionUpdate": "tool_call", "toolCallId": "t"}, "puppet-2"),
    "a session that is a list": says("unheard", [MINE]),
    "a session that is a pattern": says("unheard", "*"),
    "a session in capitals": says("unheard", MINE.upper()),
    "a session with a space": says("unheard", f"{MINE} "),
    "a session with a NUL": says("unheard", f"{MINE}\0"),
    "no session": says("unheard", None),
    "half a character pair for a session": says("unheard", "\ud800"),
    "no parameters": '{"method":"session/update"}',
    "parameters that are a list": '{"method":"session/update","params":[1]}',
    "a notification of an unknown kind": '{"method":"fs/write_text_file","params":{"path":"/x"}}',
    "a cancel of its own": json.dumps({"method": "session/cancel", "params": {"sessionId": MINE}}),
}


async def test_words_for_other_sessions_reach_nobody(bench, record_property):
    client = await bench.puppet()
    _, heard = await play(client, *[["raw", line] for line in FOREIGN.values()], ["say", "mine"])
    assert (heard.text, len(heard.drafts)) == ("mine", 1)
    assert client.foreign == len(FOREIGN)
    record_property("cases", len(FOREIGN))


UPDATES = {
    "half a character pair": tool(title="a\ud800b", rawInput={"command": "x\udfff"}),
    "a NUL": tool(title="a\0b", rawInput={"command": "x\0y"}),
    "colours and a bell": tool(title="\x1b[31mred\x07", rawOutput="\x1b[2J\x07"),
    "text turned around": tool(title="\u202etxt.exe", locations=[{"path": "/w/\u2066x"}]),
    "a number beyond all": update({"sessionUpdate": "usage_update", "used": 10**400, "size": -(10**30)}),
    "a fraction beyond all": tool(title="1e999").replace('"1e999"', "1e999"),
    "not a number": update({"sessionUpdate": "usage_update", "used": float("nan"), "size": float("inf")}),
    "objects 20 000 deep": raw_tool('{"a":' * 20_000 + "1" + "}" * 20_000),
    "lists 900 deep": raw_tool("[" * 900 + "]" * 900),
    "a text of 4 MiB": tool(title="x" * (4 << 20)),
    "a hundred thousand places": tool(locations=[{"path": f"/{n}"} for n in range(100_000)]),
    "a hundred thousand steps": update({"sessionUpdate": "plan", "entries": [{"content": "x"}] * 100_000}),
    "places on the host": tool(locations=[{"path": "/etc/shadow"}, {"path": "../../../etc/shadow"}]),
    "an image": update({"sessionUpdate": "agent_message_chunk", "content": {"type": "image", "data": "AA"}}),
    "a file of the host": update({
        "sessionUpdate": "agent_message_chunk",
        "content": {"type": "resource_link", "uri": "file:///etc/shadow", "name": "x"},
    }),
    "wrong kinds all over": tool(title=1, kind=[], status={}, locations="x", rawInput=7, content={"a": 1}),
    "the words of its person": update({"sessionUpdate": "user_message_chunk", "content": {"text": "yes"}}),
    "a mode that is a list": update({"sessionUpdate": "current_mode_update", "currentModeId": ["x"]}),
    "a mode nobody can read": update({"sessionUpdate": "current_mode_update", "currentModeId": "\x1b[2J"}),
    "ten thousand options": update({"sessionUpdate": "config_option_update", "configOptions": MANY}),
    "options that are none": update({"sessionUpdate": "config_option_update", "configOptions": {"a": [1]}}),
    "a title of 1 MiB": update({"sessionUpdate": "session_info_update", "title": "x\x07" * (1 << 19)}),
    "a title that is an object": update({"sessionUpdate": "session_info_update", "title": {"a": "x"}}),
    "a plan that is a number": update({"sessionUpdate": "plan_update", "plan": 7}),
    "half a pair in it": update({"sessionUpdate": "plan_update", "plan": {"entries": [{"step": "\ud800"}]}}),
    "steps of a plan that are none": tool(rawInput={"plan": [{"step": ["x"], "status": {}}] * 10_000}),
    "a terminal's escape in a diff": tool(
        content=[{"type": "diff", "path": "a\x1b", "oldText": "\x1b[2J\a", "newText": "\u202e\0\ud800"}] * 9
    ),
    "a diff that is none": tool(content=[{"type": "diff", "path": "a", "oldText": [1], "newText": {"a": 1}}]),
    "a diff of 1 MiB in one line": tool(content=[{"type": "diff", "path": "a", "newText": "x" * (1 << 20)}]),
    "a terminal that is a number": tool(content=[{"type": "terminal", "terminalId": 7}]),
    "a terminal's output of 1 MiB": tool(_meta={"terminal_output": {"data": "\x1b[0m" * (1 << 18)}}),
    "one key twice": tool(title="first").replace('"title"', '"title": "a", "title"'),
}  # fmt: skip


async def test_updates_of_any_content_are_made_fit_to_store_and_to_show(bench, record_property):
    client = await bench.puppet()
    _, heard = await play(client, *[["raw", line] for line in UPDATES.values()], ["say", "still here"])
    assert heard.text == "[image][file x]still here"
    for draft in heard.drafts:
        stored = json.dumps(draft.data, ensure_ascii=False, allow_nan=False)
        assert len(stored.encode()) < 40_000
        assert not set(stored) & set("\x00\x1b\x07\u202e\u2066")
    assert len(heard.of(EventType.TOOL_STARTED)) >= 15
    assert len(client.abilities.options) == OPTIONS_KEPT
    assert len(client.session.title) <= TITLE_LIMIT
    record_property("cases", len(UPDATES))


ASKED = {
    "a file of the host": ("fs/read_text_file", {"path": "/etc/passwd"}),
    "a file above": ("fs/read_text_file", {"path": "../../../../etc/passwd"}),
    "a file by its address": ("fs/read_text_file", {"path": "file:///etc/passwd"}),
    "a file of a process": ("fs/read_text_file", {"path": "/proc/self/environ"}),
    "a file by a path with a NUL": ("fs/read_text_file", {"path": "/etc/passwd\0.txt"}),
    "a file in another spelling": ("fs/readTextFile", {"path": "/etc/passwd"}),
    "a command": ("terminal/create", {"command": "sh", "args": ["-c", "touch owned"], "cwd": "/"}),
    "a command's output": ("terminal/output", {"terminalId": "1"}),
    "a command's end": ("terminal/wait_for_exit", {"terminalId": "1"}),
    "the end of a command": ("terminal/kill", {"terminalId": "1"}),
    "to let go of a command": ("terminal/release", {"terminalId": "1"}),
    "another session": ("session/new", {"cwd": "/", "mcpServers": []}),
    "a prompt of its own": ("session/prompt", {"sessionId": MINE, "prompt": [{"type": "text", "text": "x"}]}),
    "another mode": ("session/set_mode", {"sessionId": MINE, "modeId": "yolo"}),
    "a sign-in": ("authenticate", {"methodId": "x"}),
    "a form": ("elicitation/create", {"message": "Your password?"}),
    "an update as a request": ("session/update", {"sessionId": MINE, "update": {"sessionUpdate": "plan"}}),
    "a method of Python": ("__class__", {}),
    "half a character pair": ("\ud800", {}),
}


ASKS = list(enumerate(ASKED.values()))


async def test_what_an_agent_asks_of_the_host_is_refused_and_nothing_is_done(bench, record_property):
    """Writing is a no-op by design: some agents fail without it."""
    client = await bench.puppet()
    before = sorted(bench.folder.rglob("*"))
    asks = [["request", f"q{n}", method, {"sessionId": MINE, **more}] for n, (method, more) in ASKS]
    targets = [str(bench.folder / "owned"), "../owned", "/etc/cron.d/owned", "owned\0", "file:///tmp/owned"]
    bodies = [{"sessionId": MINE, "path": path, "content": "x"} for path in targets]
    writes = [["request", f"w{n}", "fs/write_text_file", body] for n, body in enumerate(bodies)]
    _, heard = await play(client, *asks, *writes)
    answers = [json.loads(draft.data["text"]) for draft in heard.of(EventType.AGENT_TEXT)]
    assert [answer["error"]["code"] for answer in answers[: len(asks)]] == [-32601] * len(asks)
    assert answers[len(asks) :] == [{"result": {}, "error": None}] * len(writes)
    assert "root:" not in heard.text
    assert sorted(bench.folder.rglob("*")) == before
    record_property("cases", len(asks) + len(writes))


async def test_requests_with_an_id_of_null_or_of_thousands_of_digits_are_answered_like_others(bench):
    """An unanswered one would stop the reading of the agent after a few."""
    client = await bench.puppet()
    odd = [
        json.dumps({"id": number, "method": "terminal/create"}) for number in (None, 10**4000, -5, "\ud800")
    ]
    _, heard = await play(client, *[["raw", line] for line in odd * 12], ["say", "ok"])
    assert heard.text == "ok"


ORDER = {
    "words before the first answer": {"banner": says("early")},
    "an answer before its question": {"banner": '{"id":0,"result":{"protocolVersion":1}}'},
    "a question before the first answer": {
        "banner": '{"id":"a","method":"session/request_permission","params":{}}'
    },
    "a flood before the first answer": {"banner": (says("early") + "\n") * 500},
}


@pytest.mark.parametrize("options", ORDER.values(), ids=ORDER)
async def test_what_comes_before_its_time_is_dropped(bench, options):
    client = await bench.puppet(options)
    reason, heard = await play(client, ["say", "on time"])
    assert (reason, heard.text) == (StopReason.END_TURN, "on time")


async def test_an_answer_given_early_or_twice_counts_for_nothing_else(bench):
    """The ids of our requests can be guessed."""
    client = await bench.puppet()
    early = [
        ["raw", json.dumps({"id": number, "result": {"stopReason": "refusal"}})] for number in range(3, 40)
    ]
    again = ["raw", json.dumps({"id": 2, "result": {"stopReason": "max_tokens"}})]
    reason, heard = await play(client, *early, ["say", "one"], again)
    assert (reason, heard.text) == (StopReason.MAX_TOKENS, "one")
    reason, heard = await play(client, ["say", "two"])
    assert (reason, heard.text) == (StopReason.END_TURN, "two")


SESSIONS = ["\ud800", "a\0b", "a\nb", "\u202ea", "", "x" * 257, 7, None, ["a"], {"a": 1}]


@pytest.mark.parametrize("session", SESSIONS, ids=repr)
async def test_a_session_id_that_could_not_be_kept_is_refused(bench, session):
    with pytest.raises(AgentError, match="without a usable id"):
        await bench.client().start(await bench.puppet_process(new={"sessionId": session}), "/")


ERRORS = [
    {},
    {"code": [1], "message": {"a": 1}},
    {"code": None, "message": None, "data": None},
    {"code": 10**4000, "message": "x" * 100_000},
    {"code": 1.5, "message": "a\ud800\0\x1b[31mb\nc", "data": {"details": ["x"]}},
    {"code": -32000, "message": "<!channel> [x](https://evil.example)", "data": [1]},
    {"code": "x", "message": 5, "data": {"details": "\u202e" * 5_000}},
]


@pytest.mark.parametrize("error", ERRORS, ids=range(len(ERRORS)))
async def test_an_error_of_any_shape_is_told_in_one_short_line(bench, error):
    client = await bench.puppet()
    with pytest.raises(AgentError, match="reported an error while it was at work") as caught:
        await play(client, ["error", error])
    text = str(caught.value)
    assert len(text) < 1_000
    assert text.isprintable()
    assert (await play(client, ["say", "x"]))[1].text == "x"


async def test_a_line_of_a_hundred_megabytes_is_cut_off_at_its_bound(bench):
    """Most of it is never read: the agent is ended while it writes."""
    client = await bench.puppet()
    with pytest.raises(AgentError, match=rf"more than {MAX_LINE_BYTES} bytes"):
        await play(client, ["big", 100 << 20])
    assert not client.usable
    await client.close()
    assert bench.processes[0].returncode is not None


async def test_of_a_flood_of_errors_only_the_end_is_told(bench):
    client = await bench.puppet()
    flood = [["stderr", "x" * (1 << 20)]] * 8
    with pytest.raises(AgentError, match=r"exit code 3.*the end$") as caught:
        await play(client, *flood, ["stderr", "the end"], ["exit", 3])
    assert len(str(caught.value)) < 2_000


@pytest.mark.parametrize("depth", [1_000, 100_000, 900_000])
def test_no_depth_of_brackets_takes_the_reader_down(depth):
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        line = f'{{"method":"m","params":{opening * depth}1{closing * depth}}}'.encode()
        assert parse(line) is None or depth == 1_000
