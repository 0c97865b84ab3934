"""Every post goes out once, whatever Slack answers, and a message Slack will never take holds nobody up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from session_kit import assert_clean, calls, fault, finals, shows, until
from slack_sdk.errors import SlackApiError
from slack_sdk.web import async_base_client

from bot.domain import SessionId, ThreadKey
from bot.playground import people
from bot.slack import looking, outbox
from bot.testing import Botty, Post, Thread
from storage import NewEffect

pytestmark = pytest.mark.proof("outside")

# Every method a turn uses, a start and a reconnection of the bot included.
METHODS = (
    "auth.test",
    "users.info",
    "conversations.info",
    "conversations.replies",
    "reactions.add",
    "agents.sessions.setStatus",
    "chat.startStream",
    "chat.appendStream",
    "chat.stopStream",
    "chat.postMessage",
)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The playground keeps no request under way for long, so nobody has to wait for one."""
    monkeypatch.setattr(looking, "REQUEST_SECONDS", 1.0)


@pytest.mark.parametrize("kind", ["rate_limited", "server_error", "lost_reply"])
@pytest.mark.usefixtures("soon")
async def test_every_method_may_fail_and_all_ends_well(
    botty: Botty, kind: str, record_property: Callable[[str, object], None]
) -> None:
    """Once each, the answer lost included: one opening, one final message, one pull request, no stream."""
    for method in METHODS:
        await fault(botty, method, kind)
    record_property("cases", len(METHODS))
    thread = await botty.say('create a.txt with "a" then run `ls`')
    await thread.final()
    [final] = await assert_clean(botty, thread)
    assert "Done." in final.text
    [pull] = await botty.pulls()
    assert pull["files"] == ["a.txt"]


@pytest.mark.usefixtures("soon")
async def test_a_final_message_whose_answer_was_lost_is_not_posted_twice(botty: Botty) -> None:
    """It is found in the thread by its key, and taken as posted."""
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    await fault(botty, "chat.postMessage", "lost_reply")
    await thread.say('create b.txt with "b"')
    await thread.final()
    assert len(finals(await thread.by_bot())) == 2
    posted = [call for call in await calls(botty, "chat.postMessage") if "Done." in call["args"]["text"]]
    assert len(posted) == 2


@pytest.mark.usefixtures("soon")
async def test_what_slack_did_not_do_is_sent_again(botty: Botty) -> None:
    """A server error may have posted or not: the thread is read, and then it is posted."""
    await fault(botty, "chat.postMessage", "server_error", times=3)
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    await assert_clean(botty, thread)
    posted = [call for call in await calls(botty, "chat.postMessage") if call["ok"]]
    assert len({call["args"]["client_msg_id"] for call in posted}) == len(posted) == 2


async def test_posts_of_a_thread_keep_their_order(botty: Botty) -> None:
    """The opening is refused for a while; the final message does not overtake it."""
    await fault(botty, "chat.postMessage", "rate_limited", times=2)
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    texts = [post.text for post in await thread.by_bot() if not post.raw["streaming"]]
    assert texts.index(next(t for t in texts if "Starting in" in t)) < texts.index(
        next(t for t in texts if "Done." in t)
    )


async def test_a_post_that_slack_will_never_take_is_given_up(botty: Botty) -> None:
    """The file says so, and the next request in another thread is not held up."""
    thread = await botty.say('create a.txt with "a" then wait 1 second')
    [session] = await until(botty, botty.bot.house.state.marked)
    await botty.control("POST", "delete", channel=thread.channel, ts=thread.ts, user=botty.person("ada"))
    other = await botty.say('create b.txt with "b"', "ben")
    await other.final()
    await assert_clean(botty, other)
    async with botty.bot.house.store.use(session) as file:
        assert await file.idle()


async def test_facts_nobody_can_render_hold_up_nothing_behind_them(botty: Botty) -> None:
    """Of a newer version that was taken back, say: a plain sentence stands for them."""
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    key = ThreadKey(people.TEAM_ID, thread.channel, thread.ts)
    async with botty.bot.house.store.use(key.session_id) as file:
        odd = NewEffect("thread.post", "odd:1", {"kind": "of the future"})
        even = NewEffect("thread.post", "even:1", {"kind": "queued", "position": 1})
        async with botty.bot.house.state.marking(key.session_id):
            await file.record(effects=[odd, even])
    await botty.idle()
    *_, first, second = await thread.by_bot()
    assert "cannot put into words" in first.text
    assert second.text.startswith("Queued")


async def test_an_update_nobody_can_render_holds_up_nothing_behind_it(botty: Botty) -> None:
    """A plain sentence takes the place of the post it changes, and the next post is sent."""
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    key = ThreadKey(people.TEAM_ID, thread.channel, thread.ts)
    async with botty.bot.house.store.use(key.session_id) as file:
        even = NewEffect("thread.post", "even:1", {"kind": "queued", "position": 1})
        odd = NewEffect("thread.update", "even:1:more", {"kind": "of the future", "of": "even:1"})
        of_nothing = NewEffect("thread.update", "lost:more", {"kind": "of the future"})
        last = NewEffect("thread.post", "even:2", {"kind": "queued", "position": 2})
        async with botty.bot.house.state.marking(key.session_id):
            await file.record(effects=[even, odd, of_nothing, last])
    *_, first, second = await until(botty, lambda: posts_with(thread, "cannot put into words", "Queued"))
    assert "cannot put into words" in first.text
    assert second.text.startswith("Queued")


async def test_a_post_of_no_session_that_waits_holds_up_its_own_thread_only(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bot was taken out of a channel: other threads hear what they should, that one hears it later."""
    client, lets_in = botty.bot.outbox._client, asyncio.Event()
    real = client.api_call

    async def api_call(method: str, **arguments: Any) -> Any:
        if method == "chat.postMessage" and arguments["json"]["thread_ts"] == out.ts and not lets_in.is_set():
            refused.set()
            no = {"ok": False, "error": "not_in_channel"}
            raise SlackApiError("no", SimpleNamespace(data=no, status_code=200, headers={}))
        return await real(method, **arguments)

    out, fine, later = [await botty.say(f'create {name}.txt with "a"') for name in "abc"]
    await botty.idle()
    refused = asyncio.Event()
    monkeypatch.setattr(client, "api_call", api_call)
    for position, thread in enumerate([out, out, fine], 1):
        await plan_without_session(botty, thread, position)
    await shows(botty, fine, "Queued")
    await refused.wait()
    await plan_without_session(botty, later, 4)
    await shows(botty, later, "Queued")
    assert not [post for post in await out.by_bot() if "Queued" in post.text]
    lets_in.set()
    *_, first, second = await until(botty, lambda: posts_with(out, "Queued", "Queued"))
    assert first.text != second.text
    await until(botty, lambda: nothing_owed(botty))
    assert {row["state"] for row in await botty.bot.house.state.effects()} == {"done"}


async def plan_without_session(botty: Botty, thread: Thread, position: int) -> None:
    """A post of `state.db`'s."""
    where = {"channel": thread.channel, "thread_ts": thread.ts, "message_ts": None}
    facts = {"kind": "queued", "position": position, **where}
    await botty.bot.house.state.effect_plan("thread.post", f"odd:{position}", facts)


async def nothing_owed(botty: Botty) -> bool:
    return not botty.bot.outbox._drainers


async def posts_with(thread: Thread, *words: str) -> list[Post]:
    """The bot's posts, once the last of them say this, one each."""
    posts = await thread.by_bot()
    last = posts[-len(words) :]
    return posts if all(word in post.text for word, post in zip(words, last, strict=True)) else []


# -- what must not be said twice, nor be lost -----------------------------------------------------------

SAYING = 'create a.txt with "a" then wait 1 second'


@dataclass
class Proxy:
    """Stands in Slack's place for chosen calls: `answer` gives the HTTP answer, None lets it through."""

    answer: Callable[[str, str], dict[str, Any] | None]
    struck: int = 0


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str, str], Any]], Proxy]:
    """Put something between the SDK and Slack."""
    real = async_base_client._request_with_session  # type: ignore[attr-defined]  # imported there

    def install(answer: Callable[[str, str], dict[str, Any] | None]) -> Proxy:
        proxy = Proxy(answer)

        async def request(**arguments: Any) -> Any:
            method = arguments["api_url"].rsplit("/", 1)[1]
            instead = proxy.answer(method, str(arguments["req_args"].get("json", "")))
            if instead is None:
                return await real(**arguments)
            proxy.struck += 1
            return instead

        monkeypatch.setattr(async_base_client, "_request_with_session", request)
        return proxy

    return install


def once(method: str, words: str, answer: dict[str, Any]) -> Callable[[str, str], dict[str, Any] | None]:
    left = [answer]
    return lambda called, body: left.pop() if left and called == method and words in body else None


@pytest.mark.usefixtures("soon")
async def test_a_clock_that_is_ahead_of_slacks_doubles_nothing(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the final message is lost, and the thread is read by Slack's timestamps alone."""
    botty.bot.house.store._now = lambda: time.time() + 600
    thread = await botty.say(SAYING)
    await shows(botty, thread, "Wait 1 second")
    await fault(botty, "chat.postMessage", "lost_reply")
    await thread.final()
    await assert_clean(botty, thread)
    posted = [call for call in await calls(botty, "chat.postMessage") if "Done." in call["args"]["text"]]
    assert len(posted) == 1


@pytest.mark.usefixtures("soon")
async def test_a_thread_that_cannot_be_read_yet_is_no_thread_without_the_post(botty: Botty) -> None:
    """The answer to the final message is lost, and the reading that would find it is put off by Slack."""
    thread = await botty.say(SAYING)
    await shows(botty, thread, "Wait 1 second")
    await fault(botty, "chat.postMessage", "lost_reply")
    await fault(botty, "conversations.replies", "rate_limited", times=2)
    await thread.final()
    await assert_clean(botty, thread)
    posted = [call for call in await calls(botty, "chat.postMessage") if "Done." in call["args"]["text"]]
    assert len(posted) == 1


@pytest.mark.parametrize("word", ["token_revoked", "account_inactive", "a_word_of_tomorrow"])
@pytest.mark.usefixtures("soon")
async def test_a_final_message_waits_for_what_may_be_mended(
    botty: Botty, proxied: Callable[..., Proxy], word: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Only what says that this message can never be posted there gives it up."""
    no = {"data": {"ok": False, "error": word}, "headers": {}, "status_code": 200}
    proxy = proxied(once("chat.postMessage", "final:", no))
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    await assert_clean(botty, thread)
    assert proxy.struck == 1
    [line] = [record.getMessage() for record in caplog.records if word in record.getMessage()]
    assert "final:" in line


@pytest.mark.parametrize(
    ("data", "status"),
    [("upstream connect error", 503), ("too many requests", 429), ("a page", 403), (["odd"], 200), ("", 200)],
)
@pytest.mark.usefixtures("soon")
async def test_an_answer_that_is_not_slacks_loses_and_doubles_nothing(
    botty: Botty, proxied: Callable[..., Proxy], data: Any, status: int
) -> None:
    """Neither on the way of the final message nor on that of what only decorates it."""
    odd = {"data": data, "headers": {}, "status_code": status}
    strikes = [once("chat.postMessage", "final:", odd), once("chat.appendStream", "", odd)]
    proxy = proxied(lambda method, body: next(filter(None, (s(method, body) for s in strikes)), None))
    thread = await botty.say('create a.txt with "a" then wait 1 second then create b.txt with "b"')
    await thread.final()
    await assert_clean(botty, thread)
    assert proxy.struck >= 1


async def test_decoration_that_hangs_delays_the_final_message_by_a_moment_only(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the live stream's end nor the reaction is waited for; both are let go of at close."""
    monkeypatch.setattr(outbox, "FINISH_SECONDS", 0.1)
    monkeypatch.setattr(outbox, "SETTLE_SECONDS", 0.1)
    never = asyncio.Event()

    async def hang(*_: Any) -> None:
        await never.wait()

    monkeypatch.setattr(botty.bot.progress, "finish", hang)
    monkeypatch.setattr(botty.bot.progress, "settle", hang)
    thread = await botty.say('create a.txt with "a"')
    assert await shows(botty, thread, "Done.")
    key = ThreadKey(people.TEAM_ID, thread.channel, thread.ts)

    async def done() -> bool:
        async with botty.bot.house.store.use(key.session_id) as file:
            return await file.idle()

    await until(botty, done)
    assert len(botty.bot.outbox._decorating) == 2
    await botty.bot.close()
    assert not botty.bot.outbox._decorating


async def test_nothing_of_the_outbox_outlives_its_close(
    botty: Botty, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the note that nothing is owed any more, nor what is committed while all is being closed."""
    noting, never = asyncio.Event(), asyncio.Event()

    async def settle(session: SessionId) -> None:
        noting.set()
        await never.wait()

    monkeypatch.setattr(botty.bot.sessions, "settle", settle)
    thread = await botty.say('create a.txt with "a"')
    await noting.wait()
    key = ThreadKey(people.TEAM_ID, thread.channel, thread.ts)
    assert outbox.Line(key.session_id) in botty.bot.outbox._drainers
    await botty.bot.close()
    assert not botty.bot.outbox._drainers
    for tells in (botty.bot.outbox.notify, botty.bot.progress.notify, botty.bot.observers.notify):
        tells(key.session_id, 1)
    assert not botty.bot.outbox._drainers
    assert not botty.bot.progress._viewers
    assert not botty.bot.observers._readers
    assert "is closed" not in caplog.text
