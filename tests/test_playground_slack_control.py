"""The control API: refusals, faults, idleness, and who is let in at all."""

import asyncio
import io
import time

import aiohttp
import pytest
from aiohttp import web
from playground_fixtures import (
    ADA,
    BEN,
    BOT,
    BOT_TOKEN,
    GUS,
    HEADERS,
    TOKEN,
    WEB,
    Slack,
    bolt,
    link,
    receive,
    running,
    settings,
)
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import AsyncRateLimitErrorRetryHandler

from bot.playground.slack.server import SlackSide


@pytest.fixture
async def slack(tmp_path):
    async with running(tmp_path) as (_, slack):
        yield slack


async def status_of(slack, path, method="get", **how):
    async with slack.session.request(method, f"{slack.url}{path}", **how) as response:
        return response.status


async def test_the_state_lists_people_channels_and_the_bot(slack):
    state = await slack.look("control/state")
    assert [(user["name"], user["github"]) for user in state["users"]] == [
        ("ada", "ada-sample"),
        ("ben", "ben-sample"),
        ("chloe", "chloe-sample"),
        ("gus", None),
    ]
    named = [channel["name"] for channel in state["channels"] if not channel["is_im"]]
    assert named == ["general", "web", "backend", "random"]
    assert (state["bot"]["id"], state["bot"]["connected"]) == (BOT, False)
    async with bolt(slack):
        assert (await slack.look("control/state"))["bot"]["connected"] is True


@pytest.mark.proof("playground")
@pytest.mark.parametrize("path", ["/control/state", "/control/requests", "/page/state?user=" + ADA])
async def test_without_the_token_nothing_is_shown(slack, path):
    assert await status_of(slack, path) == 401
    assert await status_of(slack, path, headers={"X-Playground-Token": "guess"}) == 401
    assert await status_of(slack, path, headers=HEADERS) == 200
    assert await status_of(slack, path, params={"token": TOKEN}) == 200


@pytest.mark.proof("playground")
async def test_without_the_token_nothing_is_done(slack):
    body = {"channel": WEB, "user": ADA, "text": "x"}
    assert await status_of(slack, "/control/message", "post", json=body) == 401
    history = await slack.client.conversations_history(channel=WEB)
    assert history["messages"] == []


PATHS = ["/", "/control/state", "/api/api.test", f"/page/events?user={ADA}", "/link/"]


@pytest.mark.proof("playground")
@pytest.mark.parametrize("path", PATHS)
async def test_a_foreign_host_or_origin_is_refused_everywhere(slack, path):
    """A website in the same browser reaches the port by rebinding a name or by a cross-site request."""
    port = slack.url.rsplit(":", 1)[1]
    foreign = [
        {"Host": "evil.example"},
        {"Host": f"evil.example:{port}"},
        {"Host": "127.0.0.1:1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://127.0.0.1:{port}"},
        {"Origin": "http://127.0.0.1:1"},
    ]
    for headers in foreign:
        assert await status_of(slack, path, headers={**HEADERS, **headers}) == 403, headers


async def test_its_own_origin_is_welcome_under_both_names(slack):
    port = slack.url.rsplit(":", 1)[1]
    for name in ("127.0.0.1", "localhost"):
        own = {"Host": f"{name}:{port}", "Origin": f"http://{name}:{port}"}
        assert await status_of(slack, "/control/state", headers={**HEADERS, **own}) == 200


@pytest.mark.proof("playground")
async def test_a_form_post_is_not_an_action(slack):
    """What a plain HTML form can send across sites must do nothing, token or not."""
    for content_type in ("text/plain", "application/x-www-form-urlencoded"):
        headers = {**HEADERS, "Content-Type": content_type}
        assert await status_of(slack, "/control/message", "post", headers=headers, data="{}") == 415


@pytest.mark.proof("input")
@pytest.mark.parametrize(
    "body",
    [b"{", b'{"a":' + b"[" * 100_000, b'"\xff"', b"[" * 100_000 + b"]" * 100_000],
    ids=["cut", "deep and cut", "no text", "deep"],
)
async def test_a_body_that_cannot_be_read_is_a_refusal_in_words(slack, body):
    headers = {**HEADERS, "Content-Type": "application/json"}
    async with slack.session.post(f"{slack.url}/control/message", data=body, headers=headers) as response:
        assert (response.status, await response.json()) == (400, {"error": "the body is not JSON"})


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/control/nothing", 404),
        ("GET", "/control/message", 405),
        ("POST", "/control/state", 405),
        ("GET", "/page/state/x", 404),
    ],
)
async def test_what_is_not_there_is_refused_in_the_same_form_as_all_else(slack, method, path, status):
    async with slack.session.request(method, f"{slack.url}{path}", headers=HEADERS) as response:
        assert response.status == status
        assert list(await response.json()) == ["error"]


@pytest.mark.proof("input")
async def test_a_body_that_is_too_large_or_in_an_unknown_charset_is_refused_in_words(slack):
    headers = {**HEADERS, "Content-Type": "application/json"}
    large = io.BytesIO(b'"' + b"x" * (5 << 20) + b'"')
    async with slack.session.post(f"{slack.url}/control/edit", data=large, headers=headers) as response:
        assert (response.status, list(await response.json())) == (413, ["error"])
    headers = {**HEADERS, "Content-Type": "application/json; charset=klingon"}
    assert await status_of(slack, "/control/message", "post", headers=headers, data=b"{}") == 400


@pytest.mark.parametrize("timeout", ["soon", "nan"])
async def test_a_time_to_wait_that_is_no_number_is_refused(slack, timeout):
    assert "number of seconds" in (await slack.look("control/idle", expect=400, timeout=timeout))["error"]


async def test_the_status_of_a_thread_is_one_word(slack):
    """The agent session's, none before there is one; all of the session is beside it."""
    root = await slack.say("go")
    look = {"channel": WEB, "ts": root}
    assert (await slack.look("control/thread", **look))["status"] is None
    await slack.client.agents_sessions_setStatus(channel_id=WEB, thread_ts=root, status="processing")
    thread = await slack.look("control/thread", **look)
    assert (thread["status"], thread["session"]["status"]) == ("processing", "processing")


async def test_a_channels_top_level_shows_the_answers_to_commands(slack):
    """Which are in no thread, and for one person; replies are not in it."""
    root = await slack.say("go")
    await slack.say("deeper", thread_ts=root)
    await slack.client.chat_postEphemeral(channel=WEB, user=ADA, text="only you")
    shown = (await slack.look("control/thread", channel=WEB))["messages"]
    assert [(m["text"], m["ephemeral_to"]) for m in shown] == [("go", None), ("only you", ADA)]
    await slack.look("control/thread", expect=404, channel="C1")


@pytest.mark.proof("input")
@pytest.mark.parametrize(
    ("action", "body", "status", "words"),
    [
        ("message", {}, 400, "channel"),
        ("message", {"channel": "C1", "user": ADA, "text": "x"}, 404, "no channel 'C1'"),
        ("message", {"channel": WEB, "user": "U1", "text": "x"}, 404, "no person 'U1'"),
        ("message", {"channel": WEB, "user": BOT, "text": "x"}, 404, "no person"),
        ("message", {"channel": "C0BACKEND1", "user": GUS, "text": "x"}, 403, "gus is not in"),
        ("message", {"channel": WEB, "user": ADA, "text": " "}, 400, "text is empty"),
        ("message", {"channel": WEB, "user": ADA, "text": "x" * 40_001}, 400, "longer than"),
        ("message", {"channel": WEB, "user": ADA, "text": "x", "thread_ts": "1.000000"}, 404, "no message"),
        ("message", {"channel": WEB, "user": ADA, "text": 7}, 400, "text must be"),
        ("react", {"channel": WEB, "ts": "OURS", "user": BEN, "name": "Ü"}, 400, "emoji"),
        ("react", {"channel": WEB, "ts": "OURS", "user": BEN, "name": "x", "remove": "yes"}, 400, "remove"),
        ("edit", {"channel": WEB, "ts": "OURS", "user": BEN, "text": "x"}, 403, "not by ben"),
        ("delete", {"channel": WEB, "ts": "OURS", "user": BEN}, 403, "not by ben"),
        ("stop", {"channel": WEB, "thread_ts": "OURS", "user": BEN}, 409, "no Stop button"),
        ("view_submit", {"user": ADA, "view_id": "V1", "values": {}}, 404, "no view"),
        ("fault", {"method": "chat.*", "kind": "explode", "times": 1}, 400, "kind must be one of"),
        ("fault", {"method": "chat.*", "kind": "server_error", "times": 0}, 400, "times"),
        ("fault", {"method": "chat.postMesage", "kind": "server_error"}, 400, "such as chat.postMessage"),
        ("fault", {"method": "POST", "kind": "lost_reply"}, 400, "'POST /repos/*/pulls'"),
        ("fault", {"method": "chat.update", "kind": "stream_expired"}, 400, "chat.startStream"),
        ("fault", {"method": "chat.update", "kind": "duplicate"}, 400, "app_mention"),
        ("merge", {"repository": "acme/x", "number": 1, "user": GUS}, 403, "no GitHub account"),
        ("merge", {"repository": "acme/x", "number": "1", "user": ADA}, 400, "number"),
        ("merge", {"repository": "acme/x", "number": 1, "user": ADA}, 503, "without its GitHub side"),
        ("commit", {"repository": "a/x", "branch": "main", "user": ADA, "files": []}, 400, "files"),
    ],
)
async def test_a_refusal_says_what_was_wrong(slack, action, body, status, words):
    ours = await slack.say("ours")
    body = {key: ours if value == "OURS" else value for key, value in body.items()}
    assert words in (await slack.act(action, expect=status, **body))["error"]


async def test_a_name_after_an_at_sign_becomes_a_mention(slack):
    """Of people who exist, in any case; an address or a stranger stays text."""
    ts = await slack.say("@Threadsmith ask @BEN and @nobody, mail x@ada.example <b> & co")
    text = (await slack.thread(ts))[0]["text"]
    assert text == f"<@{BOT}> ask <@{BEN}> and @nobody, mail x@ada.example &lt;b&gt; &amp; co"


async def test_a_reply_counts_from_any_message_of_the_thread(slack):
    root = await slack.say("root")
    reply = await slack.say("reply", thread_ts=root)
    await slack.say("again", thread_ts=reply)
    assert [m["text"] for m in await slack.thread(reply)] == ["root", "reply", "again"]
    await slack.look("control/thread", expect=404, channel=WEB, ts="1.000000")


async def test_requests_are_logged_with_arguments_but_without_tokens(slack):
    await slack.client.chat_postMessage(channel=WEB, text=f"my token is {BOT_TOKEN}")
    with pytest.raises(SlackApiError):
        await slack.client.chat_postMessage(channel="C1", text="x")
    log = await slack.requests()
    assert [(r["method"], r["status"], r["ok"], r["error"]) for r in log] == [
        ("chat.postMessage", 200, True, None),
        ("chat.postMessage", 200, False, "channel_not_found"),
    ]
    assert log[0]["args"] == {"channel": WEB, "text": "my token is …"}
    assert log[0]["at"] == pytest.approx(time.time(), abs=60)


async def test_a_rate_limit_says_when_to_come_back_and_does_nothing(slack):
    await slack.act("fault", method="chat.*", kind="rate_limited", times=1)
    with pytest.raises(SlackApiError) as caught:
        await slack.client.chat_postMessage(channel=WEB, text="x")
    response = caught.value.response
    assert (response.status_code, response["error"]) == (429, "ratelimited")
    assert int(response.headers["Retry-After"]) >= 1
    assert (await slack.client.conversations_history(channel=WEB))["messages"] == []
    assert (await slack.client.chat_postMessage(channel=WEB, text="x"))["ok"]


async def test_the_sdks_rate_limit_handler_comes_through(slack):
    slack.client.retry_handlers = [AsyncRateLimitErrorRetryHandler(max_retry_count=1)]
    await slack.act("fault", method="chat.postMessage", kind="rate_limited", times=1)
    assert (await slack.client.chat_postMessage(channel=WEB, text="x"))["ok"]


async def test_a_server_error_does_nothing(slack):
    await slack.act("fault", method="chat.postMessage", kind="server_error", times=2)
    for _ in range(2):
        with pytest.raises(SlackApiError) as caught:
            await slack.client.chat_postMessage(channel=WEB, text="x")
        assert caught.value.response.status_code == 500
    assert (await slack.client.conversations_history(channel=WEB))["messages"] == []


async def test_a_refused_call_is_answered_as_with_a_token_that_was_taken_back(slack):
    await slack.act("fault", method="chat.postMessage", kind="refused", times=1)
    with pytest.raises(SlackApiError) as caught:
        await slack.client.chat_postMessage(channel=WEB, text="x")
    assert (caught.value.response.status_code, caught.value.response["error"]) == (200, "invalid_auth")
    assert (await slack.client.conversations_history(channel=WEB))["messages"] == []


async def test_a_lost_reply_is_work_done_and_nothing_heard_of_it(slack):
    await slack.act("fault", method="chat.postMessage", kind="lost_reply", times=1)
    with pytest.raises(aiohttp.ClientConnectionError):
        await slack.client.chat_postMessage(channel=WEB, text="posted")
    history = await slack.client.conversations_history(channel=WEB)
    assert [message["text"] for message in history["messages"]] == ["posted"]
    assert (await slack.requests())[0]["fault"] == "lost_reply"


async def test_a_fault_strikes_only_what_it_names(slack):
    await slack.act("fault", method="chat.update", kind="server_error", times=1)
    assert (await slack.client.chat_postMessage(channel=WEB, text="x"))["ok"]


async def test_it_is_not_idle_while_something_is_under_way(slack):
    """Each reason by itself, and named: an event not acknowledged, an open stream, a session at work."""
    assert (await slack.look("control/idle", timeout="5")) == {"idle": True}
    async with link(slack) as socket:
        root = await slack.say("go")
        assert (await slack.look("control/idle", timeout="0")) == {"idle": False, "undelivered": 1}
        await socket.send_json({"envelope_id": (await receive(socket))["envelope_id"]})
        await slack.settled()
        session = {"channel_id": WEB, "thread_ts": root}
        await slack.client.agents_sessions_setStatus(**session, status="processing")
        working = await slack.look("control/idle", timeout="0")
        assert working == {"idle": False, "processing": [[WEB, root]]}
        await slack.client.agents_sessions_setStatus(**session, status="active")
        reader = {"recipient_team_id": "T0PLAYGRND", "recipient_user_id": ADA}
        stream = await slack.client.chat_startStream(channel=WEB, thread_ts=root, **reader)
        await socket.send_json({"envelope_id": (await receive(socket))["envelope_id"]})
        streaming = await slack.look("control/idle", timeout="0")
        assert streaming == {"idle": False, "streams": [[WEB, stream["ts"]]]}


async def test_waiting_for_idle_ends_when_the_last_thing_does(slack):
    session = {"channel_id": WEB, "thread_ts": await slack.say("go")}
    async with link(slack) as socket:
        await socket.send_json({"envelope_id": (await receive(socket))["envelope_id"]})
        await slack.client.agents_sessions_setStatus(**session, status="processing")
        waiting = asyncio.create_task(slack.look("control/idle", timeout="30"))
        await slack.client.agents_sessions_setStatus(**session, status="active")
        assert (await waiting)["idle"] is True


async def test_the_bots_own_account_of_its_work_counts(tmp_path):
    """`/ready` with work left, with an error, or not answering at all is not idle."""
    answers = [({"work": {"queued": 1, "running": 0, "effects": 0}}, 200), ({}, 503), ({"work": {}}, 200)]

    async def ready(_):
        body, status = answers[0]
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_get("/ready", ready)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    side = SlackSide(settings(tmp_path), bot_url=lambda: url)
    await side.start()
    try:
        async with aiohttp.ClientSession() as session:
            slack = Slack(side.url, session)
            assert (await slack.look("control/idle", timeout="0"))["bot"] == {"queued": 1}
            answers.pop(0)
            assert (await slack.look("control/idle", timeout="0"))["bot"] == "/ready answered 503"
            answers.pop(0)
            assert (await slack.look("control/idle", timeout="0")) == {"idle": True}
            await runner.cleanup()
            assert "did not answer" in (await slack.look("control/idle", timeout="0"))["bot"]
    finally:
        await side.close()
        await runner.cleanup()


async def test_the_bot_is_not_asked_while_the_workspace_itself_is_busy(tmp_path):
    """Its answer costs calls of its own, which would bury the others in the log; at the end it is asked."""
    asked = []

    async def ready(request):
        asked.append(request.path)
        return web.json_response({"work": {"queued": 2}})

    app = web.Application()
    app.router.add_get("/ready", ready)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    side = SlackSide(settings(tmp_path), bot_url=lambda: url)
    await side.start()
    try:
        async with aiohttp.ClientSession() as session:
            slack = Slack(side.url, session)
            await slack.say("nobody is connected")
            answer = await slack.look("control/idle", timeout="0.3")
            assert answer == {"idle": False, "undelivered": 1, "bot": {"queued": 2}}
            assert len(asked) == 1
    finally:
        await side.close()
        await runner.cleanup()
