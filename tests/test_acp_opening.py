"""How a session is opened: abilities, tool servers, going on with an old one, modes and options."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import acp.schema
import pytest
from acp_process import Bench, Heard, play
from hypothesis import given
from hypothesis import strategies as st

from bot.acp.abilities import abilities
from bot.acp.client import AgentClient
from bot.acp.opening import SET_MODEL
from bot.acp.options import CHOICES_KEPT, OPTIONS_KEPT, Choice, OpenSession, config_options
from bot.acp.questions import Answer, Question
from bot.domain import GATEWAY_URL, EventType, McpServer
from bot.errors import AgentError


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    await bench.close()


def select(option_id: str, current: str, *values: str, category: str | None = None) -> dict[str, Any]:
    listed = [{"value": value, "name": value.capitalize()} for value in values]
    option = {"id": option_id, "name": option_id, "type": "select", "currentValue": current}
    return option | {"options": listed} | ({"category": category} if category else {})


MODEL = select("model", "a/small", "a/small", "a/large", category="model")
MODE = select("permission", "ask", "ask", "yolo", category="mode")
EFFORT = select("effort", "low", "low", "high")
WEB = {"id": "web", "name": "Web search", "type": "boolean", "currentValue": True}
CONFIGURED = {"opened": {"configOptions": [MODEL, MODE, EFFORT, WEB]}}
MODES = {
    "currentModeId": "build",
    "availableModes": [{"id": "build", "name": "Build"}, {"id": "plan", "name": "Plan"}],
}
MODELS = {
    "currentModelId": "m1",
    "availableModels": [{"modelId": m, "name": m.upper()} for m in ("m1", "m2")],
}


async def sent(client: AgentClient) -> list[tuple[str, dict[str, Any]]]:
    """What the agent got before its first prompt, but the handshake."""
    _, heard = await play(client, ["seen"])
    return [(m["method"], m["params"]) for m in json.loads(heard.text)][1:-1]


# -- what it can do ------------------------------------------------------------------------------


async def test_what_the_agent_can_do_is_known_once_it_has_started(bench):
    able = {
        "promptCapabilities": {"image": True, "embeddedContext": True},
        "mcpCapabilities": {"http": True},
    }
    auth = [{"id": "login", "name": "Log in"}]
    client = await bench.puppet({"capabilities": able, "auth": auth, "resume": True, **CONFIGURED})
    found = client.abilities
    assert (found.image, found.audio, found.embedded_context) == (True, False, True)
    assert (found.mcp_http, found.mcp_sse) == (True, False)
    assert (found.load_session, found.resume_session) == (False, True)
    assert found.auth_methods == (Choice("login", "Log in"),)
    assert [option.id for option in found.options] == ["model", "permission", "effort", "web"]


async def test_the_handshake_fits_the_protocol_and_offers_forms_only_where_somebody_answers(bench):
    async def nobody(question: Question) -> Answer | None:
        return None

    for questions in (None, nobody):
        client = await bench.puppet(questions=questions)
        _, heard = await play(client, ["seen"])
        hello = json.loads(heard.text)[0]["params"]
        able = acp.schema.InitializeRequest.model_validate(hello).client_capabilities
        assert (able.elicitation is not None) == (questions is not None)
        assert able.session.config_options.boolean is not None
        assert able.terminal is False


@pytest.mark.parametrize("when", ["new", "set_up"])
async def test_an_agent_that_wants_a_sign_in_gets_none_and_an_admin_is_told_what_to_do(bench, when):
    refusal = {"code": -32000, "message": "Authentication required"}
    options = {"new": refusal} if when == "new" else CONFIGURED | {"quirk": refusal}
    with pytest.raises(AgentError, match=r"signed in.*a route of the gateway.*recipe") as caught:
        await bench.puppet(options, model="a/large")
    assert "does not take" not in str(caught.value)


# -- tool servers --------------------------------------------------------------------------------

STDIO = McpServer("files", command=("npx", "-y", "files-mcp"), env={"ROOT": "/w"})
REMOTE = McpServer("tracker", url="/routes/tracker/mcp")
ABSOLUTE = McpServer("absolute", url=f"{GATEWAY_URL}/routes/tracker/mcp")


def over_http(way: str) -> dict[str, Any]:
    return {"capabilities": {"mcpCapabilities": {way: True}}}


async def test_tool_servers_are_handed_over_as_the_protocol_has_them(bench):
    client = await bench.puppet(over_http("http"), mcp_servers=[STDIO, REMOTE, ABSOLUTE])
    ((_, params),) = await sent(client)
    local, remote, absolute = params["mcpServers"]
    assert local == {
        "name": "files", "command": "npx", "args": ["-y", "files-mcp"],
        "env": [{"name": "ROOT", "value": "/w"}],
    }  # fmt: skip
    url = f"{GATEWAY_URL}/routes/tracker/mcp"
    assert remote == {"type": "http", "name": "tracker", "url": url, "headers": []}
    assert absolute == remote | {"name": "absolute"}
    assert len(acp.schema.NewSessionRequest.model_validate(params).mcp_servers) == 3
    assert client.left_out == ()


async def test_an_agent_that_takes_no_tool_server_over_http_is_spared_those_and_they_are_named(bench):
    client = await bench.puppet(over_http("sse"), mcp_servers=[STDIO, REMOTE])
    ((_, params),) = await sent(client)
    assert [server["name"] for server in params["mcpServers"]] == ["files"]
    assert client.left_out == ("tracker",)


@pytest.mark.parametrize(
    "url", ["@evil.example/x", "//evil.example", ".evil.example", "https://evil.example"]
)
async def test_no_address_of_a_tool_server_leads_past_the_gateway(bench, url):
    client = await bench.puppet(over_http("http"), mcp_servers=[McpServer("x", url=url)])
    ((_, params),) = await sent(client)
    assert params["mcpServers"][0]["url"].startswith(f"{GATEWAY_URL}/")


# -- going on with a session ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "asked", "resumed"),
    [
        ({"resume": True, "load": True}, ["session/resume"], True),
        ({"resume": "refuse", "load": True}, ["session/resume", "session/load"], True),
        ({"load": True}, ["session/load"], True),
        ({"resume": "refuse", "load": "refuse"}, ["session/resume", "session/load", "session/new"], False),
        ({}, ["session/new"], False),
    ],
)
async def test_an_old_session_is_resumed_where_possible_else_loaded_else_a_new_one_is_begun(
    bench, options, asked, resumed
):
    outside = Heard()
    client = bench.client(outside=outside, mcp_servers=[STDIO])
    session = "old" if resumed else "puppet-1"
    process = await bench.puppet_process(session=session, **options)
    assert await client.start(process, "/w", session_id="old") == session
    requests = await sent(client)
    assert [method for method, _ in requests] == asked
    assert all(params["mcpServers"][0]["name"] == "files" for _, params in requests)
    assert (client.resumed, outside.drafts) == (resumed, [])
    model = {"session/resume": acp.schema.ResumeSessionRequest, "session/load": acp.schema.LoadSessionRequest}
    for method, params in requests:
        assert model.get(method, acp.schema.NewSessionRequest).model_validate(params).cwd == "/w"


async def test_a_long_history_is_not_taken_off_what_the_agent_may_say_afterwards(bench):
    outside = Heard()
    client = bench.client(turn_characters=20, outside=outside)
    process = await bench.puppet_process(load=True, session="old", history="old words " * 10)
    await client.start(process, "/", session_id="old")
    message = {"method": "puppet/say", "params": {"texts": ["by the way"]}}
    await process.write(json.dumps(message).encode() + b"\n")
    await asyncio.wait_for(outside.something.wait(), 20)
    assert (await play(client, ["say", "as long as ever"]))[1].text == "as long as ever"
    assert outside.text == "by the way"


# -- modes, models, options ----------------------------------------------------------------------


def settings(requests: list[tuple[str, dict[str, Any]]]) -> list[tuple[Any, ...]]:
    return [
        (method, *(value for name, value in params.items() if name != "sessionId"))
        for method, params in requests
        if method.startswith("session/set_")
    ]


async def test_model_mode_and_options_are_set_in_this_order_once_the_session_is_open(bench):
    options = {"effort": "high", "web": "false"}
    client = await bench.puppet(CONFIGURED, model="a/large", mode="yolo", options=options)
    assert (client.session.model, client.session.mode) == ("a/large", "yolo")
    assert settings(await sent(client)) == [
        ("session/set_config_option", "model", "a/large"),
        ("session/set_config_option", "permission", "yolo"),
        ("session/set_config_option", "effort", "high"),
        ("session/set_config_option", "web", "boolean", False),
    ]
    assert [option.current for option in client.abilities.options] == ["a/large", "yolo", "high", "false"]


async def test_a_value_that_is_set_already_is_not_set_again_and_one_may_be_named_as_it_is_shown(bench):
    client = await bench.puppet(CONFIGURED, model="a/small", mode="Yolo")
    assert settings(await sent(client)) == [("session/set_config_option", "permission", "yolo")]


async def test_an_agent_without_config_options_is_set_by_the_older_requests(bench):
    client = await bench.puppet({"opened": {"modes": MODES, "models": MODELS}}, model="M2", mode="plan")
    assert settings(await sent(client)) == [(SET_MODEL, "m2"), ("session/set_mode", "plan")]
    assert (client.session.model, client.session.mode) == ("m2", "plan")
    assert [mode.id for mode in client.abilities.modes] == ["build", "plan"]


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (
            {"options": {"colour": "red"}},
            r"no option colour\. Its options are: model, permission, effort, web",
        ),
        ({"options": {"effort": "huge"}}, r"option effort = huge \(.*no such value.*It offers: low, high"),
        ({"options": {"web": "maybe"}}, r"option web = maybe\. It offers: true, false"),
        ({"model": "huge"}, r"model = huge .*It offers: a/small, a/large"),
        ({"mode": "huge"}, r"mode = huge .*It offers: ask, yolo.*\[agents\] sets for puppet"),
    ],
)
async def test_what_the_agent_does_not_offer_or_take_is_named_with_what_it_offers(bench, wish, said):
    process = await bench.puppet_process(**CONFIGURED, refuse=["huge"])
    with pytest.raises(AgentError, match=said):
        await bench.client(**wish).start(process, "/")
    assert process.returncode is not None


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"model": "huge"}, "does not take model huge.*It offers: m1, m2"),
        ({"mode": "huge"}, "does not take mode huge.*It offers: build, plan"),
    ],
)
async def test_the_older_requests_are_refused_in_the_same_words(bench, wish, said):
    options = {"opened": {"modes": MODES, "models": MODELS}}
    options |= {"refuse": ["huge"]} if "model" in wish else {}  # there are no other modes than those it lists
    with pytest.raises(AgentError, match=said):
        await bench.puppet(options, **wish)


@pytest.mark.parametrize("current", ["low", "", None, 7])
async def test_a_value_that_is_taken_and_then_dropped_is_told_as_well(bench, current):
    """So does Qwen Code with a mode it does not know."""
    quirk = {"configOptions": [EFFORT | {"currentValue": current}]}
    with pytest.raises(
        AgentError, match=rf"effort = huge \(it is {current if current == 'low' else 'nothing'}"
    ):
        await bench.puppet(CONFIGURED | {"quirk": quirk}, options={"effort": "huge"})


async def test_a_value_that_the_agent_calls_otherwise_counts_as_set(bench):
    quirk = {"configOptions": [MODEL | {"currentValue": "a/large-2026"}]}
    client = await bench.puppet(CONFIGURED | {"quirk": quirk}, model="large")
    assert client.session.model == "a/large-2026"


@pytest.mark.parametrize("wish", [{"model": "x"}, {"mode": "x"}])
async def test_a_choice_that_an_agent_does_not_have_at_all_is_told(bench, wish):
    with pytest.raises(AgentError, match=rf"has no choice of a {next(iter(wish))}\. Its options are: none"):
        await bench.puppet(**wish)


async def test_what_the_agent_changes_by_itself_is_known_and_is_a_step_for_people(bench):
    client = await bench.puppet(CONFIGURED)
    changed = [MODEL | {"currentValue": "a/large"}, MODE | {"currentValue": "yolo"}]
    _, heard = await play(
        client,
        ["update", {"sessionUpdate": "current_mode_update", "currentModeId": "yolo"}],
        ["update", {"sessionUpdate": "config_option_update", "configOptions": changed}],
        ["update", {"sessionUpdate": "current_mode_update", "currentModeId": "ask"}],
    )
    assert (client.session.model, client.session.mode) == ("a/large", "ask")
    titles = [draft.data["title"] for draft in heard.of(EventType.TOOL_FINISHED)]
    assert titles == ["Mode: Yolo", "Model: A/large", "Mode: Ask"]


async def test_a_mode_that_was_not_known_before_is_no_step(bench):
    client = await bench.puppet()
    _, heard = await play(client, ["update", {"sessionUpdate": "current_mode_update", "currentModeId": "x"}])
    assert (client.session.mode, heard.drafts) == ("x", [])


async def test_the_agents_title_of_its_session_is_kept_and_may_be_cleared(bench):
    client = await bench.puppet()
    await play(
        client, ["update", {"sessionUpdate": "session_info_update", "title": "Fix\nthe\x1b[1m header"}]
    )
    assert client.session.title == "Fix the header"
    await play(client, ["update", {"sessionUpdate": "session_info_update", "updatedAt": "x"}])
    assert client.session.title == "Fix the header"
    await play(client, ["update", {"sessionUpdate": "session_info_update", "title": None}])
    assert client.session.title == ""


@pytest.mark.parametrize("old", [None, "old"])
async def test_a_setting_told_just_before_the_session_is_known_is_not_lost(bench, old):
    early = [
        {"sessionUpdate": ["session_info_update"]},
        {"sessionUpdate": "session_info_update", "title": "A title"},
        {"sessionUpdate": "current_mode_update", "currentModeId": "plan"},
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "early"}},
    ]
    outside = Heard()
    client = bench.client(outside=outside)
    process = await bench.puppet_process(early=early, opened={"modes": MODES}, resume="refuse")
    await client.start(process, "/", session_id=old)
    assert (client.session.title, client.session.mode) == ("A title", "plan")
    assert outside.drafts == []


# -- anything at all -----------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
OPTION = st.dictionaries(
    st.sampled_from(["id", "name", "type", "category", "currentValue", "options"]),
    JSON | st.sampled_from(["select", "boolean", "mode", "model"]),
)


@given(
    st.dictionaries(
        st.sampled_from(["modes", "models", "configOptions"]), JSON | st.lists(OPTION, max_size=4)
    ),
    st.lists(
        st.fixed_dictionaries(
            {"sessionUpdate": st.sampled_from(["current_mode_update", "config_option_update", "x"])},
            optional={"currentModeId": JSON, "configOptions": st.lists(OPTION, max_size=3), "title": JSON},
        )
    ),
)
def test_no_answer_and_no_update_makes_a_session_raise_or_hold_what_cannot_be_stored(reply, updates):
    session = OpenSession()
    session.opened("s", reply)
    drafts = [draft for update in updates for draft in session.hear(update)]
    held = [session.mode, session.model, session.title, *(draft.data for draft in drafts)]
    held += [[option.id, option.name, option.current] for option in session.options.values()]
    json.dumps(held, ensure_ascii=False).encode()


@given(JSON | st.dictionaries(st.sampled_from(["agentCapabilities", "authMethods"]), JSON))
def test_no_handshake_makes_the_reading_of_abilities_raise(hello):
    abilities(hello if isinstance(hello, dict) else {})


def test_of_ten_thousand_options_and_values_a_bounded_number_is_kept():
    many = [select(f"o{n}", "x", "x") for n in range(10_000)]
    assert len(config_options(many)) == OPTIONS_KEPT
    groups: list[Any] = [
        {"group": "g", "options": [{"value": f"{g}-{n}"} for n in range(500)]} for g in range(20)
    ]
    for listed in ([{"value": f"v{n}"} for n in range(10_000)], groups):
        found = config_options([select(f"o{n}", "x") | {"options": listed} for n in range(3)])
        assert [len(option.choices) for option in found.values()] == [CHOICES_KEPT, 0, 0]


async def test_a_message_about_ten_thousand_values_stays_short(bench):
    values = [{"value": f"{n} " + "x" * 200} for n in range(10_000)]
    hidden = [{"value": "a\u202eb"}, {"value": "\x1b[31m"}, {"value": 7}, "x", None]
    option = select("o", "x") | {"options": [*hidden, *values]}
    with pytest.raises(AgentError, match=f"and {CHOICES_KEPT - len(hidden) - 20} more") as caught:
        await bench.puppet({"opened": {"configOptions": [option]}, "refuse": ["no"]}, options={"o": "no"})
    assert len(str(caught.value)) < 3_000
    assert str(caught.value).isprintable()
