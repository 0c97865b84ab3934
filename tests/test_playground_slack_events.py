"""What a bot hears over Socket Mode, and that it hears it even when one of the two was away."""

import asyncio
import contextlib
import os
import signal
import sys
import textwrap

import aiohttp
import pytest
from playground_fixtures import (
    ADA,
    APP_TOKEN,
    BEN,
    BOT,
    BOT_TOKEN,
    DM,
    RANDOM,
    TOKEN,
    WEB,
    Slack,
    bolt,
    link,
    receive,
    running,
)


@pytest.fixture
async def slack(tmp_path):
    async with running(tmp_path) as (_, slack):
        yield slack


async def acknowledge(socket, envelope, **more):
    await socket.send_json({"envelope_id": envelope["envelope_id"], **more})


async def test_one_mention_in_a_channel_arrives_as_two_events(slack):
    """app_mention and message, of the same message, with event ids of their own."""
    async with bolt(slack) as bot:
        ts = await slack.say("hey @threadsmith fix <#C0BACKEND1>, see https://example.com/a.")
        events = [await bot.next(), await bot.next()]
        bodies = [bot.bodies.get_nowait(), bot.bodies.get_nowait()]
        await slack.settled()
    assert sorted(event["type"] for event in events) == ["app_mention", "message"]
    assert {event["ts"] for event in events} == {ts}
    assert len({body["event_id"] for body in bodies}) == 2
    assert {event["client_msg_id"] for event in events} == {events[0]["client_msg_id"]}
    assert {event["team"] for event in events} == {"T0PLAYGRND"}
    assert events[0]["text"] == f"hey <@{BOT}> fix <#C0BACKEND1>, see <https://example.com/a>."
    assert events[0]["blocks"][0]["elements"][0]["elements"] == [
        {"type": "text", "text": "hey "},
        {"type": "user", "user_id": BOT},
        {"type": "text", "text": " fix "},
        {"type": "channel", "channel_id": "C0BACKEND1"},
        {"type": "text", "text": ", see "},
        {"type": "link", "url": "https://example.com/a"},
        {"type": "text", "text": "."},
    ]
    assert bodies[0]["authorizations"][0]["user_id"] == BOT


async def test_a_direct_message_is_a_message_of_type_im_only(slack):
    async with bolt(slack) as bot:
        await slack.say("hi @threadsmith", channel=DM)
        event = await bot.next()
        await slack.settled()
        assert bot.heard.empty()
    assert (event["type"], event["channel_type"], event["channel"]) == ("message", "im", DM)


async def test_a_reply_names_its_thread_and_the_author_of_its_root(slack):
    async with bolt(slack) as bot:
        root = await slack.say("root")
        await slack.say("reply", user=BEN, thread_ts=root)
        await bot.next()
        event = await bot.next()
    assert (event["thread_ts"], event["parent_user_id"], event["user"]) == (root, ADA, BEN)


async def test_edits_deletions_and_reactions_are_told(slack):
    async with bolt(slack) as bot:
        ts = await slack.say("first")
        await bot.next()
        await slack.act("edit", channel=WEB, ts=ts, user=ADA, text="second")
        changed = await bot.next()
        assert (changed["message"]["text"], changed["previous_message"]["text"]) == ("second", "first")
        assert changed["message"]["edited"]["user"] == ADA
        await slack.act("react", channel=WEB, ts=ts, user=BEN, name="x")
        added = await bot.next()
        assert (added["type"], added["user"], added["item_user"]) == ("reaction_added", BEN, ADA)
        assert added["item"] == {"type": "message", "channel": WEB, "ts": ts}
        await slack.act("react", channel=WEB, ts=ts, user=BEN, name="x", remove=True)
        assert (await bot.next())["type"] == "reaction_removed"
        await slack.act("delete", channel=WEB, ts=ts, user=ADA)
        deleted = await bot.next()
        assert (deleted["subtype"], deleted["deleted_ts"]) == ("message_deleted", ts)


async def test_nothing_is_told_of_channels_the_bot_is_not_in(slack):
    async with bolt(slack) as bot:
        await slack.say("psst @threadsmith", channel=RANDOM)
        await slack.say("loud")
        event = await bot.next()
    assert event["channel"] == WEB


async def test_the_bots_own_messages_come_back_with_its_id(slack):
    """Bolt filters new ones; a bare connection sees that they were there."""
    async with link(slack) as socket:
        posted = await slack.client.chat_postMessage(channel=WEB, text=f"I am <@{BOT}>")
        envelope = await receive(socket)
        event = envelope["payload"]["event"]
        assert (event["ts"], event["bot_id"], event["user"]) == (posted["ts"], "B0THRDSMTH", BOT)
        await acknowledge(socket, envelope)
        root = await slack.say("root")
        await acknowledge(socket, await receive(socket))
        loud = {"channel": WEB, "thread_ts": root, "text": "all", "reply_broadcast": True}
        await slack.client.chat_postMessage(**loud)
        event = (await receive(socket))["payload"]["event"]
        assert (event["subtype"], event["root"]["ts"]) == ("thread_broadcast", root)


async def test_what_is_said_before_the_bot_connects_waits_for_it(slack):
    for number in range(5):
        await slack.say(f"early {number}")
    async with bolt(slack) as bot:
        texts = [(await bot.next())["text"] for _ in range(5)]
        await slack.settled()
    assert sorted(texts) == [f"early {number}" for number in range(5)]


@pytest.fixture
async def impatient(tmp_path):
    """A Slack side whose retries follow at once; for connections that answer nothing."""
    async with running(tmp_path, retry_delays=(0.02, 0.02)) as (_, slack):
        yield slack


async def test_an_unanswered_event_is_sent_again_with_its_attempt_and_then_rests(impatient):
    """The same payload in a new envelope; after the last try it waits for the next connection."""
    slack = impatient
    async with link(slack) as socket:
        await slack.say("hello?")
        sent = [await receive(socket) for _ in range(3)]
        assert [envelope["retry_attempt"] for envelope in sent] == [0, 1, 2]
        assert [envelope["retry_reason"] for envelope in sent] == ["", "timeout", "timeout"]
        assert len({envelope["envelope_id"] for envelope in sent}) == 3
        assert sent[0]["payload"] == sent[2]["payload"]
        async with link(slack) as other:
            last = await receive(other)
            assert last["retry_attempt"] == 3
            await acknowledge(other, last)
            await slack.settled()


async def test_a_late_answer_to_an_earlier_sending_counts(impatient):
    slack = impatient
    async with link(slack) as socket:
        await slack.say("hello?")
        first, _, _ = [await receive(socket) for _ in range(3)]
        await acknowledge(socket, first)
        await slack.settled()


async def test_what_a_lost_connection_held_goes_to_the_next(slack):
    async with link(slack) as socket:
        await slack.say("hello?")
        held = await receive(socket)
    async with link(slack) as socket:
        again = await receive(socket)
        assert again["payload"]["event_id"] == held["payload"]["event_id"]
        assert again["retry_attempt"] >= 1


async def test_of_several_connections_exactly_one_gets_each_event(tmp_path):
    async with running(tmp_path, retry_delays=()) as (_, slack), link(slack) as one, link(slack) as two:
        for number in range(6):
            await slack.say(str(number))
        texts = [
            (await receive(socket))["payload"]["event"]["text"] for socket in (one, two) for _ in range(3)
        ]
    assert sorted(texts) == ["0", "1", "2", "3", "4", "5"]


async def test_a_ticket_is_good_for_one_connection(slack):
    url = (await slack.client.apps_connections_open(app_token=APP_TOKEN))["url"]
    async with slack.session.ws_connect(url) as socket:
        assert (await receive(socket))["num_connections"] == 1
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await slack.session.ws_connect(url)
    assert caught.value.status == 401


async def test_the_eleventh_connection_is_turned_away(slack):
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(10):
            await stack.enter_async_context(link(slack))
        url = (await slack.client.apps_connections_open(app_token=APP_TOKEN))["url"]
        async with slack.session.ws_connect(url) as socket:
            assert (await receive(socket))["reason"] == "too_many_websockets"


async def test_a_ping_is_echoed_with_its_payload(slack):
    """The SDK measures the health of a connection by what comes back."""
    opened = await slack.client.apps_connections_open(app_token=APP_TOKEN)
    async with slack.session.ws_connect(opened["url"], autoping=False) as socket:
        await receive(socket)
        await socket.ping(b"sdk-ping-pong:1.5")
        pong = await asyncio.wait_for(socket.receive(), 10)
        assert (pong.type, bytes(pong.data)) == (aiohttp.WSMsgType.PONG, b"sdk-ping-pong:1.5")


async def test_noise_from_the_bot_is_ignored(slack):
    async with link(slack) as socket:
        for noise in ("not json", "[]", "{}", '{"envelope_id": 7}', '{"envelope_id": "unknown"}'):
            await socket.send_str(noise)
        await slack.say("still here")
        await acknowledge(socket, await receive(socket))
        await slack.settled()


async def test_a_disconnect_asked_for_makes_the_bot_come_back(slack):
    async with bolt(slack) as bot:
        await slack.say("before")
        await bot.next()
        await slack.act("fault", method="socket", kind="disconnect", times=1)
        await slack.say("after")
        assert (await bot.next())["text"] == "after"
        await slack.settled()


async def test_a_duplicate_asked_for_arrives_twice_with_one_event_id(slack):
    await slack.act("fault", method="app_mention", kind="duplicate", times=1)
    async with bolt(slack) as bot:
        await slack.say("@threadsmith go")
        kinds = await bot.kinds(3)
        await slack.settled()
        assert bot.heard.empty()
        ids = [bot.bodies.get_nowait()["event_id"] for _ in range(3)]
    assert kinds == ["app_mention", "app_mention", "message"]
    assert len(set(ids)) == 2


async def test_the_stop_button_tells_the_bot_which_streams_it_ended(slack):
    async with bolt(slack) as bot:
        root = await slack.say("go")
        await bot.next()
        await slack.act("stop", expect=409, channel=WEB, thread_ts=root, user=BEN)
        session = {"channel_id": WEB, "thread_ts": root}
        await slack.client.agents_sessions_setStatus(**session, status="processing")
        reader = {"recipient_team_id": "T0PLAYGRND", "recipient_user_id": ADA}
        stream = await slack.client.chat_startStream(channel=WEB, thread_ts=root, markdown_text="…", **reader)
        await slack.act("stop", channel=WEB, thread_ts=root, user=BEN)
        stopped = await bot.next()
        assert stopped["type"] == "agent_session_stopped"
        assert stopped["streaming_message_ts"] == [stream["ts"]]
        assert (stopped["channel"], stopped["thread_ts"], stopped["user"]) == (WEB, root, BEN)
        assert (await slack.status(root))["status"] == "processing"
        assert (await slack.thread(root))[1]["streaming"] is False


async def test_a_restart_keeps_what_was_said_and_delivers_what_was_not_acknowledged(tmp_path):
    async with running(tmp_path) as (_, slack):
        root = await slack.say("root")
        await slack.client.chat_postMessage(channel=WEB, thread_ts=root, text="reply")
        await slack.client.agents_sessions_setStatus(channel_id=WEB, thread_ts=root, status="processing")
        async with link(slack) as socket:
            sent = await receive(socket)
    async with running(tmp_path) as (_, slack):
        assert [message["text"] for message in await slack.thread(root)] == ["root", "reply"]
        assert (await slack.status(root))["status"] == "processing"
        assert "chat.postMessage" in [request["method"] for request in await slack.requests()]
        async with link(slack) as socket:
            again = await receive(socket)
        assert again["payload"] == sent["payload"]
        assert again["retry_attempt"] >= 1
        assert await slack.say("later") > root


SERVE = """
    import asyncio, sys
    from pathlib import Path
    from bot.playground.settings import PlaygroundSettings
    from bot.playground.slack.server import SlackSide

    async def main():
        tokens = dict(control_token=sys.argv[2], bot_token=sys.argv[3], app_token=sys.argv[4])
        side = SlackSide(PlaygroundSettings(data=Path(sys.argv[1]), **tokens))
        await side.start()
        print(side.url, flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def served(folder):
    """A Slack side in a process of its own, killed at the end as by kill -9."""
    program = textwrap.dedent(SERVE)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, str(folder), TOKEN, BOT_TOKEN, APP_TOKEN),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        url = (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()
        async with aiohttp.ClientSession() as session:
            yield Slack(url, session)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        await process.communicate()


async def test_a_killed_playground_loses_nothing_that_was_answered(tmp_path):
    """kill -9 between saying and delivering: the message and its event are there afterwards."""
    async with served(tmp_path) as slack:
        root = await slack.say("said before the kill")
        await slack.client.chat_postMessage(channel=WEB, thread_ts=root, text="answered")
    async with served(tmp_path) as slack:
        assert [m["text"] for m in await slack.thread(root)] == ["said before the kill", "answered"]
        async with bolt(slack) as bot:
            assert (await bot.next())["text"] == "said before the kill"
            await slack.settled()
