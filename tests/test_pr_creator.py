"""Pull requests by PyGithub against the playground's GitHub, effects in a real session file."""

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from git_kit import ADA, BEN, BOT, REPOSITORY, world

from bot import (
    Change,
    GitIdentity,
    GitPurpose,
    Person,
    PluginContext,
    Prompt,
    PromptId,
    PromptState,
    Repository,
    SessionId,
    ThreadKey,
    UserError,
)
from bot.playground.github import Permission
from bot.sessions.effects import SessionEffects
from plugins.pr_creator import Plugin
from plugins.pr_creator.settings import Account, BotAccount, PrCreatorSettings
from storage import DataFolder, Executor, NewPrompt, Secret, SessionStore

SESSION = SessionId("0123456789abcdef0123")
REPO = Repository(REPOSITORY)
ada = Person("U0ADA", "T1", "Ada Sample")
ben = Person("U0BEN", "T1", "Ben Sample")
gus = Person("U0GUS", "T1", "Gus *Guest* @everyone")
BRANCH = "threadsmith/01234567-header"
POST = f"POST /repos/{REPOSITORY}/pulls"


def settings(w, **more) -> PrCreatorSettings:
    def account(kind, one, **extra):
        return kind(
            login=one.login, id=one.id, name=one.name, token=Secret(one.token, f"env {one.login}"), **extra
        )

    people = {ada.id: account(Account, ADA), ben.id: account(Account, BEN)}
    values = {
        "github_url": w.side.url,
        "api_url": w.side.api_url,
        "bot": account(BotAccount, BOT),
        "people": people,
    }
    return PrCreatorSettings(**{**values, **more})


class Hub:
    """The plugin as the core sees it, a world around it, and effects that survive."""

    def __init__(self, w, plugin, effects) -> None:
        self.w, self.plugin, self.effects = w, plugin, effects

    async def change(self, number: int = 1, author: Person = ada, branch: str = BRANCH, **more) -> Change:
        """A turn whose commit is pushed already."""
        commit = await self.w.commit(branch, **{f"file{number}": str(number)})
        text = f"<@U0BOT> make the header blue ({number}) repo=storefront\nsecond line of a private thread"
        prompt = Prompt(
            PromptId(number), SESSION, "slack", f"C:{number}", author, text, PromptState.RUNNING, 1, 0.0
        )
        values = {
            "session": SESSION,
            "prompt": prompt,
            "repository": REPO,
            "participants": [author],
            "branch": branch,
            "base_branch": "main",
            "commit": commit,
            "files": [],
            "title": f"The header is blue ({number})",
            "summary": f"I made it blue, attempt {number}.",
            "previous": None,
            "session_url": "http://127.0.0.1:1/sessions/x",
        }
        return Change(**{**values, **more})

    async def publish(self, change: Change):
        (found,) = await self.plugin.publish(change, self.effects)
        return found

    async def seen(self, number: int) -> dict:
        return await self.w.side.pull(REPOSITORY, number)

    def requests(self, method: str) -> list[int]:
        return [
            one["status"]
            for one in self.w.side.requests()
            if one["method"] == method and "/pulls" in one["path"]
        ]


@asynccontextmanager
async def hub(folder, **more):
    async with world(folder) as w:
        plugin = Plugin()
        plugin.setup(PluginContext(settings(w, **more), [REPO], folder, 1))
        executor = Executor()
        data = DataFolder(folder / "data")
        data.acquire()
        store = SessionStore(data, executor)
        try:
            async with store.use(SESSION, create=ThreadKey("T1", "C1", "1.0")) as file:
                await file.accept(NewPrompt("slack", "C1:1.0", "U1", "Ada", "Make it blue", 1.0), 1)
                claimed = await file.claim(1)
                assert claimed is not None
                yield Hub(w, plugin, SessionEffects(file, claimed["id"], 1))
        finally:
            await store.close()
            executor.close()
            data.release()
            await plugin._stop()


async def test_the_first_turn_opens_a_pull_request_as_the_person_who_asked(tmp_path):
    async with hub(tmp_path) as h:
        pull = await h.publish(await h.change())
        assert (pull.state, pull.branch, pull.opener, pull.note) == ("open", BRANCH, "ada-sample", "")
        assert pull.url == f"{h.w.side.url}/{REPOSITORY}/pull/{pull.number}"
        seen = await h.seen(pull.number)
        assert seen["author"] == "ada-sample"
        assert seen["title"] == pull.title == "The header is blue (1)"
        assert seen["base"] == "main"
        assert "I made it blue, attempt 1." in seen["body"]
        assert "> Asked: Make the header blue (1)" in seen["body"]
        assert "Requested by @ada-sample in Slack · [session](http://127.0.0.1:1/sessions/x)" in seen["body"]
        assert f"<!-- threadsmith:session={SESSION} -->" in seen["body"]
        assert "private thread" not in seen["body"]
        assert "U0BOT" not in seen["body"]


async def test_publishing_the_same_turn_again_opens_no_second_one(tmp_path):
    async with hub(tmp_path) as h:
        change = await h.change()
        first, second = await h.publish(change), await h.publish(change)
        assert first == second
        assert h.requests("POST") == [201]


async def test_after_a_crash_between_the_write_and_its_record_the_one_that_is_there_is_found(tmp_path):
    async with hub(tmp_path) as h:
        change = await h.change()

        class Crash(BaseException):
            pass

        async def dies(*_):
            raise Crash

        keep, h.effects._file.effect_done = h.effects._file.effect_done, dies
        with pytest.raises(Crash):
            await h.publish(change)
        h.effects._file.effect_done = keep
        pull = await h.publish(change)
        assert h.requests("POST") == [201]
        assert pull.opener == "ada-sample"


async def test_a_lost_reply_is_looked_up_and_not_sent_again(tmp_path):
    async with hub(tmp_path) as h:
        change = await h.change()
        h.w.side.fault(POST, "lost_reply", 1)
        pull = await h.publish(change)
        assert len(h.requests("POST")) == 1
        assert len(await h.w.side.pulls()) == 1
        assert pull.state == "open"


async def test_a_server_error_is_tried_once_more_after_a_look(tmp_path):
    async with hub(tmp_path) as h:
        change = await h.change()
        h.w.side.fault(POST, "server_error", 1)
        await h.publish(change)
        assert [status for status in h.requests("POST") if status == 201] == [201]
        assert len(h.requests("POST")) == 2


async def test_a_lasting_server_error_says_so_and_the_next_attempt_goes_through(tmp_path):
    async with hub(tmp_path) as h:
        change = await h.change()
        h.w.side.fault(POST, "server_error", 2)
        with pytest.raises(UserError, match="trouble of its own"):
            await h.publish(change)
        assert (await h.publish(change)).state == "open"
        assert len(await h.w.side.pulls()) == 1


async def test_a_rate_limit_is_not_slept_through(tmp_path):
    async with hub(tmp_path) as h:
        change = await h.change()
        h.w.side.fault(POST, "rate_limited", 1)
        with pytest.raises(UserError, match="slow down"):
            await h.publish(change)
        assert len(h.requests("POST")) == 1


async def test_one_that_somebody_opened_by_hand_for_the_branch_is_taken(tmp_path):
    async with hub(tmp_path) as h:
        change = await h.change()
        client, actor = h.plugin._client, h.plugin._accounts.acting_for(ben)
        from plugins.pr_creator.github_client import NewPull

        by_hand = await client.create(actor, REPOSITORY, NewPull("Mine", "by hand", BRANCH, "main", False))
        pull = await h.publish(change)
        assert pull.number == by_hand.number
        assert pull.note == "opened as ben-sample, not as ada-sample"


async def test_a_second_turn_adds_to_the_description_and_keeps_what_people_wrote(tmp_path):
    async with hub(tmp_path) as h:
        first = await h.publish(await h.change(1))
        body = (await h.seen(first.number))["body"]
        await h.plugin._client.describe(
            h.plugin._accounts.acting_for(ben),
            REPOSITORY,
            first.number,
            f"By hand, above.\n\n{body}\n\nAnd below.",
        )
        second = await h.publish(await h.change(2, author=ben, participants=[ada, ben, gus], previous=first))
        assert (second.number, second.opener, second.title) == (first.number, "ada-sample", first.title)
        body = (await h.seen(first.number))["body"]
        assert body.startswith("By hand, above.\n\n<!--")
        assert body.endswith("And below.")
        assert body.index("attempt 1") < body.index("attempt 2")
        assert body.count("threadsmith:session") == body.count("Requested by") == 1
        assert "Requested by @ben-sample with @ada-sample, Gus \\*Guest\\* @\u200beveryone in Slack" in body
        assert "somebody else approve" in body


async def test_a_description_that_was_rewritten_stays_and_the_thread_hears_of_it(tmp_path):
    async with hub(tmp_path) as h:
        first = await h.publish(await h.change(1))
        await h.plugin._client.describe(
            h.plugin._accounts.acting_for(ada), REPOSITORY, first.number, "All mine now."
        )
        second = await h.publish(await h.change(2, previous=first))
        assert (await h.seen(first.number))["body"] == "All mine now."
        assert "rewritten by hand" in second.note


async def test_updating_twice_writes_once(tmp_path):
    async with hub(tmp_path) as h:
        first = await h.publish(await h.change(1))
        change = await h.change(2, previous=first)
        assert await h.publish(change) == await h.publish(change)
        assert len(h.requests("PATCH")) == 1


@pytest.mark.parametrize("end", ["merged", "closed"])
async def test_after_a_merge_or_close_the_next_turn_opens_a_new_one(tmp_path, end):
    async with hub(tmp_path) as h:
        first = await h.publish(await h.change(1))
        if end == "merged":
            await h.w.side.merge(REPOSITORY, first.number, "ben-sample")
        else:
            await asyncio.to_thread(close, h.w, first.number)
        found = await h.plugin.find_pull_request(REPO, BRANCH)
        assert (found.number, found.state) == (first.number, end)
        next_branch = await h.publish(await h.change(2, branch=f"{BRANCH}-2"))
        same_branch = await h.publish(await h.change(3, previous=first))
        assert len({first.number, next_branch.number, same_branch.number}) == 3
        assert same_branch.state == "open"


def close(w, number: int) -> None:
    from github import Auth, Github

    client = Github(auth=Auth.Token(BEN.token), base_url=w.side.api_url, retry=None)
    client.get_repo(REPOSITORY).get_pull(number).edit(state="closed")
    client.close()


async def test_a_branch_without_a_pull_request_has_none_and_an_unreadable_one_is_an_error(tmp_path):
    async with hub(tmp_path) as h:
        assert await h.plugin.find_pull_request(REPO, "threadsmith/none") is None
        with pytest.raises(UserError, match="cannot see it"):
            await h.plugin.find_pull_request(Repository("acme/nothing"), "threadsmith/none")


async def test_a_commit_that_is_not_what_the_branch_shows_is_never_called_done(tmp_path, monkeypatch):
    monkeypatch.setattr("plugins.pr_creator.publishing.HEAD_DELAYS_SECONDS", (0.0,))
    async with hub(tmp_path) as h:
        change = await h.change()
        await h.w.commit(BRANCH, later="somebody else")
        with pytest.raises(UserError, match="does not show the commit"):
            await h.publish(change)


async def test_a_change_without_commits_says_what_github_says(tmp_path):
    async with hub(tmp_path) as h:
        change = await h.change()
        await h.w.commit("other", x="1")
        with pytest.raises(UserError, match="refused"):
            await h.publish(replace(change, branch="threadsmith/not-there"))


async def test_errors_name_the_account_and_its_setting_and_never_the_token(tmp_path):
    async with hub(tmp_path) as h:
        change = await h.change()
        revoked = "ghp_revokedrevokedrevoked"
        people = {ada.id: Account(login="ada-sample", id=1, token=Secret(revoked, "env ADA_TOKEN"))}
        broken = Plugin()
        broken.setup(PluginContext(settings(h.w, people=people), [REPO], tmp_path, 1))
        with pytest.raises(UserError) as caught:
            await broken.publish(change, h.effects)
        assert "ada-sample was not accepted" in str(caught.value)
        assert "env ADA_TOKEN" in str(caught.value)
        assert "[pr_creator.people.U0ADA]" in str(caught.value)
        assert revoked not in repr(caught.value) + str(caught.value.__context__)
        await broken._stop()


async def test_an_account_without_write_access_is_told_what_it_needs(tmp_path):
    async with hub(tmp_path) as h:
        change = await h.change()
        h.w.side.grant(REPOSITORY, "ada-sample", Permission.NONE)
        with pytest.raises(UserError, match="ada-sample cannot see it"):
            await h.publish(change)


async def test_a_github_that_is_not_there_is_unreachable(tmp_path):
    async with hub(tmp_path, api_url="http://127.0.0.1:9/api/v3", timeout_seconds=1) as h:
        with pytest.raises(UserError, match="could not be reached"):
            await h.plugin.find_pull_request(REPO, BRANCH)


async def test_no_token_is_logged_even_when_everything_else_is(tmp_path, caplog):
    async with hub(tmp_path) as h:
        caplog.set_level(logging.DEBUG)
        await h.publish(await h.change())
        assert not any(account.token in caplog.text for account in (ADA, BEN, BOT))


async def test_without_a_linked_account_nothing_is_pushed_and_the_text_says_how_to_link(tmp_path):
    async with hub(tmp_path) as h:
        with pytest.raises(UserError, match=r"\[pr_creator\.people\.U0GUS\]"):
            h.plugin.git_access(REPO, gus, GitPurpose.PUSH)
        with pytest.raises(UserError, match="no GitHub account linked"):
            await h.publish(await h.change(author=gus))
        assert h.plugin.git_identity(gus) is None


async def test_the_bot_stands_in_where_that_is_allowed_and_says_so_each_time(tmp_path):
    async with hub(tmp_path, fallback_to_bot=True) as h:
        access = h.plugin.git_access(REPO, gus, GitPurpose.PUSH)
        assert access.password.reveal() == BOT.token
        assert (
            access.note
            == "pushed by threadsmith-bot, because Gus *Guest* @everyone has no GitHub account linked"
        )
        pull = await h.publish(await h.change(author=gus))
        assert pull.opener == "threadsmith-bot"
        assert pull.note.startswith("opened by threadsmith-bot, because Gus")
        assert (
            "updated by threadsmith-bot"
            in (await h.publish(await h.change(2, author=gus, previous=pull))).note
        )


async def test_reading_is_done_as_the_bot_and_writing_as_the_person(tmp_path):
    async with hub(tmp_path) as h:
        fetch, push = (
            h.plugin.git_access(REPO, ada, purpose) for purpose in (GitPurpose.FETCH, GitPurpose.PUSH)
        )
        assert fetch.password.reveal() == BOT.token
        assert push.password.reveal() == ADA.token
        assert fetch.url == push.url == f"{h.w.side.url}/{REPOSITORY}.git"
        assert fetch.note == push.note == ""
        assert h.plugin.git_identity(ada) == GitIdentity(
            "Ada Sample", "9000011+ada-sample@users.noreply.github.com"
        )
        await h.w.mirror.fetch(fetch)


async def test_the_ping_notices_a_token_that_belongs_to_somebody_else(tmp_path):
    async with hub(tmp_path) as h:
        await h.plugin._ping()
        wrong = BotAccount(login="other-bot", id=5, token=Secret(BOT.token, "env BOT"))
        other = Plugin()
        other.setup(PluginContext(settings(h.w, bot=wrong), [REPO], tmp_path, 1))
        with pytest.raises(UserError, match="belongs to threadsmith-bot, not to other-bot"):
            await other._ping()
        await other._stop()


async def test_pull_requests_can_be_opened_as_drafts(tmp_path):
    async with hub(tmp_path, draft=True) as h:
        pull = await h.publish(await h.change())
        (raw,) = await h.plugin._client.pulls(h.plugin._accounts.bot, REPOSITORY, BRANCH)
        assert raw.number == pull.number
        assert [one["status"] for one in h.w.side.requests() if one["method"] == "POST"] == [201]
