"""The main job, end to end, through the wires people and clients use: a mention becomes a pull request."""

from __future__ import annotations

import asyncio
from typing import Any

from bot.testing import Botty, Post, Thread

READY = 'create a.txt with "a" then wait 60 seconds'


def pull_of(pulls: list[dict[str, Any]], path: str) -> dict[str, Any]:
    """The one pull request that touches this file."""
    [found] = [pull for pull in pulls if path in pull["files"]]
    return found


def finals(posts: list[Post]) -> list[Post]:
    """The final messages among the bot's posts."""
    return [post for post in posts if any(s in post.text for s in ("Done.", "did not work", "Stopped"))]


async def working(botty: Botty, thread: Thread, on: str) -> None:
    """Wait until the thread shows the agent at this."""
    async with asyncio.timeout(60):
        while not any(on in post.everything for post in await thread.by_bot()):
            await botty.changed()


async def test_a_mention_becomes_a_pull_request_by_the_person_who_asked(botty: Botty) -> None:
    """Opened by Ada's account, committed under her name, read back, and shown in the thread."""
    thread = await botty.say('replace "Welcome" with "Hello" in src/header.js')
    final = await thread.final()
    [pull] = await botty.pulls()
    [commit] = pull["commits"]
    assert (pull["repository"], pull["author"], pull["state"]) == ("acme/storefront", "ada-sample", "open")
    assert (commit["author"], commit["committer"]) == ("Ada Sample", "Threadsmith")
    assert commit["author_email"] == "9000011+ada-sample@users.noreply.github.com"
    assert pull["files"] == ["src/header.js"]
    assert '-const GREETING = "Welcome";' in pull["diff"]
    assert '+const GREETING = "Hello";' in pull["diff"]
    assert f"/acme/storefront/pull/{pull['number']}" in final.everything
    assert "`src/header.js` +1 −1" in final.everything


async def test_the_thread_shows_what_happens(botty: Botty) -> None:
    """👀 at once, the repository and why, the tools as they run, one final message, no open stream."""
    thread = await botty.say("run `node --version` then create notes.md with “hi”")
    await thread.final()
    asked, opening, stream, final = await thread.posts()
    assert asked.reactions == {"eyes", "white_check_mark"}
    assert opening.text.startswith("Starting in `acme/storefront` because")
    assert "node --version" in stream.everything
    assert not stream.raw["streaming"]
    assert "*Commands run*" in final.everything
    assert await thread.status() == "active"


async def test_three_people_in_three_threads_at_once_get_a_pull_request_each(botty: Botty) -> None:
    """Each with the right author, opener, repository, diff and thread."""
    wishes = [
        ("ada", "web", 'replace "Welcome" with "Hello" in src/header.js', "src/header.js"),
        ("ben", "backend", 'create docs/tax.md with "Tax notes"', "docs/tax.md"),
        ("chloe", "general", 'repo=ledger append "More to come" to README.md', "README.md"),
    ]
    threads = [await botty.say(text, user, channel) for user, channel, text, _ in wishes]
    await botty.idle()
    pulls = await botty.pulls()
    assert len(pulls) == 3
    for thread, (user, _, _, path) in zip(threads, wishes, strict=True):
        pull = pull_of(pulls, path)
        assert pull["author"] == f"{user}-sample"
        assert pull["commits"][0]["author"].lower().startswith(user)
        assert f"{pull['repository']}/pull/{pull['number']}" in (await thread.final()).everything
        assert len(finals(await thread.by_bot())) == 1


async def test_an_ambiguous_request_is_asked_about_and_only_its_author_may_answer(botty: Botty) -> None:
    """The picker comes; a stranger's answer is refused to them alone; the author's starts the work."""
    thread = await botty.say('create docs/x.md with "hi"', "chloe", "general")
    picker = await thread.picker()
    assert [option["text"] for option in picker.actions[0]["options"]] == ["acme/storefront", "acme/ledger"]
    assert await botty.pulls() == []
    await thread.pick("acme/storefront", "ben")
    await thread.pick("acme/ledger", "chloe")
    await thread.final()
    whispers = [post for post in await thread.by_bot() if post.raw["ephemeral_to"] == botty.person("ben")]
    assert "Only people who asked" in whispers[0].text
    assert (await botty.pulls())[0]["repository"] == "acme/ledger"
    answered = next(post for post in await thread.by_bot() if post.ts == picker.ts)
    assert answered.actions == []


async def test_a_second_turn_updates_the_pull_request_and_a_merged_one_starts_another(botty: Botty) -> None:
    """Ben's reply lands on Ada's branch under his name; after the merge the branch ends in -2."""
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    await thread.say('create b.txt with "b"', "ben")
    assert "updated" in (await thread.final()).text
    [pull] = await botty.pulls()
    assert [commit["author"] for commit in pull["commits"]] == ["Ada Sample", "Ben Sample"]
    await botty.control(
        "POST", "merge", repository=pull["repository"], number=pull["number"], user=botty.person("ben")
    )
    await thread.say('create c.txt with "c"')
    await thread.final()
    second = pull_of(await botty.pulls(), "c.txt")
    assert second["number"] != pull["number"]
    assert second["head"] == f"{pull['head']}-2"
    assert second["files"] == ["c.txt"]


async def test_a_reply_to_a_running_turn_is_queued_visibly_and_runs_next(botty: Botty) -> None:
    """It says how many are ahead, and both are done in order."""
    thread = await botty.say('create a.txt with "a" then wait 1 second')
    await working(botty, thread, "Wait 1 second")
    await thread.say('create b.txt with "b"', "ben")
    await botty.idle()
    said = [post.text for post in await thread.by_bot()]
    assert any(text.startswith("Queued: 1 request ahead") for text in said)
    assert len(finals(await thread.by_bot())) == 2
    [pull] = await botty.pulls()
    assert [commit["author"] for commit in pull["commits"]] == ["Ada Sample", "Ben Sample"]


async def test_the_stop_button_stops_and_what_was_done_is_kept(botty: Botty) -> None:
    """Nothing is pushed; the next turn in the thread goes on from the kept files, and credits both."""
    thread = await botty.say(READY)
    await working(botty, thread, "Wait 60 seconds")
    await thread.stop("ben")
    final = await thread.final()
    assert final.text.startswith(f":octagonal_sign: Stopped by <@{botty.person('ben')}>")
    assert await botty.pulls() == []
    await thread.say('create b.txt with "b"', "ben")
    await thread.final()
    [pull] = await botty.pulls()
    assert sorted(pull["files"]) == ["a.txt", "b.txt"]
    assert "Co-authored-by: Ada Sample" in pull["commits"][0]["message"]


async def test_saying_stop_stops(botty: Botty) -> None:
    """As a bare reply, without a mention."""
    thread = await botty.say(READY)
    await working(botty, thread, "Wait 60 seconds")
    await thread.say("stop")
    assert "Stopped" in (await thread.final()).text


async def test_a_cross_on_the_request_stops(botty: Botty) -> None:
    """❌ on the message that asked."""
    thread = await botty.say(READY)
    await working(botty, thread, "Wait 60 seconds")
    await thread.react("x")
    assert "Stopped" in (await thread.final()).text


async def test_a_cross_on_any_message_of_the_thread_stops(botty: Botty) -> None:
    """Also on the bot's own progress, which is what people see while it works."""
    thread = await botty.say(READY)
    await working(botty, thread, "Wait 60 seconds")
    progress = next(post for post in await thread.by_bot() if post.raw["streaming"])
    await thread.react("x", ts=progress.ts)
    assert "Stopped" in (await thread.final()).text


async def test_stop_closes_an_open_question(botty: Botty) -> None:
    """The picker goes, the prompt ends as stopped, and the thread can be used again."""
    thread = await botty.say('create docs/x.md with "hi"', "chloe", "general")
    picker = await thread.picker()
    await thread.say("stop", "chloe")
    await botty.idle()
    posts = await thread.by_bot()
    assert "closed" in next(post for post in posts if post.ts == picker.ts).everything
    assert len(finals(posts)) == 1
    await thread.say('repo=ledger create docs/y.md with "hi"', "chloe")
    await thread.final()
    assert (await botty.pulls())[0]["files"] == ["docs/y.md"]


async def test_a_direct_message_is_a_request(botty: Botty) -> None:
    """No mention is needed there, and the answer comes in its thread."""
    thread = await botty.say('repo=ledger create dm.txt with "hi"', "ben", "dm")
    await thread.final()
    assert (await botty.pulls())[0]["author"] == "ben-sample"


async def test_people_talking_to_each_other_in_the_thread_are_left_alone(botty: Botty) -> None:
    """A reply that begins by addressing someone else is no request; nor is talk where no session is."""
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    await thread.say("@ben what do you think?")
    await botty.post(botty.channel("web"), "just talking")
    await botty.idle()
    assert len(finals(await thread.by_bot())) == 1


async def test_an_edit_before_the_start_changes_the_request(botty: Botty) -> None:
    """A queued prompt runs as edited; one deleted while queued never runs."""
    thread = await botty.say('create a.txt with "a" then wait 1 second')
    await working(botty, thread, "Wait 1 second")
    edited = await thread.say('create wrong.txt with "b"', "ben")
    deleted = await thread.say('create gone.txt with "c"', "ben")
    place = {"channel": thread.channel, "user": botty.person("ben")}
    await botty.control("POST", "edit", **place, ts=edited, text='create right.txt with "b"')
    await botty.control("POST", "delete", **place, ts=deleted)
    await botty.idle()
    [pull] = await botty.pulls()
    assert sorted(pull["files"]) == ["a.txt", "right.txt"]


async def test_a_guest_is_told_that_they_may_not(botty: Botty) -> None:
    """Denied by default, visibly, without any work."""
    thread = await botty.say('create a.txt with "a"', "gus")
    final = await thread.final()
    assert "did not work" in final.text
    assert await botty.pulls() == []


async def test_a_failure_says_what_failed_and_what_to_do(botty: Botty) -> None:
    """A file that is not there: the step, the reason, and no pull request."""
    thread = await botty.say("delete no/such.txt")
    final = await thread.final()
    assert "no/such.txt" in final.everything
    assert await botty.pulls() == []


async def test_a_change_of_repository_in_the_thread_begins_anew_there(botty: Botty) -> None:
    """An explicit other repository is followed and said; its pull request is its own."""
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    await thread.say('repo=ledger create b.txt with "b"')
    await thread.final()
    pulls = await botty.pulls()
    assert pull_of(pulls, "b.txt")["repository"] == "acme/ledger"
    assert pull_of(pulls, "a.txt")["files"] == ["a.txt"]


async def test_someone_elses_commit_on_the_branch_is_kept(botty: Botty) -> None:
    """A person pushes to the pull request's branch between two turns; the next turn builds on it."""
    thread = await botty.say('create a.txt with "a"')
    await thread.final()
    [pull] = await botty.pulls()
    await botty.control(
        "POST",
        "commit",
        repository=pull["repository"],
        branch=pull["head"],
        user=botty.person("chloe"),
        files={"by-hand.txt": "by hand\n"},
    )
    await thread.say('append "more" to by-hand.txt')
    await thread.final()
    [pull] = await botty.pulls()
    assert [commit["author"] for commit in pull["commits"]] == ["Ada Sample", "Chloe Sample", "Ada Sample"]
    assert "+more" in pull["diff"]
