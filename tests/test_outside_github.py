"""GitHub misbehaves: what passes is waited for and done once; what does not is said, and the work kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from email.utils import formatdate

import pytest
from session_kit import assert_clean, fault, finals, impatient, prompts, shows, until

from bot.errors import Unreachable, UserError
from bot.git import FailureKind, GitFailure
from bot.playground.faults import Faults
from bot.sessions.patience import LONGEST_SECONDS, Patience
from bot.testing import Botty, Post, Thread
from plugins.pr_creator.accounts import Actor
from plugins.pr_creator.github_client import GitHubAway, explain
from storage import Secret

pytestmark = pytest.mark.proof("outside")

Cases = Callable[[str, object], None]
KINDS = ("server_error", "rate_limited", "lost_reply")
# Every request of a turn: git's two steps of a fetch, of a look and of a push, and those of a pull request.
# The one that opens it is first, as only a first turn does that.
REQUESTS = (
    "POST /repos/acme/storefront/pulls",
    "GET /acme/storefront.git/info/refs*upload-pack",
    "git-upload-pack",
    "GET /acme/storefront.git/info/refs*receive-pack",
    "git-receive-pack",
    "GET /repos/acme/storefront/pulls*",
)


async def states(botty: Botty, thread: Thread) -> list[str]:
    return [row["state"] for row in await prompts(botty, thread)]


def advised(caplog: pytest.LogCaptureFixture, *words: str) -> str:
    """The one kind of warning that has all these words; its first."""
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    found = [line for line in lines if all(word in line for word in words)]
    assert found, lines
    return found[0]


async def failed(botty: Botty, thread: Thread, ends: int = 1) -> Post:
    """The last final message, which says that it did not work. Where GitHub is down, nothing is ever idle."""

    async def ended() -> bool:
        return len(finals(await thread.by_bot())) >= ends and await thread.status() != "processing"

    await until(botty, ended)
    final = (await assert_clean(botty, thread, ends))[-1]
    assert "did not work" in final.text, final
    assert (await states(botty, thread))[-1] == "failed"
    return final


@pytest.fixture
def _six_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch, *[0.0] * 5)


# -- what passes ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_six_tries")
async def test_each_request_to_github_may_fail_in_each_way_and_the_turn_is_done_once(
    botty: Botty, caplog: pytest.LogCaptureFixture, record_property: Cases
) -> None:
    """Twice in a row; with one pull request, one commit for each turn, and no word of failure."""
    thread: Thread | None = None
    turns = 0
    for request in REQUESTS:
        for kind in KINDS:
            await fault(botty, request, kind, times=1 if kind == "lost_reply" else 2)
        turns += 1
        text = f'create {turns}.txt with "a"'
        if thread is None:
            thread = await botty.say(text)
        else:
            await thread.say(text)
        final = await thread.final()
        assert "Done." in final.text, (request, final)
        await assert_clean(botty, thread, turns)
        assert not botty.playground.github._faults._pending, "each fault has struck"
    assert thread is not None
    record_property("cases", len(REQUESTS) * len(KINDS))
    [pull] = await botty.pulls()
    assert sorted(pull["files"]) == [f"{turn}.txt" for turn in range(1, turns + 1)]
    assert len(pull["commits"]) == turns
    assert await states(botty, thread) == ["done"] * turns
    advised(caplog, "Trying again in", "status page", "network")


async def test_a_turn_that_waits_for_github_says_so_and_a_stop_makes_it_wait_no_longer(
    botty: Botty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the fetch it is stopped; at the push it is tried a last time, and ends as that ends."""
    impatient(monkeypatch, 100.0)
    for request, times, words in (
        ("git-upload-pack", 1, "Stopped"),
        ("git-receive-pack", 1, "Done."),
        ("git-receive-pack", 2, "did not work"),
    ):
        await fault(botty, request, "server_error", times)
        thread = await botty.say(f'create {times}.txt with "a"')
        await shows(botty, thread, "acme/storefront does not answer; trying again")
        await thread.say("stop")
        final = await thread.final()
        assert words in final.text
        await assert_clean(botty, thread)
        shown = "\n".join(post.everything for post in await thread.by_bot())
        assert ("answers again" in shown) == ("so it was finished" in shown) == (words == "Done.")
    assert "kept here; nothing was pushed. Reply to go on" in final.everything
    assert len(await botty.pulls()) == 1


# -- what does not --------------------------------------------------------------------------------------


async def down(botty: Botty) -> None:
    """Nobody listens there any more."""
    await botty.playground.github.close()


async def up(botty: Botty) -> None:
    await botty.playground.github.start()


@pytest.mark.usefixtures("_soon")
async def test_github_down_for_the_whole_turn_fails_it_visibly_and_the_next_one_works(
    botty: Botty, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody listens: at a first turn; and at a later one, whose work is kept and handed in by the next."""
    await down(botty)
    thread = await botty.say('create a.txt with "a"')
    assert "could not be reached" in (await failed(botty, thread)).everything
    advised(caplog, "did not work", "could not be reached", "Try again in a moment")
    await up(botty)
    await thread.say('create a.txt with "a"')
    assert "Done." in (await thread.final()).text
    await thread.say('create b.txt with "b" then wait 1 second')
    await shows(botty, thread, "Wait 1 second")
    await down(botty)
    assert "is kept here" in (await failed(botty, thread, 3)).everything
    await up(botty)
    await thread.say('create c.txt with "c"', "ben")
    assert "Done." in (await thread.final()).text
    other = await botty.say('create d.txt with "d"', "chloe")
    assert "Done." in (await other.final()).text
    await assert_clean(botty, other)
    await assert_clean(botty, thread, 4)
    first, second = sorted(await botty.pulls(), key=lambda pull: int(pull["number"]))
    assert sorted(first["files"]) == ["a.txt", "b.txt", "c.txt"]
    assert [commit["author"] for commit in first["commits"]] == ["Ada Sample", "Ben Sample"]
    assert second["files"] == ["d.txt"]
    assert await states(botty, thread) == ["failed", "done", "failed", "done"]


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(monkeypatch, 0.0)


@pytest.mark.usefixtures("_soon")
async def test_asking_again_is_enough_wherever_github_went_away(
    botty: Botty, monkeypatch: pytest.MonkeyPatch, record_property: Cases
) -> None:
    """After a push whose answer was lost, before the pull request: no new work, one commit, one request."""
    faults = botty.playground.github._faults
    ways = (
        ("git-receive-pack", "lost_reply", 1, "may have it as well"),
        ("POST /repos/*/pulls", "server_error", 4, "The work is on branch threadsmith/"),
        ("POST /repos/*/pulls", "rate_limited", 2, "slow down"),
    )
    for number, (request, kind, times, words) in enumerate(ways):
        await fault(botty, request, kind, times)
        if kind == "lost_reply":
            away_after(faults, "git-receive-pack", monkeypatch)
        thread = await botty.say(f'create {number}.txt with "a"')
        assert words in (await failed(botty, thread)).everything
        assert len(await botty.pulls()) == number
        faults._pending.clear()
        monkeypatch.undo()
        impatient(monkeypatch, 0.0)
        await thread.say("show README.md")
        assert "Done." in (await thread.final()).text
        await assert_clean(botty, thread, 2)
        pulls = await botty.pulls()
        assert len(pulls) == number + 1
        [pull] = [each for each in pulls if f"{number}.txt" in each["files"]]
        assert len(pull["commits"]) == 1
    record_property("cases", len(ways))


def away_after(faults: Faults, request: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From this request on nothing else is answered."""
    take = faults.take

    def struck(names: Sequence[str], kinds: Sequence[str] | None = None) -> str | None:
        found = take(names, kinds)
        if request in names:
            faults.add("* *", "server_error", 1000)
        return found

    monkeypatch.setattr(faults, "take", struck)


@pytest.mark.usefixtures("_soon")
async def test_a_token_that_github_refuses_is_no_outage(
    botty: Botty, caplog: pytest.LogCaptureFixture, record_property: Cases
) -> None:
    """Nothing is tried again: whoever runs the bot reads which token it is, whoever asked only whose."""
    ways = (
        ("git-upload-pack", "token was not accepted", "the token from "),
        ("git-receive-pack", "token was not accepted", "the token from "),
        ("POST /repos/*/pulls", "the token of ada-sample was not accepted", "ada-sample"),
    )
    for number, (request, shown, logged) in enumerate(ways):
        caplog.clear()
        await fault(botty, request, "refused")
        thread = await botty.say(f'create {number}.txt with "a"')
        final = await failed(botty, thread)
        assert shown in final.text
        advised(caplog, logged, "not accepted")
        assert not any("Trying again in" in record.getMessage() for record in caplog.records)
        assert botty.home.secrets["github.ada-sample"] not in caplog.text
        assert await botty.pulls() == []
    record_property("cases", len(ways))
    await thread.say("show README.md")
    assert "Done." in (await thread.final()).text


# -- how long -------------------------------------------------------------------------------------------


async def test_nobody_waits_longer_than_is_said_nor_for_what_will_not_pass(record_property: Cases) -> None:
    """A host that asks for an hour is not asked again; nor is one that answered, whatever it said."""

    async def tell(text: str, done: bool) -> None:
        told.append(text)

    failures: list[UserError] = [
        Unreachable("GitHub asks to slow down.", after_seconds=LONGEST_SECONDS + 1),
        GitFailure("no", FailureKind.FORBIDDEN),
        GitFailure("no", FailureKind.NOT_FOUND),
        GitFailure("no", FailureKind.UNAUTHENTICATED),
        GitFailure("no", FailureKind.MOVED),
        GitFailure("no", FailureKind.FAILED),
        UserError("no"),
    ]
    for error in failures:
        told: list[str] = []
        asked = []

        async def ask(error: UserError = error, asked: list[int] = asked) -> None:
            asked.append(1)
            raise error

        with pytest.raises(UserError) as caught:
            await Patience("acme/web", tell).over(ask)
        assert caught.value is error
        assert (len(asked), told) == (1, [])
    record_property("cases", len(failures))


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (403, {"retry-after": "60"}, 60.0),
        (429, {"retry-after": "soon"}, 0.0),
        (429, {"retry-after": "nan"}, 0.0),
        (429, {"retry-after": "-5"}, 0.0),
        (503, {"retry-after": "1e12"}, 3600.0),
        (502, {}, 0.0),
        (
            403,
            {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1000090", "date": formatdate(1_000_000)},
            90.0,
        ),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1", "date": formatdate(1_000_000)}, 0.0),
        (403, {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1000090"}, 0.0),
    ],
)
def test_github_says_how_long_it_wants_to_be_left_alone(
    status: int, headers: dict[str, str], seconds: float
) -> None:
    """By its own clock: ours may be hours off."""
    actor = Actor("ada-sample", Secret("x", "test"), "people.U1.token")
    said = {"message": "API rate limit exceeded"} if status == 403 else {"message": "busy"}
    error = explain("Reading", actor, status, said, headers)
    assert isinstance(error, GitHubAway)
    assert error.after_seconds == seconds
