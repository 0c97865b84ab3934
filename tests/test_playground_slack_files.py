"""Files in the playground's Slack: said by people, handed to the bot, posted by it, shown on the page."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from file_kit import BIDI, NASTY_NAMES, given, png
from playground_fixtures import ADA, BEN, BOT, BOT_TOKEN, DM, RANDOM, TOKEN, WEB, Json, Slack, bolt, running
from slack_sdk.errors import SlackApiError

from bot.playground.slack.files import MAX_FILE_BYTES, MAX_FILES

BEARER = {"Authorization": f"Bearer {BOT_TOKEN}"}


@pytest.fixture
async def slack(tmp_path: Path) -> AsyncIterator[Slack]:
    async with running(tmp_path) as (_, slack):
        yield slack


async def attach(slack: Slack, *files: Json, channel: str = WEB, text: str = "see this", **more: str) -> str:
    body = {"channel": channel, "user": ADA, "text": text, "files": list(files), **more}
    return str((await slack.act("message", **body))["ts"])


async def file_of(slack: Slack, ts: str, channel: str = WEB) -> Json:
    """The one file of a message, as the bot reads it."""
    found = await slack.client.conversations_replies(channel=channel, ts=ts)
    [file] = found["messages"][-1]["files"]
    return dict(file)


async def get(slack: Slack, url: str, **headers: str) -> tuple[int, bytes, aiohttp.ClientResponse]:
    async with slack.session.get(url, headers=headers, allow_redirects=False) as response:
        return response.status, await response.read(), response


async def refused(call: object) -> Json:
    with pytest.raises(SlackApiError) as caught:
        await call  # type: ignore[misc]  # a coroutine of the SDK, which has no types there
    return dict(caught.value.response.data)


async def upload(slack: Slack, content: bytes, name: str = "report.txt") -> str:
    """The first two steps; the file's id."""
    asked = await slack.client.files_getUploadURLExternal(filename=name, length=len(content))
    async with slack.session.post(asked["upload_url"], data=content) as response:
        assert (response.status, await response.text()) == (200, f"OK - {len(content)}")
    return str(asked["file_id"])


# -- in ------------------------------------------------------------------------------------------


async def test_a_message_with_a_file_arrives_as_a_file_share_and_as_a_mention(slack: Slack) -> None:
    async with bolt(slack) as bot:
        await attach(slack, given("shot.png", png()), text=f"<@{BOT}> look")
        events = [await bot.next(), await bot.next()]
    assert sorted(event.get("subtype") or event["type"] for event in events) == ["app_mention", "file_share"]
    for event in events:
        [file] = event["files"]
        assert (file["name"], file["mimetype"], file["size"]) == ("shot.png", "image/png", len(png()))
        assert file["url_private"].startswith(f"{slack.url}/files-pri/T0PLAYGRND-F")


async def test_a_message_may_be_nothing_but_files(slack: Slack) -> None:
    ts = await attach(slack, given("a.txt", "a"), given("b.txt", "b"), text="")
    [message] = await slack.thread(ts)
    assert (message["text"], [file["name"] for file in message["files"]]) == ("", ["a.txt", "b.txt"])
    await slack.act("message", expect=400, channel=WEB, user=ADA, text="", files=[])


async def test_the_bot_gets_a_file_by_its_token(slack: Slack) -> None:
    file = await file_of(slack, await attach(slack, given("page.html", "<b>hi</b>")))
    for url in (file["url_private"], file["url_private_download"]):
        status, content, response = await get(slack, url, **BEARER)
        assert (status, content) == (200, b"<b>hi</b>")
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.proof("strangers")
@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer xoxb-other"}, {"Authorization": BOT_TOKEN}, {"X-Playground-Token": TOKEN}],
)
async def test_whoever_has_no_token_is_sent_to_a_page_to_sign_in(slack: Slack, headers: Json) -> None:
    """As Slack does: a redirect to HTML with 200, which must not be taken for the file."""
    file = await file_of(slack, await attach(slack, given("plan.txt", "secret plan")))
    status, content, response = await get(slack, file["url_private"], **headers)
    assert status == 302 and b"secret" not in content
    assert response.headers["Location"].startswith("/?redir=%2Ffiles-pri%2F")
    async with slack.session.get(file["url_private"], headers=headers) as followed:
        assert (followed.status, followed.content_type) == (200, "text/html")
        assert b"secret" not in await followed.read()


async def test_without_the_scope_the_token_opens_no_file(slack: Slack) -> None:
    file = await file_of(slack, await attach(slack, given("a.txt", "a")))
    await slack.act("scopes", scopes=["chat:write", "channels:history"])
    assert (await get(slack, file["url_private"], **BEARER))[0] == 302
    answer = await refused(slack.client.files_info(file=file["id"]))
    assert answer == {
        "ok": False,
        "error": "missing_scope",
        "needed": "files:read",
        "provided": "channels:history,chat:write",
    }
    answer = await refused(slack.client.files_getUploadURLExternal(filename="a.txt", length=1))
    assert (answer["error"], answer["needed"]) == ("missing_scope", "files:write")
    granted = (await slack.client.auth_test()).headers["X-OAuth-Scopes"]
    assert granted == "channels:history,chat:write"


async def test_a_file_is_looked_up_with_where_it_was_posted(slack: Slack) -> None:
    root = await slack.say("root")
    ts = await attach(slack, given("a.csv", "1,2"), thread_ts=root)
    file = (await slack.client.files_info(file=(await file_of(slack, ts))["id"]))["file"]
    assert (file["channels"], file["pretty_type"]) == ([WEB], "CSV")
    [share] = file["shares"]["public"][WEB]
    assert (share["ts"], share["thread_ts"]) == (ts, root)
    direct = await file_of(slack, await attach(slack, given("b.csv", "3"), channel=DM), DM)
    assert (await slack.client.files_info(file=direct["id"]))["file"]["ims"] == [DM]


async def test_a_file_where_the_bot_is_not_is_none(slack: Slack) -> None:
    ts = await attach(slack, given("a.csv", "1,2"), channel=RANDOM)
    [message] = await slack.thread(ts, RANDOM)
    answer = await refused(slack.client.files_info(file=message["files"][0]["id"]))
    assert answer["error"] == "file_not_found"


async def test_files_survive_a_restart_at_the_address_that_is_then_right(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, slack):
        ts = await attach(slack, given("a.txt", "kept"))
    async with running(tmp_path) as (_, slack):
        file = await file_of(slack, ts)
        assert file["url_private"].startswith(slack.url)
        assert (await get(slack, file["url_private"], **BEARER))[1] == b"kept"


async def test_an_edit_keeps_the_files(slack: Slack) -> None:
    async with bolt(slack) as bot:
        ts = await attach(slack, given("a.txt", "a"))
        await bot.next()
        await slack.act("edit", channel=WEB, ts=ts, user=ADA, text="see that")
        changed = await bot.next()
    assert [file["name"] for file in changed["message"]["files"]] == ["a.txt"]


@pytest.mark.proof("input")
@pytest.mark.parametrize("name", NASTY_NAMES)
async def test_names_are_shown_with_nothing_in_them_that_hides_or_turns(slack: Slack, name: str) -> None:
    file = await file_of(slack, await attach(slack, given(name, "x")))
    assert file["name"] and "/" not in file["name"] and "\\" not in file["name"]
    assert file["name"] not in {"..", "."}
    assert not any(sign in file["name"] for sign in ("\x00", "\x1b", "\n", BIDI))
    assert len(file["name"]) <= 200
    assert (await get(slack, file["url_private"], **BEARER))[1] == b"x"


@pytest.mark.proof("input")
@pytest.mark.parametrize(
    ("files", "status", "words"),
    [
        ("x", 400, "list"),
        ([5], 400, "object"),
        ([{"name": "a"}], 400, "content_base64"),
        ([{"name": "a", "content_base64": "*"}], 400, "base64"),
        ([{"content_base64": "YQ=="}], 400, "name"),
        ([{"name": "a", "content_base64": "YQ==", "mimetype": "text/html\r\nX: y"}], 400, "mimetype"),
        ([given("a", "a")] * (MAX_FILES + 1), 400, "at most"),
    ],
)
async def test_a_file_that_is_none_or_too_much_is_refused_in_words(
    slack: Slack, files: object, status: int, words: str
) -> None:
    answer = await slack.act("message", expect=status, channel=WEB, user=ADA, text="x", files=files)
    assert words in answer["error"]


@pytest.mark.proof("input")
@pytest.mark.parametrize("sizes", [[MAX_FILE_BYTES + 1], [12 << 20] * 3])
async def test_more_bytes_than_are_kept_are_refused(slack: Slack, sizes: list[int]) -> None:
    files = [given("a", bytes(size)) for size in sizes]
    body = json.dumps({"channel": WEB, "user": ADA, "text": "x", "files": files}).encode()
    headers = {"X-Playground-Token": TOKEN, "Content-Type": "application/json"}
    url = f"{slack.url}/control/message"
    async with slack.session.post(url, data=io.BytesIO(body), headers=headers) as response:
        assert (response.status, list(await response.json())) == (413, ["error"])


# -- out -----------------------------------------------------------------------------------------


async def test_the_bot_posts_a_file_into_a_thread_in_three_steps(slack: Slack) -> None:
    root = await slack.say("root")
    file_id = await upload(slack, b"all is well")
    before = await refused(slack.client.files_info(file=file_id))
    assert before["error"] == "file_not_found"
    done = await slack.client.files_completeUploadExternal(
        files=[{"id": file_id, "title": "Report"}], channel_id=WEB, thread_ts=root, initial_comment="as asked"
    )
    assert done["files"] == [{"id": file_id, "title": "Report"}]
    _, message = await slack.thread(root)
    assert (message["user"], message["text"]) == (BOT, "as asked")
    assert [(file["name"], file["title"]) for file in message["files"]] == [("report.txt", "Report")]
    kept = await slack.look("control/file", id=file_id)
    assert base64.b64decode(kept["content_base64"]) == b"all is well"
    assert kept["shares"] == [[WEB, message["ts"], root]]


async def test_the_sdks_own_upload_works(slack: Slack) -> None:
    """It sends the bytes as a form, which is allowed as well."""
    await slack.client.files_upload_v2(channel=WEB, content="as the SDK does", filename="sdk.txt")
    shown = (await slack.look("control/thread", channel=WEB))["messages"]
    assert [file["name"] for file in shown[-1]["files"]] == ["sdk.txt"]


async def test_a_file_is_completed_once(slack: Slack) -> None:
    """By Slack's own words, "this method can only be called once"."""
    root = await slack.say("root")
    files = [{"id": await upload(slack, b"x")}]
    where = {"channel_id": WEB, "thread_ts": root}
    await slack.client.files_completeUploadExternal(files=files, **where)
    again = await refused(slack.client.files_completeUploadExternal(files=files, **where))
    assert again["error"] == "file_not_found"
    assert len(await slack.thread(root)) == 2


async def test_what_was_not_uploaded_cannot_be_completed(slack: Slack) -> None:
    asked = await slack.client.files_getUploadURLExternal(filename="a.txt", length=3)
    answer = await refused(
        slack.client.files_completeUploadExternal(files=[{"id": asked["file_id"]}], channel_id=WEB)
    )
    assert answer["error"] == "file_not_found"


@pytest.mark.parametrize("content", [b"ab", b"abcd", b""])
async def test_an_upload_must_be_as_long_as_was_announced(slack: Slack, content: bytes) -> None:
    asked = await slack.client.files_getUploadURLExternal(filename="a.txt", length=3)
    async with slack.session.post(asked["upload_url"], data=content) as response:
        assert response.status == 400


async def test_a_ticket_that_is_none_takes_nothing(slack: Slack) -> None:
    async with slack.session.post(f"{slack.url}/upload/v1/x", data=b"a") as response:
        assert response.status == 404


@pytest.mark.parametrize(
    ("filename", "length", "error"),
    [
        ("a.txt", 0, "missing_argument"),
        ("", 1, "missing_argument"),
        ("a.txt", MAX_FILE_BYTES + 1, "file_upload_size_restricted"),
    ],
)
async def test_an_upload_that_cannot_be_is_refused(
    slack: Slack, filename: str, length: int, error: str
) -> None:
    answer = await refused(slack.client.files_getUploadURLExternal(filename=filename, length=length))
    assert answer["error"] == error


@pytest.mark.parametrize(
    ("more", "error"),
    [
        ({"channel_id": "C0NOWHERE"}, "channel_not_found"),
        ({"channel_id": RANDOM}, "not_in_channel"),
        ({"channel_id": WEB, "thread_ts": "1.000000"}, "thread_not_found"),
        ({"channel_id": WEB, "files": []}, "invalid_arguments"),
        ({"channel_id": WEB, "files": [{"id": "F0NONE"}]}, "file_not_found"),
    ],
)
async def test_a_completion_that_cannot_be_is_refused_and_can_be_tried_again(
    slack: Slack, more: Json, error: str
) -> None:
    files = [{"id": await upload(slack, b"x")}]
    answer = await refused(slack.client.files_completeUploadExternal(**{"files": files, **more}))
    assert answer["error"] == error
    assert (await slack.client.files_completeUploadExternal(files=files, channel_id=WEB))["ok"]


async def test_uploads_and_downloads_can_be_made_to_fail(slack: Slack) -> None:
    file = await file_of(slack, await attach(slack, given("a.txt", "a")))
    await slack.act("fault", method="files-pri", kind="server_error", times=1)
    assert (await get(slack, file["url_private"], **BEARER))[0] == 500
    await slack.act("fault", method="upload", kind="lost_reply", times=1)
    asked = await slack.client.files_getUploadURLExternal(filename="a.txt", length=1)
    with pytest.raises(aiohttp.ClientError):
        await slack.session.post(asked["upload_url"], data=b"a")
    assert (
        await slack.client.files_completeUploadExternal(files=[{"id": asked["file_id"]}], channel_id=WEB)
    )["ok"]


# -- on the page ---------------------------------------------------------------------------------


async def shown(slack: Slack, file_id: str, user: str = ADA) -> tuple[int, bytes, aiohttp.ClientResponse]:
    return await get(
        slack, f"{slack.url}/page/file?user={user}&id={file_id}", **{"X-Playground-Token": TOKEN}
    )


@pytest.mark.proof("strangers")
@pytest.mark.parametrize(
    ("name", "content", "claimed", "served"),
    [
        ("a.png", png(), None, "image/png"),
        ("a.png", b"<script>alert(1)</script>", "image/png", "application/octet-stream"),
        ("a.svg", b"<svg onload='alert(1)'/>", "image/svg+xml", "application/octet-stream"),
        ("a.html", b"<script>alert(1)</script>", "text/html", "application/octet-stream"),
        ("a.txt", png(), "text/html", "image/png"),
    ],
)
async def test_the_page_is_served_no_file_that_a_browser_would_run(
    slack: Slack, name: str, content: bytes, claimed: str | None, served: str
) -> None:
    """What a file is said to be decides nothing: only an image by its first bytes is served as one."""
    file = await file_of(slack, await attach(slack, given(name, content, claimed)))
    status, body, response = await shown(slack, file["id"])
    assert (status, body, response.content_type) == (200, content, served)
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response.headers["Content-Security-Policy"]
    assert response.headers["Content-Disposition"] == "attachment"


@pytest.mark.proof("strangers")
async def test_a_file_is_shown_to_those_who_see_its_message(slack: Slack) -> None:
    file = await file_of(slack, await attach(slack, given("a.txt", "a"), channel=DM), DM)
    assert (await shown(slack, file["id"]))[0] == 200
    assert (await shown(slack, file["id"], BEN))[0] == 404
    assert (await shown(slack, "F0NONE"))[0] == 404
    assert (await get(slack, f"{slack.url}/page/file?user={ADA}&id={file['id']}"))[0] == 401


async def test_the_page_hears_of_files_without_their_addresses(slack: Slack) -> None:
    async with slack.session.ws_connect(f"{slack.url}/page/events?user={ADA}&token={TOKEN}") as socket:
        await attach(slack, given("a.txt", "abc"))
        told = await asyncio.wait_for(socket.receive_json(), 10)
    [file] = told["message"]["files"]
    assert {key: file[key] for key in ("name", "pretty_type", "size")} == {
        "name": "a.txt",
        "pretty_type": "Plain Text",
        "size": 3,
    }
    assert not any("url" in key for key in file)
