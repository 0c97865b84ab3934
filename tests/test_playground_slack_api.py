"""The Web API's door: encodings, tokens, names of errors, lists."""

import json

import pytest
from playground_fixtures import ADA, APP_TOKEN, BOT, BOT_TOKEN, DM, GENERAL, GUS, RANDOM, WEB, running
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient


@pytest.fixture
async def slack(tmp_path):
    async with running(tmp_path) as (_, slack):
        yield slack


async def refused(call) -> str:
    with pytest.raises(SlackApiError) as caught:
        await call
    return caught.value.response["error"]


async def raw(slack, method, verb="post", token=BOT_TOKEN, **how):
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with slack.session.request(verb, f"{slack.url}/api/{method}", headers=headers, **how) as response:
        assert response.status == 200
        return await response.json()


@pytest.mark.parametrize("encoding", ["get query", "post query", "json", "form", "multipart"])
async def test_every_encoding_carries_the_same_arguments(slack, encoding):
    """GET, POST with a query string, JSON, form and multipart all reach the method, blocks included."""
    blocks = [{"type": "divider"}]
    args = {"channel": WEB, "text": "hé & llo", "blocks": json.dumps(blocks)}
    how = {
        "get query": {"verb": "get", "params": args},
        "post query": {"params": args},
        "json": {"json": {**args, "blocks": blocks}},
        "form": {"data": args},
        "multipart": {"data": _multipart(args)},
    }[encoding]
    answer = await raw(slack, "chat.postMessage", **how)
    assert answer["ok"], answer
    assert answer["message"]["text"] == "hé & llo"
    assert answer["message"]["blocks"][0]["type"] == "divider"


def _multipart(args):
    import aiohttp

    form = aiohttp.FormData(quote_fields=False)
    for key, value in args.items():
        form.add_field(key, value, content_type="text/plain")
    return form


async def test_the_token_may_stand_in_the_body(slack):
    """A token argument works like the header, and is not logged."""
    answer = await raw(slack, "auth.test", token=None, data={"token": BOT_TOKEN})
    assert answer["user_id"] == BOT
    assert BOT_TOKEN not in json.dumps(await slack.requests())


@pytest.mark.parametrize(
    ("token", "method", "error"),
    [
        (None, "auth.test", "not_authed"),
        ("xoxb-other", "auth.test", "invalid_auth"),
        (APP_TOKEN, "auth.test", "not_allowed_token_type"),
        (BOT_TOKEN, "apps.connections.open", "not_allowed_token_type"),
        (BOT_TOKEN, "chat.posMessage", "unknown_method"),
    ],
)
async def test_a_call_without_the_right_token_is_refused_by_name(slack, token, method, error):
    assert await raw(slack, method, token=token) == {"ok": False, "error": error}


async def test_api_test_answers_anyone_with_their_arguments(slack):
    assert await raw(slack, "api.test", token=None, data={"foo": "bar"}) == {
        "ok": True,
        "args": {"foo": "bar"},
    }
    failed = await raw(slack, "api.test", token=None, data={"error": "my_error"})
    assert (failed["ok"], failed["error"]) == (False, "my_error")


async def test_a_body_that_is_not_json_is_refused(slack):
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {BOT_TOKEN}"}
    url = f"{slack.url}/api/chat.postMessage"
    async with slack.session.post(url, data="{", headers=headers) as response:
        assert (await response.json())["error"] == "invalid_json"
    async with slack.session.post(url, data="[]", headers=headers) as response:
        assert (await response.json())["error"] == "json_not_object"


async def test_auth_test_says_who_the_bot_is(slack):
    me = await slack.client.auth_test()
    assert (me["user_id"], me["bot_id"], me["team_id"]) == (BOT, "B0THRDSMTH", "T0PLAYGRND")
    assert (await slack.client.bots_info(bot=me["bot_id"]))["bot"]["user_id"] == BOT
    assert (await slack.client.team_info())["team"]["name"] == "Playground"
    assert await refused(slack.client.bots_info(bot="B1")) == "bot_not_found"


async def test_users_are_the_sample_people_and_the_guest_is_restricted(slack):
    members = [user async for page in await slack.client.users_list(limit=2) for user in page["members"]]
    assert [user["name"] for user in members] == ["ada", "ben", "chloe", "gus", "threadsmith"]
    assert [user["id"] for user in members if user["is_restricted"]] == [GUS]
    assert [user["id"] for user in members if user["is_bot"]] == [BOT]
    assert (await slack.client.users_info(user=ADA))["user"]["profile"]["email"] == "ada@example.com"
    profile = await slack.client.users_profile_get(user=ADA)
    assert profile["profile"]["display_name"] == "Ada Sample"
    assert await refused(slack.client.users_info(user="U1")) == "user_not_found"


async def test_lists_of_channels_come_in_pages_of_the_types_asked_for(slack):
    names = [
        c["name"] async for page in await slack.client.conversations_list(limit=3) for c in page["channels"]
    ]
    assert names == ["general", "web", "backend", "random"]
    direct = await slack.client.conversations_list(types="im")
    assert DM in [channel["id"] for channel in direct["channels"]]
    mine = await slack.client.users_conversations()
    assert RANDOM not in [channel["id"] for channel in mine["channels"]]
    assert await refused(slack.client.conversations_list(types="secret")) == "invalid_types"
    assert await refused(slack.client.conversations_list(cursor="%%%")) == "invalid_cursor"


async def test_the_bot_reads_only_channels_it_is_in_until_it_joins(slack):
    assert (await slack.client.conversations_info(channel=RANDOM))["channel"]["is_member"] is False
    assert await refused(slack.client.conversations_history(channel=RANDOM)) == "not_in_channel"
    assert await refused(slack.client.chat_postMessage(channel=RANDOM, text="x")) == "not_in_channel"
    assert (await slack.client.conversations_join(channel=RANDOM))["channel"]["is_member"] is True
    assert BOT in (await slack.client.conversations_members(channel=RANDOM))["members"]
    again = await slack.client.conversations_join(channel=RANDOM)
    assert again["response_metadata"]["warnings"] == ["already_in_channel"]


async def test_opening_a_direct_message_finds_the_persons_one(slack):
    opened = await slack.client.conversations_open(users=ADA, return_im=True)
    assert (opened["channel"]["id"], opened["channel"]["user"]) == (DM, ADA)
    assert await refused(slack.client.conversations_open(users="U1")) == "user_not_found"
    posted = await slack.client.chat_postMessage(channel=ADA, text="psst")
    assert posted["channel"] == DM


@pytest.mark.parametrize("channel", ["C1", "", None])
async def test_an_unknown_channel_is_channel_not_found(slack, channel):
    assert await refused(slack.client.chat_postMessage(channel=channel, text="x")) == "channel_not_found"
    assert await refused(slack.client.conversations_info(channel=channel)) == "channel_not_found"


async def test_a_channel_may_be_given_by_name_when_posting(slack):
    assert (await slack.client.chat_postMessage(channel="#general", text="x"))["channel"] == GENERAL


async def test_a_client_with_the_sdks_own_session_works_too(slack):
    """Without our shared session the SDK opens one per call; nothing may depend on which."""
    client = AsyncWebClient(token=BOT_TOKEN, base_url=f"{slack.url}/api/")
    assert (await client.auth_test())["ok"]


@pytest.mark.parametrize(
    ("method", "args", "error"),
    [
        ("conversations.history", {"latest": "²"}, "invalid_ts_latest"),
        ("conversations.history", {"oldest": "nan"}, "invalid_ts_oldest"),
        ("conversations.history", {"limit": "many"}, "invalid_limit"),
        ("conversations.history", {"limit": -1}, "invalid_limit"),
        ("conversations.history", {"cursor": "\ud800"}, "invalid_cursor"),
        ("chat.postEphemeral", {"user": "\ud800", "text": "x"}, "user_not_in_channel"),
        ("conversations.replies", {"ts": "\ud800"}, "thread_not_found"),
    ],
)
async def test_odd_characters_and_numbers_are_refused_not_broken_on(slack, method, args, error):
    """Half characters, superscripts, not-a-number: what a fuzzer finds."""
    assert (await raw(slack, method, json={"channel": WEB, **args}))["error"] == error
