"""The ACP client against a puppet: a real process over real pipes that behaves well or badly as told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import acp.schema
import pytest
from acp_process import Bench, Heard, LocalProcess, play

from bot.acp.client import AgentClient, text_block
from bot.acp.failures import AgentRefused
from bot.acp.inbox import LEFT_OUT
from bot.acp.requests import PermissionAsk
from bot.acp.turn import StopReason
from bot.acp.updates import Draft
from bot.domain import EventType
from bot.errors import AgentError, SandboxGone


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.close()


def chunk(text: str) -> dict[str, object]:
    return {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}


def permission(session: str = "puppet-1") -> dict[str, object]:
    kinds = ("reject_once", "allow_always", "allow_once")
    options = [{"optionId": f"id-{kind}", "name": kind, "kind": kind} for kind in kinds]
    return {"sessionId": session, "toolCall": {"toolCallId": "t1", "title": "Edit x"}, "options": options}


# -- starting ------------------------------------------------------------------------------------


async def test_what_is_sent_fits_the_protocol_and_offers_neither_files_nor_terminals(bench):
    client = await bench.puppet()
    _, heard = await play(client, ["seen"])
    sent = {message["method"]: message["params"] for message in json.loads(heard.text)}
    hello = acp.schema.InitializeRequest.model_validate(sent["initialize"])
    assert hello.protocol_version == 1
    assert hello.client_capabilities.fs.read_text_file is False
    assert hello.client_capabilities.fs.write_text_file is False
    assert hello.client_capabilities.terminal is False
    assert acp.schema.NewSessionRequest.model_validate(sent["session/new"]).cwd == str(bench.folder)
    assert acp.schema.PromptRequest.model_validate(sent["session/prompt"]).session_id == client.session_id


async def test_lines_that_are_no_messages_are_skipped_and_counted(bench):
    client = await bench.puppet({"banner": "Welcome to the agent!"})
    bad = [
        "[1]",
        "7",
        '{"id": {}, "result": 1}',
        '{"id": 1, "error": "x"}',
        '{"method": 5}',
        "\u00ff\x00",
        "[" * 5000,
    ]
    reason, heard = await play(client, *[["raw", line] for line in bad], ["say", "still here"])
    assert (reason, heard.text) == (StopReason.END_TURN, "still here")
    assert client.skipped_lines == 1 + len(bad)


async def test_an_old_session_is_loaded_where_the_agent_can_and_its_history_is_not_repeated(bench):
    outside = Heard()
    client = bench.client(outside=outside)
    session = await client.start(await bench.puppet_process(load=True, session="old"), "/", session_id="old")
    assert (session, client.resumed) == ("old", True)
    _, heard = await play(client, ["say", "new"])
    assert heard.text == "new"
    assert outside.drafts == []


@pytest.mark.parametrize("load", [False, "refuse"])
async def test_a_session_that_cannot_be_loaded_becomes_a_new_one_and_says_so(bench, load):
    client = bench.client()
    session = await client.start(await bench.puppet_process(load=load), "/", session_id="old")
    assert (session, client.resumed) == ("puppet-1", False)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"version": 2}, "speaks version 2"),
        ({"version": "1"}, "speaks version '1'"),
        ({"new": {"sessionId": ["x"]}}, "without a usable id"),
        ({"new": {"sessionId": "x" * 300}}, "without a usable id"),
        ({"new": {"code": -32000, "message": "Authentication required"}}, "the key"),
        ({"exit": 3, "stderr": "no model\x1b[31m configured\n"}, "exit code 3"),
        ({"exit": 3, "stderr": "no model\x1b[31m configured\n"}, "no model configured"),
    ],
)
async def test_an_agent_that_cannot_be_used_is_refused_with_the_reason_and_ended(bench, options, said):
    process = await bench.puppet_process(**options)
    with pytest.raises(AgentError, match=said):
        await bench.client().start(process, "/")
    assert process.returncode is not None


async def test_an_agent_that_ended_between_turns_is_not_usable_any_more(bench):
    """So that whoever wants to prompt it starts another instead of losing the prompt."""
    client = await bench.puppet()
    await play(client, ["say", "x"])
    assert client.usable
    await bench.processes[0].kill()
    async with asyncio.timeout(30):
        while client.usable:
            await asyncio.sleep(0.01)
    with pytest.raises(AgentError, match="has ended"):
        await play(client, ["say", "x"])


async def test_an_agent_that_never_answers_the_first_request_is_ended_after_its_limit(bench):
    process = await bench.puppet_process(mute=True, stderr="loading a large model")
    with pytest.raises(AgentError, match=r"not ready after 0\.5 s.*loading a large model"):
        await bench.client(start_seconds=0.5).start(process, "/")
    assert process.returncode is not None


# -- what an agent says --------------------------------------------------------------------------


async def test_updates_arrive_in_order_and_all_before_the_turn_ends_even_at_a_slow_listener(bench):
    client = await bench.puppet(queued_updates=2)
    heard: list[str] = []

    async def slowly(draft: Draft) -> None:
        await asyncio.sleep(0.01 if len(heard) % 7 == 0 else 0)
        heard.append(draft.data["text"])

    await play(client, *[["say", str(number)] for number in range(100)], listener=slowly)
    assert heard == [str(number) for number in range(100)]


async def test_variants_of_a_newer_protocol_are_passed_over(bench):
    client = await bench.puppet()
    reason, heard = await play(
        client,
        ["update", {"sessionUpdate": "hologram", "content": [1]}],
        ["update", "not even an object"],
        ["send", {"method": "session/telepathy", "params": {"x": 1}}],
        ["send", {"method": "session/update", "params": [1]}],
        ["say", "ok"],
        ["stop", {"stopReason": "bored"}],
    )
    assert (reason, heard.text) == (StopReason.OTHER, "ok")


@pytest.mark.parametrize("result", [None, [], {}, {"stopReason": ["x"]}, "end_turn"])
async def test_a_misshapen_response_still_ends_the_turn(bench, result):
    client = await bench.puppet()
    reason, _ = await play(client, ["stop", result])
    assert reason is StopReason.OTHER


async def test_token_counts_in_the_response_are_recorded(bench):
    client = await bench.puppet()
    usage = {"inputTokens": 10, "outputTokens": 2, "totalTokens": 12}
    _, heard = await play(client, ["stop", {"stopReason": "end_turn", "usage": usage}])
    assert heard.drafts == [
        Draft(EventType.USAGE_RECORDED, {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12})
    ]


async def test_updates_of_other_sessions_are_ignored_and_counted(bench):
    client = await bench.puppet()
    _, heard = await play(client, ["update", chunk("not mine"), "other-session"], ["say", "mine"])
    assert heard.text == "mine"
    assert client.foreign == 1


async def speak(bench: Bench, *texts: str) -> None:
    """Make the puppet say something between turns."""
    message = {"method": "puppet/say", "params": {"texts": texts}}
    await bench.processes[0].write(json.dumps(message).encode() + b"\n")


async def test_updates_between_turns_go_to_the_listener_outside(bench):
    outside = Heard()
    client = await bench.puppet(outside=outside)
    _, heard = await play(client, ["say", "the turn"])
    await speak(bench, "one more thing")
    await asyncio.wait_for(outside.something.wait(), 20)
    assert (heard.text, outside.text) == ("the turn", "one more thing")


async def test_updates_between_turns_are_bounded_as_well(bench):
    outside = Heard()
    client = await bench.puppet(outside=outside, turn_updates=3)
    await speak(bench, *"1234")
    async with asyncio.timeout(20):
        while LEFT_OUT not in outside.text:
            outside.something.clear()
            await outside.something.wait()
    assert outside.text == "123" + LEFT_OUT
    assert (await play(client, ["say", "next"]))[1].text == "next"


async def test_a_flood_of_text_is_cut_at_what_one_turn_may_say_and_told_once(bench):
    client = await bench.puppet(turn_characters=10_000, queued_updates=4)
    _, heard = await play(client, ["flood", 20_000, "0123456789"])
    assert heard.text == "0123456789" * 1000 + LEFT_OUT
    _, heard = await play(client, ["say", "the next turn may speak again"])
    assert heard.text == "the next turn may speak again"


async def test_a_flood_of_updates_is_cut_as_well(bench):
    client = await bench.puppet(turn_updates=100)
    tool = {"sessionUpdate": "tool_call", "toolCallId": "t"}
    _, heard = await play(client, *[["update", tool]] * 300)
    assert len(heard.of(EventType.TOOL_STARTED)) == 100
    assert heard.text == LEFT_OUT


async def test_few_but_huge_updates_are_bounded_by_their_bytes(bench):
    """What means nothing here weighs as well; the next turn may speak again."""
    client = await bench.puppet(turn_bytes=20_000)
    tool = {"sessionUpdate": "tool_call", "toolCallId": "t", "weight": "x" * 9_000}
    _, heard = await play(client, *[["update", tool]] * 4, ["say", "unheard"])
    assert len(heard.of(EventType.TOOL_STARTED)) == 2
    assert heard.text == LEFT_OUT
    assert (await play(client, ["say", "next"]))[1].text == "next"


async def test_an_agent_that_does_not_cease_to_send_bytes_is_cut_off(bench):
    client = await bench.puppet(turn_bytes=20_000)
    nothing = {"sessionUpdate": "nothing", "weight": "x" * 9_000}
    with pytest.raises(AgentError, match="too many bytes"):
        await play(client, *[["update", nothing]] * 12)
    assert not client.usable


async def test_noise_counts_by_its_bytes(bench, monkeypatch):
    monkeypatch.setattr("bot.acp.transport.MAX_NOISE", 100)
    client = await bench.puppet()
    with pytest.raises(AgentError, match="far too many"):
        await play(client, *[["raw", "[" + "x" * 1_000_000 + "]"]] * 3)


@pytest.mark.parametrize(
    "noise",
    [
        ["flood", 3000, "x"],
        ["repeat", 3000, "not json"],
        ["repeat", 3000, '{"id": 99, "result": {}}'],
        ["repeat", 3000, '{"method": "session/telepathy"}'],
    ],
)
async def test_an_agent_that_only_makes_noise_is_cut_off(bench, noise, monkeypatch):
    monkeypatch.setattr("bot.acp.transport.MAX_NOISE", 1500)
    client = await bench.puppet(turn_characters=1000, turn_dropped=1500)
    with pytest.raises(AgentError, match="far too many"):
        await play(client, noise)
    assert not client.usable


async def test_a_flood_of_requests_is_answered_as_fast_as_the_agent_takes_the_answers(bench):
    client = await bench.puppet()
    _, heard = await play(client, ["repeat", 2000, '{"id": "a", "method": "terminal/create"}'], ["say", "ok"])
    assert heard.text == "ok"


async def test_a_line_beyond_the_cap_ends_the_agent_with_an_error_that_names_the_cap(bench):
    client = await bench.puppet()
    with pytest.raises(AgentError, match=str(8 * 1024 * 1024)):
        await play(client, ["big", 20 * 1024 * 1024])
    assert not client.usable


async def test_a_message_of_too_many_values_is_skipped(bench):
    client = await bench.puppet()
    _, heard = await play(client, ["raw", "[" + "0," * 1_100_000 + "0]"], ["say", "ok"])
    assert (heard.text, client.skipped_lines) == ("ok", 1)


# -- what an agent asks --------------------------------------------------------------------------


async def asked(client: AgentClient, method: str, params: object) -> dict[str, object]:
    _, heard = await play(client, ["request", "q", method, params])
    answer: dict[str, object] = json.loads(heard.text)
    return answer


async def test_writing_a_file_is_a_no_op_that_never_touches_the_host(bench):
    client = await bench.puppet()
    target = bench.folder / "written.txt"
    params = {"sessionId": client.session_id, "path": str(target), "content": "x"}
    assert await asked(client, "fs/write_text_file", params) == {"result": {}, "error": None}
    assert not target.exists()


@pytest.mark.parametrize(
    "method", ["fs/read_text_file", "terminal/create", "elicitation/create", "no/such", "_x"]
)
async def test_everything_else_is_refused_as_unknown(bench, method):
    (bench.folder / "secret.txt").write_text("hidden")
    client = await bench.puppet()
    params = {"sessionId": client.session_id, "path": str(bench.folder / "secret.txt"), "command": "id"}
    answer = await asked(client, method, params)
    assert (answer["result"], answer["error"]["code"]) == (None, -32601)


async def test_permission_is_given_once_by_default(bench):
    client = await bench.puppet()
    answer = await asked(client, "session/request_permission", permission())
    assert answer["result"] == {"outcome": {"outcome": "selected", "optionId": "id-allow_once"}}


async def test_a_policy_sees_the_question_and_decides_it(bench):
    asks: list[PermissionAsk] = []

    async def reject(ask: PermissionAsk) -> str | None:
        asks.append(ask)
        return next(option.id for option in ask.options if option.kind == "reject_once")

    client = await bench.puppet(policy=reject)
    answer = await asked(client, "session/request_permission", permission())
    assert answer["result"] == {"outcome": {"outcome": "selected", "optionId": "id-reject_once"}}
    assert asks[0].title == "Edit x"


async def test_a_policy_that_breaks_says_no_and_its_words_stay_here(bench, caplog):
    async def broken(ask: PermissionAsk) -> str | None:
        raise RuntimeError("the database password is hunter2")

    client = await bench.puppet(policy=broken)
    answer = await asked(client, "session/request_permission", permission())
    assert answer == {"result": {"outcome": {"outcome": "cancelled"}}, "error": None}


@pytest.mark.parametrize(
    "params",
    [
        None,
        {},
        {"sessionId": "puppet-1", "options": "x"},
        {"sessionId": "puppet-1", "options": [{}]},
        permission("other"),
    ],
)
async def test_a_misshapen_or_foreign_permission_request_is_invalid(bench, params):
    client = await bench.puppet()
    answer = await asked(client, "session/request_permission", params)
    assert answer["error"]["code"] == -32602


# -- stopping ------------------------------------------------------------------------------------


async def test_cancel_stops_the_turn_and_the_agent_can_go_on(bench):
    client = await bench.puppet()
    heard = Heard()
    turn = asyncio.create_task(play(client, ["say", "working"], ["cancelled"], listener=heard))
    await asyncio.wait_for(heard.something.wait(), 10)
    assert await client.cancel() is True
    assert (await turn)[0] is StopReason.CANCELLED
    assert (await play(client, ["say", "next"]))[1].text == "next"


async def test_a_deaf_agent_is_reported_as_one_to_kill_and_its_turn_counts_as_cancelled(bench):
    client = await bench.puppet(drain_seconds=0.1)
    heard = Heard()
    turn = asyncio.create_task(play(client, ["say", "working"], ["sleep", 60], listener=heard))
    await asyncio.wait_for(heard.something.wait(), 10)
    assert await client.cancel() is False
    assert (await turn)[0] is StopReason.CANCELLED
    assert not client.usable
    await client.close(grace_seconds=0)
    assert bench.processes[0].returncode is not None


async def test_an_open_permission_is_answered_as_cancelled_when_the_turn_is(bench):
    asking = asyncio.Event()

    async def never(ask: PermissionAsk) -> str | None:
        asking.set()
        await asyncio.Event().wait()
        return None

    client = await bench.puppet(policy=never)
    heard = Heard()
    ask = ["request", 7, "session/request_permission", permission()]
    turn = asyncio.create_task(play(client, ask, ["stop", {"stopReason": "cancelled"}], listener=heard))
    await asyncio.wait_for(asking.wait(), 10)
    assert await client.cancel() is True
    assert (await turn)[0] is StopReason.CANCELLED
    assert json.loads(heard.text)["result"] == {"outcome": {"outcome": "cancelled"}}


async def test_cancel_without_a_turn_does_nothing(bench):
    client = await bench.puppet()
    assert await client.cancel() is True
    assert (await play(client, ["say", "x"]))[1].text == "x"


async def test_a_silent_agent_is_stopped_after_its_limit(bench):
    client = await bench.puppet(idle_seconds=0.2)
    with pytest.raises(AgentError, match=r"no sign for 0\.2 s"):
        await play(client, ["cancelled"])
    assert client.usable  # it obeyed the cancel


async def test_any_update_resets_the_silence(bench):
    client = await bench.puppet(idle_seconds=1)
    beat = [["update", {"sessionUpdate": "current_mode_update"}], ["sleep", 0.3]]
    reason, _ = await play(client, *beat * 5)
    assert reason is StopReason.END_TURN


async def test_a_permission_somebody_thinks_about_is_not_the_agents_silence(bench):
    async def slow(ask: PermissionAsk) -> str | None:
        await asyncio.sleep(0.5)
        return ask.options[0].id

    client = await bench.puppet(policy=slow, idle_seconds=0.2)
    reason, _ = await play(client, ["request", 5, "session/request_permission", permission()])
    assert reason is StopReason.END_TURN


async def test_a_tool_that_waits_for_people_is_not_the_agents_silence(bench):
    client = await bench.puppet(waiting=lambda: True, idle_seconds=0.2)
    reason, _ = await play(client, ["sleep", 0.6])
    assert reason is StopReason.END_TURN


async def test_a_turn_beyond_its_time_is_stopped_however_busy_it_is(bench):
    client = await bench.puppet(turn_seconds=0.3, drain_seconds=0.1)
    with pytest.raises(AgentError, match=r"limit of 0\.3 s"):
        await play(client, *[["say", "x"], ["sleep", 0.05]] * 100)
    assert not client.usable


async def test_the_error_of_a_listener_stops_the_turn_and_is_raised(bench):
    client = await bench.puppet()

    async def full(draft: Draft) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await play(client, ["say", "x"], ["cancelled"], listener=full)
    assert (await play(client, ["say", "y"]))[1].text == "y"


async def test_one_turn_at_a_time(bench):
    client = await bench.puppet()
    heard = Heard()
    turn = asyncio.create_task(play(client, ["say", "x"], ["cancelled"], listener=heard))
    await asyncio.wait_for(heard.something.wait(), 10)
    with pytest.raises(AgentError, match="cannot take a prompt now"):
        await play(client, ["say", "y"])
    await client.cancel()
    await turn


async def test_a_turn_whose_waiter_was_cancelled_leaves_no_usable_agent(bench):
    client = await bench.puppet()
    heard = Heard()
    turn = asyncio.create_task(play(client, ["say", "x"], ["cancelled"], listener=heard))
    await asyncio.wait_for(heard.something.wait(), 10)
    turn.cancel()
    with pytest.raises(asyncio.CancelledError):
        await turn
    assert not client.usable


# -- ends ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "words"), [(["exit", 9], "exit code 9"), (["die"], "SIGKILL")])
async def test_a_death_in_a_turn_is_told_with_exit_and_last_words(bench, end, words):
    client = await bench.puppet()
    with pytest.raises(AgentError, match=rf"{words}.*out of memory"):
        await play(client, ["stderr", "x" * 100_000 + "out of memory\n"], end)
    assert not client.usable
    with pytest.raises(AgentError, match="cannot take a prompt"):
        await play(client, ["say", "x"])


async def test_an_agent_that_closes_its_output_but_lives_is_told_as_that(bench, monkeypatch):
    monkeypatch.setattr("bot.acp.process.EXIT_SECONDS", 0.1)
    client = await bench.puppet()
    with pytest.raises(AgentError, match="closed its output"):
        await play(client, ["close_stdout"])
    assert not client.usable


async def test_an_error_response_is_told_and_the_agent_goes_on(bench):
    client = await bench.puppet()
    error = {"code": -32603, "message": "Internal error", "data": {"details": "401 bad key"}}
    with pytest.raises(AgentRefused, match=r"Internal error \(401 bad key\).*the key"):
        await play(client, ["error", error])
    assert (await play(client, ["say", "x"]))[1].text == "x"


async def test_a_sandbox_that_died_under_the_agent_is_told_as_that(bench):
    class Doomed(LocalProcess):
        async def wait(self) -> int:
            await super().wait()
            raise SandboxGone("The sandbox has gone.")

    client = bench.client()
    await client.start(Doomed((await bench.puppet_process())._process), "/")
    with pytest.raises(SandboxGone):
        await play(client, ["exit", 1])


async def test_close_lets_an_agent_leave_by_itself(bench):
    client = await bench.puppet()
    await client.close()
    assert bench.processes[0].returncode == 0
    await client.close()


async def test_close_kills_one_that_does_not_leave(bench):
    client = await bench.puppet({"stubborn": True}, close_seconds=0.2)
    await client.close()
    assert bench.processes[0].returncode == -9


async def test_close_before_start_is_harmless(bench):
    await bench.client().close()


async def test_close_ends_a_turn_that_runs(bench):
    client = await bench.puppet()
    heard = Heard()
    turn = asyncio.create_task(client.prompt([text_block('[["say", "x"], ["sleep", 60]]')], heard))
    await asyncio.wait_for(heard.something.wait(), 10)
    await client.close(grace_seconds=0)
    with pytest.raises(AgentError, match="SIGKILL"):
        await turn
