"""Buttons, pickers and slash commands: what the bot gets, and what its answers do."""

import asyncio

import pytest
from playground_fixtures import ADA, BEN, DM, GUS, WEB, bolt, link, receive, running

BUTTON = {"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Go"}, "value": "v1"}
OPTIONS = [{"text": {"type": "plain_text", "text": name}, "value": name} for name in ("acme/a", "acme/b")]
PICKER = {
    "type": "static_select",
    "action_id": "repo",
    "placeholder": {"type": "plain_text", "text": "Which?"},
    "options": OPTIONS,
}
BLOCKS = [
    {"type": "actions", "block_id": "buttons", "elements": [BUTTON]},
    {"type": "section", "block_id": "pick", "text": {"type": "mrkdwn", "text": "?"}, "accessory": PICKER},
]


@pytest.fixture
async def slack(tmp_path):
    async with running(tmp_path) as (_, slack):
        yield slack


async def posted(slack, **more) -> str:
    answer = await slack.client.chat_postMessage(channel=WEB, text="choose", blocks=BLOCKS, **more)
    return answer["ts"]


def listen(bot, kind, name):
    """A queue of (body, respond) for an action or command."""
    queue = asyncio.Queue()

    async def listener(ack, body, respond):
        await ack()
        queue.put_nowait((body, respond))

    getattr(bot.app, kind)(name)(listener)
    return queue


async def got(queue):
    return await asyncio.wait_for(queue.get(), 10)


async def test_a_button_arrives_with_everything_around_it(slack):
    root = await slack.say("root")
    ts = await posted(slack, thread_ts=root)
    async with bolt(slack) as bot:
        clicks = listen(bot, "action", "go")
        await slack.act("click", channel=WEB, ts=ts, user=BEN, action_id="go")
        body, _ = await got(clicks)
        await slack.settled()
    assert body["user"]["id"] == BEN
    assert body["channel"] == {"id": WEB, "name": "web"}
    assert body["team"]["id"] == "T0PLAYGRND"
    assert body["container"]["thread_ts"] == root
    assert (body["message"]["ts"], body["message"]["blocks"][0]["block_id"]) == (ts, "buttons")
    action = body["actions"][0]
    assert (action["type"], action["value"], action["block_id"]) == ("button", "v1", "buttons")
    assert body["trigger_id"] and body["response_url"].startswith(slack.url)


async def test_a_picker_arrives_with_the_option_and_the_messages_state(slack):
    ts = await posted(slack)
    async with bolt(slack) as bot:
        clicks = listen(bot, "action", "repo")
        await slack.act("click", channel=WEB, ts=ts, user=BEN, action_id="repo", value="acme/b")
        body, _ = await got(clicks)
    assert body["actions"][0]["selected_option"]["value"] == "acme/b"
    assert body["state"]["values"]["pick"]["repo"]["selected_option"]["value"] == "acme/b"


async def test_words_in_a_field_arrive_when_enter_is_pressed(slack):
    """Within what the field takes."""
    field = {"type": "plain_text_input", "action_id": "name", "max_length": 5}
    block = {"type": "input", "block_id": "who", "label": BUTTON["text"], "element": field}
    ts = (await slack.client.chat_postMessage(channel=WEB, text="?", blocks=[block]))["ts"]
    place = {"channel": WEB, "ts": ts, "user": BEN, "action_id": "name"}
    assert "5 characters" in (await slack.act("click", expect=400, **place, value="longer"))["error"]
    async with bolt(slack) as bot:
        clicks = listen(bot, "action", "name")
        await slack.act("click", **place, value="short")
        body, _ = await got(clicks)
    action = body["actions"][0]
    assert (action["type"], action["value"], action["block_id"]) == ("plain_text_input", "short", "who")
    assert body["state"]["values"]["who"]["name"] == {"type": "plain_text_input", "value": "short"}


async def test_people_see_which_actions_there_are(slack):
    ts = await posted(slack)
    actions = (await slack.thread(ts))[0]["actions"]
    assert [(a["action_id"], a["type"], a["text"]) for a in actions] == [
        ("go", "button", "Go"),
        ("repo", "static_select", "Which?"),
    ]
    assert actions[1]["options"] == [
        {"text": "acme/a", "value": "acme/a"},
        {"text": "acme/b", "value": "acme/b"},
    ]


async def test_a_click_on_what_is_not_there_is_refused(slack):
    ts = await posted(slack)
    place = {"channel": WEB, "ts": ts, "user": BEN}
    assert "no action" in (await slack.act("click", expect=404, **place, action_id="nope"))["error"]
    wrong = await slack.act("click", expect=400, **place, action_id="repo", value="acme/c")
    assert "acme/a, acme/b" in wrong["error"]
    await slack.act("click", expect=404, channel=WEB, ts="1.000000", user=BEN, action_id="go")
    await slack.act("click", expect=403, channel=DM, ts=ts, user=BEN, action_id="go")


async def test_an_ephemeral_message_can_be_clicked_only_by_its_reader(slack):
    sent = await slack.client.chat_postEphemeral(channel=WEB, user=BEN, text="?", blocks=BLOCKS)
    ts = sent["message_ts"]
    await slack.act("click", expect=404, channel=WEB, ts=ts, user=ADA, action_id="go")
    async with bolt(slack) as bot:
        clicks = listen(bot, "action", "go")
        await slack.act("click", channel=WEB, ts=ts, user=BEN, action_id="go")
        body, respond = await got(clicks)
        assert body["container"]["is_ephemeral"] is True
        assert "message" not in body
        await respond(text="thanks", replace_original=True)
    assert [m["text"] for m in await slack.thread(ts)] == ["thanks"]


async def test_an_answer_replaces_the_message_posts_for_one_or_for_all_or_deletes(slack):
    root = await slack.say("root")
    ts = await posted(slack, thread_ts=root)
    async with bolt(slack) as bot:
        clicks = listen(bot, "action", "go")
        await slack.act("click", channel=WEB, ts=ts, user=BEN, action_id="go")
        _, respond = await got(clicks)
        await respond(text="just you", replace_original=False)
        await respond(text="everybody", replace_original=False, response_type="in_channel")
        await respond(text="chosen", replace_original=True)
        seen = [(m["text"], m["ephemeral_to"]) for m in await slack.thread(root)]
        assert seen == [("root", None), ("chosen", None), ("just you", BEN), ("everybody", None)]
        await respond(delete_original=True)
        assert (await slack.thread(root))[1]["deleted"] is True


async def test_an_answer_address_is_good_for_five_answers(slack):
    ts = await posted(slack)
    async with bolt(slack) as bot:
        clicks = listen(bot, "action", "go")
        await slack.act("click", channel=WEB, ts=ts, user=BEN, action_id="go")
        body, _ = await got(clicks)
    url = body["response_url"]
    statuses = []
    for number in range(6):
        async with slack.session.post(url, json={"text": str(number), "replace_original": True}) as response:
            statuses.append(response.status)
    assert statuses == [200] * 5 + [404]
    async with slack.session.post(f"{slack.url}/response/guess", json={"text": "x"}) as response:
        assert response.status == 404
    assert [r["method"] for r in await slack.requests()].count("response_url") == 5


async def test_an_answer_address_expires(tmp_path):
    async with running(tmp_path) as (side, slack):
        url = side.workspace.response_url(WEB, BEN, None, None)
        side.workspace.store.run("update response_urls set expires_at = 0")
        async with slack.session.post(url, json={"text": "late"}) as response:
            assert (response.status, (await response.json())["error"]) == (404, "expired_url")


@pytest.mark.parametrize("thread_ts", ["1.000000", 7, None])
async def test_an_answer_for_a_thread_that_is_not_there_stays_where_the_click_was(tmp_path, thread_ts):
    async with running(tmp_path) as (side, slack):
        root = await slack.say("root")
        url = side.workspace.response_url(WEB, BEN, root, None)
        body = {"text": "here", "response_type": "in_channel", "thread_ts": thread_ts}
        async with slack.session.post(url, json=body) as response:
            assert response.status == 200
        assert [m["text"] for m in await slack.thread(root)] == ["root", "here"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"text": ""}', b'{"text": "x", "blocks": [{"type": "no"}]}'])
async def test_an_answer_that_makes_no_sense_is_refused(tmp_path, body):
    async with running(tmp_path) as (side, slack):
        url = side.workspace.response_url(WEB, BEN, None, None)
        async with slack.session.post(url, data=body) as response:
            assert response.status == 400


async def test_a_slash_command_arrives_and_its_answer_is_for_its_giver(slack):
    async with bolt(slack) as bot:
        commands = listen(bot, "command", "/threadsmith")
        await slack.act("command", channel=WEB, user=BEN, command="/threadsmith", text="help me")
        body, respond = await got(commands)
        await respond("here you are")
        await slack.settled()
    assert (body["text"], body["user_id"], body["channel_id"]) == ("help me", BEN, WEB)
    listed = await slack.look("page/messages", channel=WEB, user=BEN)
    assert [(m["text"], m["ephemeral"]) for m in listed["messages"]] == [("here you are", True)]
    others = await slack.look("page/messages", channel=WEB, user=ADA)
    assert others["messages"] == []


async def test_a_command_may_be_answered_in_its_acknowledgement(slack):
    async with bolt(slack) as bot:

        @bot.app.command("/threadsmith")
        async def answer(ack):
            await ack(text="pong", response_type="in_channel")

        await slack.act("command", channel=WEB, user=BEN, command="/threadsmith", text="ping")
        await slack.settled()
    history = await slack.client.conversations_history(channel=WEB)
    assert [message["text"] for message in history["messages"]] == ["pong"]


async def test_a_command_must_look_like_one_and_come_from_a_member(slack):
    place = {"channel": WEB, "user": BEN, "text": ""}
    assert "/name" in (await slack.act("command", expect=400, **place, command="threadsmith"))["error"]
    backend = {"channel": "C0BACKEND1", "user": GUS, "text": "", "command": "/threadsmith"}
    await slack.act("command", expect=403, **backend)


async def until(socket, kind):
    """The next envelope of a kind; the others on the way are acknowledged."""
    while (envelope := await receive(socket))["type"] != kind:
        await socket.send_json({"envelope_id": envelope["envelope_id"]})
    return envelope


async def test_clicks_and_commands_are_not_repeated_in_time_but_survive_a_lost_connection(tmp_path):
    """Slack repeats only events; here nothing that people did is lost when the bot comes back."""
    async with running(tmp_path, retry_delays=(0.01,)) as (_, slack):
        ts = await posted(slack)
        async with link(slack) as socket:
            await slack.act("click", channel=WEB, ts=ts, user=BEN, action_id="go")
            click = await until(socket, "interactive")
            assert click["accepts_response_payload"] is True
            await slack.say("later")
            sent = [await receive(socket)]
            while not sent[-1]["retry_attempt"]:
                sent.append(await receive(socket))
            assert {envelope["type"] for envelope in sent} == {"events_api"}
        async with link(slack) as socket:
            again = await until(socket, "interactive")
            assert again["payload"] == click["payload"]


async def test_a_command_that_nobody_answers_is_given_up_and_the_person_told(tmp_path):
    """By a bot that is there; otherwise nothing here would ever be idle again."""
    async with running(tmp_path) as (side, slack), link(slack) as socket:
        side.workspace.deliveries.give_up_seconds = 0.05
        await slack.act("command", channel=WEB, user=ADA, command="/nope", text="")
        envelope = await until(socket, "slash_commands")
        assert (await slack.look("control/idle", timeout="30"))["idle"]
        [told] = (await slack.look("control/thread", channel=WEB))["messages"]
        assert "/nope failed" in told["text"]
        assert told["ephemeral_to"] == ADA
        await socket.send_json({"envelope_id": envelope["envelope_id"], "payload": {"text": "too late"}})
        await slack.say("after that")
        await until(socket, "events_api")
        assert len((await slack.look("control/thread", channel=WEB))["messages"]) == 2
