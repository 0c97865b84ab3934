"""What the page is given: one person's view, and a socket that tells of each change."""

import asyncio
import contextlib

import aiohttp
import pytest
from playground_fixtures import ADA, BEN, BOT, DM, GUS, TOKEN, WEB, bolt, running


@pytest.fixture
async def slack(tmp_path):
    async with running(tmp_path) as (_, slack):
        yield slack


@contextlib.asynccontextmanager
async def watching(slack, user=ADA):
    """The page's socket of one person."""
    url = f"{slack.url}/page/events"
    async with slack.session.ws_connect(url, params={"user": user, "token": TOKEN}) as socket:
        yield socket


async def told(socket):
    return await asyncio.wait_for(socket.receive_json(), 10)


async def messages(slack, user=ADA, channel=WEB, **more):
    return (await slack.look("page/messages", user=user, channel=channel, **more))["messages"]


async def test_the_frame_shows_a_person_their_channels_and_commands(slack):
    state = await slack.look("page/state", user=ADA)
    assert state["me"]["id"] == ADA
    assert [(c["name"], c["is_im"]) for c in state["channels"]] == [
        ("general", False),
        ("web", False),
        ("backend", False),
        ("random", False),
        ("Threadsmith", True),
    ]
    assert [c["name"] for c in state["channels"] if not c["bot_is_member"]] == ["random"]
    assert state["channels"][-1]["user"] == BOT
    assert state["bot"] == {"id": "B0THRDSMTH", "user_id": BOT, "name": "Threadsmith", "connected": False}
    assert state["commands"][0]["command"] == "/threadsmith"
    guest = await slack.look("page/state", user=GUS)
    assert [c["name"] for c in guest["channels"] if c["is_member"]] == ["general", "web", "Threadsmith"]


async def test_a_channel_shows_roots_with_their_reply_counts_and_a_thread_its_replies(slack):
    root = await slack.say("root")
    reply = await slack.say("reply", user=BEN, thread_ts=root)
    top = await messages(slack)
    assert [(m["text"], m["reply_count"], m["reply_users"]) for m in top] == [("root", 1, [BEN])]
    assert (top[0]["latest_reply"], top[0]["blocks"]) == (reply, None)
    assert [m["text"] for m in await messages(slack, thread_ts=root)] == ["root", "reply"]


async def test_what_is_for_one_person_is_shown_to_that_person_only(slack):
    root = await slack.say("root")
    await slack.client.chat_postEphemeral(channel=WEB, user=BEN, text="psst", thread_ts=root)
    assert [m["text"] for m in await messages(slack, user=ADA, thread_ts=root)] == ["root"]
    seen = await messages(slack, user=BEN, thread_ts=root)
    assert [(m["text"], m["ephemeral"]) for m in seen] == [("root", False), ("psst", True)]
    assert seen[0]["reply_count"] == 0


async def test_anothers_direct_messages_are_not_there(slack):
    await slack.say("private", channel=DM)
    assert [m["text"] for m in await messages(slack, channel=DM)] == ["private"]
    for path in ({"channel": DM, "user": BEN}, {"channel": "C1", "user": BEN}):
        await slack.look("page/messages", expect=404, **path)
    await slack.look("page/state", expect=404, user=BOT)


async def test_deleted_messages_stay_only_as_the_head_of_a_thread(slack):
    alone, head = await slack.say("alone"), await slack.say("head")
    await slack.say("reply", thread_ts=head)
    for ts in (alone, head):
        await slack.act("delete", channel=WEB, ts=ts, user=ADA)
    assert [(m["text"], m["deleted"]) for m in await messages(slack)] == [("head", True)]


async def test_each_change_is_told_as_the_whole_message(slack):
    async with watching(slack) as socket:
        root = await slack.say("root")
        change = await told(socket)
        assert (change["type"], change["message"]["text"]) == ("message", "root")
        await slack.say("reply", user=BEN, thread_ts=root)
        assert (await told(socket))["message"]["text"] == "reply"
        assert (await told(socket))["message"]["reply_count"] == 1
        await slack.act("react", channel=WEB, ts=root, user=BEN, name="eyes")
        reacted = (await told(socket))["message"]["reactions"]
        assert reacted == [{"name": "eyes", "users": [BEN], "count": 1}]
        await slack.act("edit", channel=WEB, ts=root, user=ADA, text="changed")
        edited = (await told(socket))["message"]
        assert (edited["text"], edited["edited"]) == ("changed", True)
        await slack.act("delete", channel=WEB, ts=root, user=ADA)
        assert await told(socket) == {"type": "removed", "channel": WEB, "ts": root}


async def test_a_stream_is_told_as_it_grows(slack):
    root = await slack.say("root")
    reader = {"recipient_team_id": "T0PLAYGRND", "recipient_user_id": ADA}
    async with watching(slack) as socket:
        started = await slack.client.chat_startStream(channel=WEB, thread_ts=root, **reader)
        assert (await told(socket))["message"]["streaming"] is True
        await told(socket)  # the root, with its new reply
        shown = {"id": "t", "title": "Read", "status": "in_progress"}
        task = {"type": "task_update", **shown}
        chunks = [{"type": "markdown_text", "text": "so "}, {"type": "plan_update", "title": "Plan"}, task]
        await slack.client.chat_appendStream(channel=WEB, ts=started["ts"], chunks=chunks)
        grown = (await told(socket))["message"]
        assert grown["text"] == "so "
        assert grown["stream"] == {
            "markdown": "so ",
            "plan_title": "Plan",
            "tasks": [{**shown, "details": None, "output": None, "sources": None}],
            "display_mode": "timeline",
        }


async def test_a_status_is_told_and_can_be_fetched(slack):
    root = await slack.say("root")
    async with watching(slack) as socket:
        session = {"channel_id": WEB, "thread_ts": root, "status": "processing", "title": "Work"}
        await slack.client.agents_sessions_setStatus(**session)
        change = await told(socket)
    assert (change["type"], change["thread_ts"], change["status"], change["title"]) == (
        "status",
        root,
        "processing",
        "Work",
    )
    listed = await slack.look("page/messages", user=ADA, channel=WEB)
    assert listed["statuses"][root]["status"] == "processing"


async def test_the_coming_and_going_of_the_bot_is_told(slack):
    async with watching(slack) as socket:
        async with bolt(slack):
            assert await told(socket) == {"type": "bot", "connected": True}
        assert await told(socket) == {"type": "bot", "connected": False}


async def test_a_person_is_told_only_of_what_they_can_see(slack):
    async with watching(slack, BEN) as socket:
        await slack.say("private", channel=DM)
        await slack.client.chat_postEphemeral(channel=WEB, user=ADA, text="only Ada")
        await slack.say("public")
        assert (await told(socket))["message"]["text"] == "public"


async def test_a_page_that_reads_too_slowly_is_told_to_fetch_again(tmp_path):
    """A thousand-odd unread changes are not kept for ever."""
    async with running(tmp_path) as (side, slack), watching(slack) as socket:
        for number in range(2100):
            side.workspace.set_status(WEB, "1.000000", text=str(number))
        kinds = [(await told(socket))["type"] for _ in range(100)]
    assert kinds[0] == "resync"


async def test_the_socket_needs_the_token(slack):
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await slack.session.ws_connect(f"{slack.url}/page/events", params={"user": ADA})
    assert caught.value.status == 401


async def test_the_pages_files_are_served_under_a_strict_policy(slack):
    async with slack.session.get(f"{slack.url}/") as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        policy = response.headers["Content-Security-Policy"]
        assert "script-src 'self'" in policy and "unsafe" not in policy
        assert response.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    "name", ["..%2fpeople.py", "%2e%2e%2fapp.py", "people.py", "..", "nothing.js", "%2fetc%2fpasswd", ".html"]
)
async def test_nothing_but_the_pages_files_is_served(slack, name):
    from yarl import URL

    async with slack.session.get(URL(f"{slack.url}/static/{name}", encoded=True)) as response:
        assert response.status in (403, 404)
