"""Every post goes out once, whatever Slack answers, and a message Slack will never take holds nobody up."""

from __future__ import annotations

import pytest
from session_kit import assert_clean, calls, fault, finals, until

from bot.domain import ThreadKey
from bot.playground import people
from bot.slack import outbox
from bot.testing import Botty
from storage import NewEffect

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
    monkeypatch.setattr(outbox, "REQUEST_SECONDS", 1.0)


@pytest.mark.parametrize("kind", ["rate_limited", "server_error", "lost_reply"])
@pytest.mark.usefixtures("soon")
async def test_every_method_may_fail_and_all_ends_well(botty: Botty, kind: str) -> None:
    """Once each, the answer lost included: one opening, one final message, one pull request, no stream."""
    for method in METHODS:
        await fault(botty, method, kind)
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
