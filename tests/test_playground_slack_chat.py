"""What is said, changed and read back through the Web API."""

import re

import pytest
from playground_fixtures import ADA, BEN, BOT, DM, GENERAL, RANDOM, WEB, running
from slack_sdk.errors import SlackApiError

PICKERS = [
    [{"type": "actions", "elements": [{"type": "static_select", "options": 5}]}],
    [{"type": "section", "accessory": {"type": "static_select", "option_groups": [{"options": [7]}]}}],
]


@pytest.fixture
async def slack(tmp_path):
    async with running(tmp_path) as (_, slack):
        yield slack


async def refused(call) -> str:
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value.response["error"]


async def test_timestamps_are_unique_and_increase(slack):
    """Even in a burst; their form is seconds and six decimals."""
    stamps = [(await slack.client.chat_postMessage(channel=WEB, text=str(n)))["ts"] for n in range(20)]
    stamps.append(await slack.say("and I"))
    assert stamps == sorted(set(stamps))
    assert all(re.fullmatch(r"\d{10}\.\d{6}", ts) for ts in stamps)


async def test_a_bot_message_says_whose_it_is(slack):
    posted = await slack.client.chat_postMessage(channel=WEB, text="hello", client_msg_id="mine")
    assert (posted["message"]["user"], posted["message"]["bot_id"]) == (BOT, "B0THRDSMTH")
    assert posted["message"]["bot_profile"]["name"] == "Threadsmith"


async def test_replies_give_the_root_and_then_the_replies_with_their_facts(slack):
    root = await slack.say("root")
    first = await slack.client.chat_postMessage(channel=WEB, thread_ts=root, text="one")
    second = await slack.say("two", user=BEN, thread_ts=root)
    thread = (await slack.client.conversations_replies(channel=WEB, ts=root))["messages"]
    assert [message["ts"] for message in thread] == [root, first["ts"], second]
    facts = {key: thread[0][key] for key in ("reply_count", "reply_users", "latest_reply", "thread_ts")}
    assert facts == {"reply_count": 2, "reply_users": [BOT, BEN], "latest_reply": second, "thread_ts": root}
    assert thread[1]["parent_user_id"] == ADA


async def test_a_reply_to_a_reply_lands_in_the_roots_thread(slack):
    root = await slack.say("root")
    reply = await slack.say("reply", thread_ts=root)
    posted = await slack.client.chat_postMessage(channel=WEB, thread_ts=reply, text="deeper")
    assert posted["message"]["thread_ts"] == root
    alone = await slack.client.conversations_replies(channel=WEB, ts=reply)
    assert [message["ts"] for message in alone["messages"]] == [reply]


async def test_history_is_newest_first_without_replies_but_with_broadcasts(slack):
    root = await slack.say("root")
    await slack.client.chat_postMessage(channel=WEB, thread_ts=root, text="quiet")
    await slack.client.chat_postMessage(channel=WEB, thread_ts=root, text="loud", reply_broadcast=True)
    texts = [m["text"] for m in (await slack.client.conversations_history(channel=WEB))["messages"]]
    assert texts == ["loud", "root"]


async def test_history_and_replies_come_in_pages_and_ranges(slack):
    root = await slack.say("0")
    stamps = [root, *[await slack.say(str(n), thread_ts=root) for n in range(1, 6)]]
    pages = await slack.client.conversations_replies(channel=WEB, ts=root, limit=4)
    seen = [[m["text"] for m in page["messages"]] async for page in pages]
    assert seen == [["0", "1", "2", "3"], ["4", "5"]]
    late = await slack.client.conversations_replies(channel=WEB, ts=root, oldest=stamps[3])
    assert [m["text"] for m in late["messages"]] == ["0", "4", "5"]
    within = {"oldest": stamps[3], "latest": stamps[4], "inclusive": True}
    some = await slack.client.conversations_replies(channel=WEB, ts=root, **within)
    assert [m["text"] for m in some["messages"]] == ["0", "3", "4"]
    for number in range(3):
        await slack.say(f"top {number}", channel=GENERAL)
    pages = await slack.client.conversations_history(channel=GENERAL, limit=2)
    seen = [[m["text"] for m in page["messages"]] async for page in pages]
    assert seen == [["top 2", "top 1"], ["top 0"]]


async def test_metadata_is_read_back_only_when_asked_for(slack):
    """The bot recognises its own posts by it after a crash."""
    metadata = {"event_type": "effect", "event_payload": {"key": "k1"}}
    root = await slack.say("root")
    await slack.client.chat_postMessage(channel=WEB, thread_ts=root, text="done", metadata=metadata)
    bare = await slack.client.conversations_replies(channel=WEB, ts=root)
    assert "metadata" not in bare["messages"][1]
    full = await slack.client.conversations_replies(channel=WEB, ts=root, include_all_metadata=True)
    assert full["messages"][1]["metadata"] == metadata
    wrong = slack.client.chat_postMessage(channel=WEB, text="x", metadata="{")
    assert await refused(wrong) == "invalid_metadata_format"


async def test_update_changes_the_bots_own_message_and_no_other(slack):
    posted = await slack.client.chat_postMessage(channel=WEB, text="before")
    updated = await slack.client.chat_update(channel=WEB, ts=posted["ts"], text="after")
    assert (updated["text"], updated["message"]["edited"]["user"]) == ("after", BOT)
    assert [m["text"] for m in await slack.thread(posted["ts"])] == ["after"]
    theirs = await slack.say("mine")
    assert await refused(slack.client.chat_update(channel=WEB, ts=theirs, text="x")) == "cant_update_message"
    assert (
        await refused(slack.client.chat_update(channel=WEB, ts="1.000000", text="x")) == "message_not_found"
    )


async def test_delete_takes_the_message_out_of_the_history(slack):
    posted = await slack.client.chat_postMessage(channel=WEB, text="oops")
    await slack.client.chat_delete(channel=WEB, ts=posted["ts"])
    assert (await slack.client.conversations_history(channel=WEB))["messages"] == []
    assert [m["deleted"] for m in await slack.thread(posted["ts"])] == [True]
    assert await refused(slack.client.chat_delete(channel=WEB, ts=posted["ts"])) == "message_not_found"
    theirs = await slack.say("mine")
    assert await refused(slack.client.chat_delete(channel=WEB, ts=theirs)) == "cant_delete_message"


async def test_an_ephemeral_message_is_for_one_person_and_in_no_history(slack):
    root = await slack.say("root")
    sent = await slack.client.chat_postEphemeral(channel=WEB, user=BEN, text="only you", thread_ts=root)
    assert [m["ephemeral_to"] for m in await slack.thread(root)] == [None, BEN]
    thread = (await slack.client.conversations_replies(channel=WEB, ts=root))["messages"]
    assert sent["message_ts"] not in [message["ts"] for message in thread]
    outsider = slack.client.chat_postEphemeral(channel=DM, user=BEN, text="x")
    assert await refused(outsider) == "user_not_in_channel"


async def test_markdown_text_becomes_a_markdown_block(slack):
    posted = await slack.client.chat_postMessage(channel=WEB, markdown_text="**bold**")
    assert posted["message"]["blocks"][0]["type"] == "markdown"
    both = slack.client.chat_postMessage(channel=WEB, markdown_text="**a**", text="a")
    assert await refused(both) == "markdown_text_conflict"
    long = slack.client.chat_postMessage(channel=WEB, markdown_text="x" * 12_001)
    assert await refused(long) == "msg_too_long"


async def test_a_very_long_text_is_cut_when_posted_and_refused_in_an_update(slack):
    posted = await slack.client.chat_postMessage(channel=WEB, text="x" * 50_000)
    assert len(posted["message"]["text"]) == 40_000
    update = slack.client.chat_update(channel=WEB, ts=posted["ts"], text="x" * 40_001)
    assert await refused(update) == "msg_too_long"


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"text": ""}, "no_text"),
        ({"text": "x", "thread_ts": "1700000000.000100"}, "thread_not_found"),
        ({"text": "x", "blocks": "[{"}, "invalid_blocks_format"),
        ({"text": "x", "blocks": '{"type": "divider"}'}, "invalid_blocks_format"),
        ({"text": "x", "blocks": [{"type": "bogus"}]}, "invalid_blocks"),
        ({"text": "x", "blocks": [{"type": "divider"}] * 51}, "invalid_blocks"),
        ({"text": "x", "blocks": PICKERS[0]}, "invalid_blocks"),
        ({"text": "x", "blocks": PICKERS[1]}, "invalid_blocks"),
        ({"text": "x", "attachments": "[{"}, "invalid_attachments"),
        ({"text": "x", "attachments": {"text": "y"}}, "invalid_attachments"),
        ({"text": {"not": "text"}}, "invalid_arguments"),
    ],
)
async def test_what_cannot_be_posted_is_refused_with_slacks_name(slack, args, error):
    assert await refused(slack.client.api_call("chat.postMessage", json={"channel": WEB, **args})) == error


async def test_a_missing_argument_is_named(slack):
    with pytest.raises(SlackApiError) as caught:
        await slack.client.api_call("conversations.replies", params={"channel": WEB})
    assert caught.value.response["error"] == "invalid_arguments"
    assert caught.value.response["response_metadata"]["messages"] == ["[ERROR] missing required field: ts"]


async def test_a_message_of_blocks_alone_is_read_by_its_words(slack):
    """People see the blocks; for scripts their words stand in for the text."""
    words = {"type": "mrkdwn", "text": "*Done*"}
    blocks = [
        {"type": "section", "text": words},
        {"type": "context", "elements": [{**words, "text": "in 3 s"}]},
    ]
    posted = await slack.client.api_call("chat.postMessage", json={"channel": WEB, "blocks": blocks})
    assert [m["text"] for m in await slack.thread(posted["ts"])] == ["*Done*\nin 3 s"]


async def test_blocks_get_the_ids_they_came_without(slack):
    button = {"type": "button", "text": {"type": "plain_text", "text": "Go"}}
    posted = await slack.client.chat_postMessage(
        channel=WEB, text="x", blocks=[{"type": "actions", "elements": [button]}]
    )
    block = posted["message"]["blocks"][0]
    assert block["block_id"]
    assert block["elements"][0]["action_id"]


async def test_reactions_are_added_once_and_removed_once(slack):
    ts = await slack.say("look")
    await slack.act("react", channel=WEB, ts=ts, user=BEN, name=":eyes:")
    await slack.client.reactions_add(channel=WEB, timestamp=ts, name="eyes")
    got = (await slack.client.reactions_get(channel=WEB, timestamp=ts))["message"]["reactions"]
    assert got == [{"name": "eyes", "users": [BEN, BOT], "count": 2}]
    add = slack.client.reactions_add(channel=WEB, timestamp=ts, name="eyes")
    assert await refused(add) == "already_reacted"
    await slack.client.reactions_remove(channel=WEB, timestamp=ts, name="eyes")
    remove = slack.client.reactions_remove(channel=WEB, timestamp=ts, name="eyes")
    assert await refused(remove) == "no_reaction"
    assert (await slack.thread(ts))[0]["reactions"] == [{"name": "eyes", "users": [BEN], "count": 1}]


@pytest.mark.parametrize(
    ("args", "error"),
    [
        ({"channel": WEB, "timestamp": "1.000000", "name": "Not An Emoji"}, "invalid_name"),
        ({"channel": WEB, "timestamp": "yesterday", "name": "eyes"}, "bad_timestamp"),
        ({"channel": WEB, "timestamp": "1.000000", "name": "eyes"}, "message_not_found"),
        ({"channel": RANDOM, "timestamp": "1.000000", "name": "eyes"}, "not_in_channel"),
        ({"channel": WEB, "name": "eyes"}, "no_item_specified"),
    ],
)
async def test_a_reaction_to_nothing_is_refused(slack, args, error):
    assert await refused(slack.client.api_call("reactions.add", params=args)) == error


async def test_a_permalink_leads_to_the_page_at_that_message(slack):
    root = await slack.say("root")
    reply = await slack.say("reply", thread_ts=root)
    link = (await slack.client.chat_getPermalink(channel=WEB, message_ts=reply))["permalink"]
    assert link.startswith(f"{slack.url}/archives/{WEB}/p{reply.replace('.', '')}")
    async with slack.session.get(link, allow_redirects=False) as response:
        assert response.headers["Location"] == f"/?channel={WEB}&thread_ts={root}&ts={reply}"
    gone = slack.client.chat_getPermalink(channel=WEB, message_ts="1.000000")
    assert await refused(gone) == "message_not_found"
