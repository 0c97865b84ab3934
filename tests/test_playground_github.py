"""The GitHub side through the unmodified PyGithub; `Local` is the kit of all its test files."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import pytest
from github import Auth, BadCredentialsException, Github, GithubException, UnknownObjectException
from github.Repository import Repository

from bot.playground.github import Account, GitHubSide, GitHubSideError, Permission
from bot.playground.settings import PlaygroundSettings

T = TypeVar("T")
ADA = Account(9000011, "ada-sample", "Ada Sample", "ghu_ada0000000000000000")
BEN = Account(9000012, "ben-sample", "Ben Sample", "ghu_ben0000000000000000")
BOT = Account(9000001, "threadsmith-bot", "threadsmith-bot", "ghs_bot0000000000000000", bot=True)
ACCOUNTS = (ADA, BEN, BOT)
STOREFRONT = "acme/storefront"
GIT_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
}


class Local:
    """One running GitHub side, with PyGithub, git and plain HTTP pointed at it."""

    def __init__(self, side: GitHubSide) -> None:
        self.side = side

    async def api(self, account: Account | str, work: Callable[[Github], T]) -> T:
        """Do `work` with a PyGithub client of this account (or this raw token), in a thread."""
        token = account if isinstance(account, str) else account.token

        def run() -> T:
            client = Github(
                auth=Auth.Token(token),
                base_url=self.side.api_url,
                retry=None,
                seconds_between_requests=None,
                seconds_between_writes=None,
            )
            try:
                return work(client)
            finally:
                client.close()

        return await asyncio.to_thread(run)

    async def repo(self, account: Account | str, work: Callable[[Repository], T]) -> T:
        """The same on acme/storefront."""
        return await self.api(account, lambda client: work(client.get_repo(STOREFRONT)))

    async def branch(self, name: str, text: str = "Hello\n", account: Account = ADA) -> str:
        """A branch with one new file on it; returns the commit."""
        written = await self.side.commit(STOREFRONT, name, account.login, {f"{name}.txt": text})
        return str(written["sha"])

    async def pull(self, name: str = "topic", account: Account = ADA) -> int:
        """A pull request from a fresh branch; returns its number."""
        await self.branch(name)
        return await self.repo(
            account,
            lambda repo: repo.create_pull("main", name, title=f"Add {name}", body="Why: *because*").number,
        )

    def clone_url(self, account: Account | None = ADA, repository: str = STOREFRONT) -> str:
        who = "" if account is None else f"x-access-token:{account.token}@"
        return self.side.url.replace("http://", f"http://{who}") + f"/{repository}.git"

    async def git(self, *arguments: str | Path, ok: bool = True) -> str:
        """Run git in a clean environment; its output and messages together."""
        command = ["git", "-c", "user.name=Ada Sample", "-c", f"user.email={ADA.identity.email}"]
        done = await asyncio.to_thread(
            subprocess.run,
            [*command, *map(str, arguments)],
            env=GIT_ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode == 0) is ok, done.stderr
        return done.stdout + done.stderr

    async def http(self, method: str, path: str, **arguments: Any) -> tuple[int, str, Any]:
        """One plain request: status, text, headers."""
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.side.url + path, allow_redirects=False, **arguments) as response,
        ):
            return response.status, await response.text(), response.headers


@contextlib.asynccontextmanager
async def running(folder: Path, port: int = 0) -> AsyncIterator[Local]:
    """A GitHub side over the state in `folder`."""
    side = GitHubSide(PlaygroundSettings(data=folder, github_port=port), ACCOUNTS)
    await side.start()
    try:
        yield Local(side)
    finally:
        await side.close()


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Local]:
    async with running(tmp_path) as kit:
        yield kit


def status_of(error: pytest.ExceptionInfo[GithubException]) -> int:
    return error.value.status


async def test_a_token_says_who_is_asking(local: Local) -> None:
    user = await local.api(ADA, lambda g: g.get_user().raw_data)
    assert (user["login"], user["id"], user["name"], user["type"]) == (
        "ada-sample",
        9000011,
        "Ada Sample",
        "User",
    )
    assert (await local.api(ADA, lambda g: g.get_user("threadsmith-bot").type)) == "Bot"


async def test_an_unknown_token_gets_bad_credentials(local: Local) -> None:
    with pytest.raises(BadCredentialsException) as error:
        await local.repo("ghu_nobody", lambda repo: repo)
    assert error.value.data["message"] == "Bad credentials"


async def test_a_repository_out_of_sight_is_not_found(local: Local) -> None:
    local.side.grant(STOREFRONT, "ben-sample", Permission.NONE)
    for name in (STOREFRONT, "acme/nothing"):
        with pytest.raises(UnknownObjectException):
            await local.api(BEN, lambda g, name=name: g.get_repo(name))
    names = await local.api(BEN, lambda g: [repo.full_name for repo in g.get_user().get_repos()])
    assert names == ["acme/ledger"]


async def test_a_read_only_account_reads_and_is_refused_to_write(local: Local) -> None:
    await local.branch("topic")
    local.side.grant(STOREFRONT, "ben-sample", Permission.READ)
    permissions = await local.repo(BEN, lambda repo: repo.permissions)
    assert (permissions.pull, permissions.push) == (True, False)
    with pytest.raises(GithubException) as error:
        await local.repo(BEN, lambda repo: repo.create_pull("main", "topic", title="t"))
    assert status_of(error) == 403
    with pytest.raises(GithubException) as error:
        await local.repo(BEN, lambda repo: repo.create_file("x.txt", "m", "x"))
    assert status_of(error) == 403


async def test_a_repository_has_what_clients_ask_for(local: Local) -> None:
    repo = await local.repo(ADA, lambda repo: repo)
    assert (repo.default_branch, repo.private, repo.permissions.push) == ("main", True, True)
    assert repo.clone_url == f"{local.side.url}/acme/storefront.git"
    assert repo.owner.login == "acme"
    assert repo.created_at < repo.pushed_at or repo.created_at == repo.pushed_at


async def test_collaborators_and_their_permission(local: Local) -> None:
    local.side.grant(STOREFRONT, "ben-sample", Permission.READ)
    assert await local.repo(ADA, lambda repo: repo.get_collaborator_permission("ben-sample")) == "read"
    assert await local.repo(ADA, lambda repo: repo.get_collaborator_permission("ada-sample")) == "write"
    assert await local.repo(ADA, lambda repo: repo.has_in_collaborators("nobody")) is False


async def test_every_address_starts_with_the_base_url(local: Local) -> None:
    number = await local.pull()
    raw = await local.repo(ADA, lambda repo: repo.get_pull(number).raw_data)

    def addresses(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [found for inner in value.values() for found in addresses(inner)]
        return [value] if isinstance(value, str) and value.startswith("http") else []

    assert len(addresses(raw)) > 50
    assert [found for found in addresses(raw) if not found.startswith(local.side.url + "/")] == []


async def test_branches_and_references_can_be_made_moved_and_removed(local: Local) -> None:
    def work(repo: Repository) -> None:
        main = repo.get_branch("main").commit.sha
        parent = repo.get_commit(main).parents[0].sha
        repo.create_git_ref("refs/heads/feature/one", parent)
        assert repo.get_git_ref("heads/feature/one").object.sha == parent
        assert {branch.name for branch in repo.get_branches()} == {"main", "feature/one"}
        reference = repo.get_git_ref("heads/feature/one")
        assert reference.object.type == "commit"
        reference.edit(main)
        assert repo.get_branch("feature/one").commit.sha == main
        with pytest.raises(GithubException) as error:
            reference.edit(parent)
        assert status_of(error) == 422
        reference.edit(parent, force=True)
        reference.delete()
        assert [ref.ref for ref in repo.get_git_matching_refs("heads/")] == ["refs/heads/main"]
        with pytest.raises(UnknownObjectException):
            assert repo.get_git_ref("heads/feature/one").object

    await local.repo(ADA, work)


async def test_files_are_read_created_changed_and_removed(local: Local) -> None:
    def work(repo: Repository) -> None:
        header = repo.get_contents("src/header.js")
        assert not isinstance(header, list)
        assert b'"Welcome"' in header.decoded_content
        folder = repo.get_contents("src")
        assert isinstance(folder, list)
        assert ("src/header.js", "file") in [(item.path, item.type) for item in folder]
        assert "Acme Storefront" in repo.get_readme().decoded_content.decode()
        made = repo.create_file("docs/a b.md", "Add a note", "one")
        commit = repo.get_commit(made["commit"].sha).commit
        assert (commit.message, commit.author.name, commit.committer.name) == (
            "Add a note",
            "Ada Sample",
            "GitHub",
        )
        changed = repo.update_file("docs/a b.md", "Change it", "two", made["content"].sha)
        with pytest.raises(GithubException) as error:
            repo.update_file("docs/a b.md", "Change it", "three", made["content"].sha)
        assert status_of(error) == 409
        repo.delete_file("docs/a b.md", "Remove it", changed["content"].sha)
        with pytest.raises(UnknownObjectException):
            repo.get_contents("docs/a b.md")

    await local.repo(ADA, work)


async def test_no_path_can_leave_the_repository(local: Local) -> None:
    for path in ("../x", "a/.git/config", "a//b", "a\nb"):
        with pytest.raises(GitHubSideError) as error:
            await local.side.commit(STOREFRONT, "main", "ada-sample", {path: "x"})
        assert error.value.status == 422


async def test_a_comparison_is_computed_from_git(local: Local) -> None:
    await local.branch("topic")
    await local.side.commit(STOREFRONT, "main", "ben-sample", {"other.txt": "x\n"})
    found = await local.repo(ADA, lambda repo: repo.compare("main", "topic"))
    assert (found.status, found.ahead_by, found.behind_by) == ("diverged", 1, 1)
    assert [file.filename for file in found.files] == ["topic.txt"]
    assert [commit.author.login for commit in found.commits] == ["ada-sample"]


async def test_commits_are_listed_in_pages(local: Local) -> None:
    status, _, headers = await local.http(
        "GET",
        f"/api/v3/repos/{STOREFRONT}/commits?per_page=2&page=2",
        headers={"Authorization": f"Bearer {ADA.token}"},
    )
    assert status == 200
    assert 'rel="prev"' in headers["Link"] and 'rel="next"' in headers["Link"]
    assert int(headers["X-RateLimit-Remaining"]) < 5000
    messages = await local.repo(ADA, lambda repo: [c.commit.message for c in repo.get_commits()])
    assert len(messages) == 6 and messages[-1].startswith("Start the storefront")
    assert await local.repo(ADA, lambda repo: repo.get_commits(path="src/footer.js").totalCount) == 1


async def test_a_pull_request_has_the_facts_of_git(local: Local) -> None:
    number = await local.pull()
    pull = await local.repo(BEN, lambda repo: repo.get_pull(number))
    assert (pull.state, pull.merged, pull.mergeable, pull.user.login) == ("open", False, True, "ada-sample")
    assert (pull.commits, pull.changed_files, pull.additions, pull.deletions) == (1, 1, 1, 0)
    assert (pull.head.label, pull.base.ref, pull.body) == ("acme:topic", "main", "Why: *because*")
    assert pull.html_url == f"{local.side.url}/{STOREFRONT}/pull/{number}"
    files, commits = await local.repo(
        ADA, lambda repo: (list(repo.get_pull(number).get_files()), list(repo.get_pull(number).get_commits()))
    )
    assert (files[0].filename, files[0].status, files[0].patch) == (
        "topic.txt",
        "added",
        "@@ -0,0 +1 @@\n+Hello",
    )
    assert commits[0].commit.author.email == "9000011+ada-sample@users.noreply.github.com"


async def test_a_pull_request_is_served_as_a_diff(local: Local) -> None:
    number = await local.pull()
    _, text, _ = await local.http(
        "GET",
        f"/api/v3/repos/{STOREFRONT}/pulls/{number}",
        headers={"Authorization": f"token {ADA.token}", "Accept": "application/vnd.github.diff"},
    )
    assert text.startswith("diff --git a/topic.txt b/topic.txt") and "+Hello" in text


async def test_pull_requests_are_found_by_head_base_and_state(local: Local) -> None:
    first, second = await local.pull("one"), await local.pull("two")

    def numbers(**filters: str) -> Callable[[Repository], list[int]]:
        return lambda repo: [pull.number for pull in repo.get_pulls(**filters)]

    await local.repo(ADA, lambda repo: repo.get_pull(first).edit(state="closed"))
    assert await local.repo(ADA, numbers()) == [second]
    assert await local.repo(ADA, numbers(state="all")) == [second, first]
    assert await local.repo(ADA, numbers(state="closed", head="acme:one")) == [first]
    assert await local.repo(ADA, numbers(head="acme:two", base="main")) == [second]
    assert await local.repo(ADA, numbers(head="other:two")) == []
    assert await local.repo(ADA, numbers(base="topic")) == []


@pytest.mark.parametrize(
    ("head", "base", "expected"),
    [
        ("main", "main", {"message": "No commits between main and main"}),
        ("missing", "main", {"field": "head", "code": "invalid"}),
        ("other:topic", "main", {"field": "head", "code": "invalid"}),
        ("topic", "missing", {"field": "base", "code": "invalid"}),
        ("twice", "main", {"message": "A pull request already exists for acme:twice."}),
    ],
)
async def test_what_github_refuses_is_refused(
    local: Local, head: str, base: str, expected: dict[str, str]
) -> None:
    await local.branch("topic")
    await local.pull("twice")
    with pytest.raises(GithubException) as error:
        await local.repo(ADA, lambda repo: repo.create_pull(base, head, title="t"))
    assert status_of(error) == 422
    assert expected.items() <= error.value.data["errors"][0].items()


async def test_nobody_approves_their_own_pull_request(local: Local) -> None:
    number = await local.pull()
    with pytest.raises(GithubException) as error:
        await local.repo(ADA, lambda repo: repo.get_pull(number).create_review(event="APPROVE"))
    assert status_of(error) == 422
    assert error.value.data["errors"] == ["Can not approve your own pull request"]
    await local.repo(BEN, lambda repo: repo.get_pull(number).create_review(body="Good", event="APPROVE"))
    await local.side.review(STOREFRONT, number, "threadsmith-bot", "changes_requested", "Not yet")
    reviews = await local.repo(ADA, lambda repo: list(repo.get_pull(number).get_reviews()))
    assert [(r.user.login, r.state) for r in reviews] == [
        ("ben-sample", "APPROVED"),
        ("threadsmith-bot", "CHANGES_REQUESTED"),
    ]


async def test_comments_labels_and_reviewers(local: Local) -> None:
    number = await local.pull()

    def work(repo: Repository) -> None:
        pull = repo.get_pull(number)
        comment = pull.create_issue_comment("First")
        comment.edit("Second")
        assert [(c.user.login, c.body) for c in pull.get_issue_comments()] == [("ada-sample", "Second")]
        pull.add_to_labels("shop", "bug")
        pull.remove_from_labels("bug")
        pull.create_review_request(reviewers=["ben-sample"])
        again = repo.get_pull(number)
        assert [label.name for label in again.labels] == ["shop"]
        assert [user.login for user in again.requested_reviewers] == ["ben-sample"]
        assert again.comments == 1
        assert again.as_issue().number == number
        comment.delete()
        assert repo.get_pull(number).comments == 0

    await local.repo(ADA, work)


async def test_a_merge_is_a_real_merge_and_final(local: Local) -> None:
    number = await local.pull()
    done = await local.repo(BEN, lambda repo: repo.get_pull(number).merge())
    assert done.merged
    pull, main = await local.repo(ADA, lambda repo: (repo.get_pull(number), repo.get_branch("main").commit))
    assert (pull.merged, pull.state, pull.merged_by.login) == (True, "closed", "ben-sample")
    assert pull.merge_commit_sha == main.sha == done.sha
    assert [parent.sha for parent in main.parents][1] == pull.head.sha
    assert main.commit.message == "Merge pull request #1 from acme/topic\n\nAdd topic"
    assert (pull.changed_files, pull.additions) == (1, 1)
    assert await local.repo(ADA, lambda repo: repo.get_pull(number).is_merged())
    with pytest.raises(GithubException) as error:
        await local.repo(BEN, lambda repo: repo.get_pull(number).merge())
    assert status_of(error) == 405
    with pytest.raises(GithubException) as error:
        await local.repo(BEN, lambda repo: repo.get_pull(number).edit(state="open"))
    assert status_of(error) == 422


async def test_a_squash_merge_is_one_commit(local: Local) -> None:
    number = await local.pull()
    await local.repo(BEN, lambda repo: repo.get_pull(number).merge(merge_method="squash"))
    main = await local.repo(ADA, lambda repo: repo.get_branch("main").commit)
    assert (main.commit.message, len(main.parents)) == ("Add topic (#1)", 1)


async def test_a_conflict_cannot_be_merged(local: Local) -> None:
    number = await local.pull()
    await local.side.commit(STOREFRONT, "main", "ben-sample", {"topic.txt": "Something else\n"})
    pull = await local.repo(ADA, lambda repo: repo.get_pull(number))
    assert (pull.mergeable, pull.mergeable_state) == (False, "dirty")
    with pytest.raises(GithubException) as error:
        await local.repo(BEN, lambda repo: repo.get_pull(number).merge())
    assert (status_of(error), error.value.data["message"]) == (405, "Pull Request is not mergeable")


async def test_a_merge_of_an_older_head_is_refused(local: Local) -> None:
    number = await local.pull()
    old = await local.repo(ADA, lambda repo: repo.get_pull(number).head.sha)
    new = await local.branch("topic", "Changed\n")
    with pytest.raises(GithubException) as error:
        await local.repo(BEN, lambda repo: repo.get_pull(number).merge(sha=old))
    assert status_of(error) == 409
    assert (await local.repo(BEN, lambda repo: repo.get_pull(number).merge(sha=new))).merged


async def test_closing_and_reopening(local: Local) -> None:
    number = await local.pull()
    await local.repo(ADA, lambda repo: repo.get_pull(number).edit(state="closed", title="Later"))
    pull = await local.repo(ADA, lambda repo: repo.get_pull(number))
    assert (pull.state, pull.title, pull.closed_at is not None, pull.mergeable) == (
        "closed",
        "Later",
        True,
        None,
    )
    await local.repo(ADA, lambda repo: repo.get_pull(number).edit(state="open"))
    assert (await local.repo(ADA, lambda repo: repo.get_pull(number))).closed_at is None


async def test_a_deleted_head_branch_closes_but_keeps_what_it_was(local: Local) -> None:
    number = await local.pull()
    await local.repo(ADA, lambda repo: next(iter(repo.get_git_matching_refs("heads/topic"))).delete())
    pull = await local.repo(ADA, lambda repo: repo.get_pull(number))
    assert (pull.state, pull.head.ref, pull.changed_files) == ("closed", "topic", 1)
    with pytest.raises(GithubException) as error:
        await local.repo(ADA, lambda repo: repo.get_pull(number).edit(state="open"))
    assert status_of(error) == 422


async def test_a_rate_limit_on_order_hits_only_what_was_named(local: Local) -> None:
    await local.branch("topic")
    local.side.fault("POST /repos/*/pulls", "rate_limited", 1)
    with pytest.raises(GithubException) as error:
        await local.repo(ADA, lambda repo: repo.create_pull("main", "topic", title="t"))
    assert status_of(error) == 403
    assert error.value.headers is not None and error.value.headers["retry-after"] == "1"
    assert await local.pull("again") == 1


async def test_a_lost_reply_was_performed_all_the_same(local: Local) -> None:
    await local.branch("topic")
    local.side.fault("POST /repos/*/pulls", "lost_reply", 1)
    with pytest.raises(Exception, match=r"Connection|Remote"):
        await local.repo(ADA, lambda repo: repo.create_pull("main", "topic", title="t"))
    assert [pull["title"] for pull in await local.side.pulls()] == ["t"]
    entry = next(entry for entry in local.side.requests() if entry["method"] == "POST")
    assert (entry["status"], entry["login"]) == (0, "ada-sample")


async def test_a_server_error_on_order_does_nothing(local: Local) -> None:
    await local.branch("topic")
    local.side.fault("POST /repos/acme/storefront/pulls", "server_error", 2)
    for _ in range(2):
        with pytest.raises(GithubException) as error:
            await local.repo(ADA, lambda repo: repo.create_pull("main", "topic", title="t"))
        assert status_of(error) == 502
    assert await local.side.pulls() == []


async def test_impossible_faults_are_named(local: Local) -> None:
    for kind, times in (("duplicate", 1), ("server_error", 0)):
        with pytest.raises(GitHubSideError) as error:
            local.side.fault("POST /user", kind, times)
        assert error.value.status == 400


async def test_the_log_has_no_tokens(local: Local) -> None:
    await local.pull()
    entries = local.side.requests()
    assert {
        "method": "POST",
        "path": f"/repos/{STOREFRONT}/pulls",
        "status": 201,
        "login": "ada-sample",
    }.items() <= (entries[-1].items())
    assert ADA.token not in repr(entries) and ADA.token not in repr(ADA)


async def test_the_control_view_of_a_pull_request(local: Local) -> None:
    number = await local.pull()
    (pull,) = await local.side.pulls()
    assert set(pull) == {
        *(
            "repository",
            "number",
            "state",
            "title",
            "body",
            "author",
            "head",
            "base",
            "commits",
            "files",
            "diff",
        )
    }
    assert (pull["repository"], pull["number"], pull["state"], pull["author"]) == (
        STOREFRONT,
        number,
        "open",
        "ada-sample",
    )
    assert pull["files"] == ["topic.txt"] and "+Hello" in pull["diff"]
    assert set(pull["commits"][0]) == {"sha", "message", "author", "author_email", "committer"}
    merged = await local.side.merge(STOREFRONT, number, "ben-sample")
    assert merged["state"] == "merged" and merged["commits"] == pull["commits"]


async def test_control_names_what_does_not_exist(local: Local) -> None:
    with pytest.raises(GitHubSideError, match="known: acme/storefront, acme/ledger"):
        await local.side.merge("acme/none", 1, "ada-sample")
    with pytest.raises(GitHubSideError, match="no pull request 7"):
        await local.side.merge(STOREFRONT, 7, "ada-sample")
    with pytest.raises(GitHubSideError, match="no account 'eve'"):
        await local.side.commit(STOREFRONT, "main", "eve", {"a": "b"})


async def test_broken_requests_get_githubs_answers(local: Local) -> None:
    headers = {"Authorization": f"token {ADA.token}"}
    pulls = f"/api/v3/repos/{STOREFRONT}/pulls"
    assert (await local.http("POST", pulls, data="{", headers=headers))[0] == 400
    assert (await local.http("POST", pulls, json={"title": 3}, headers=headers))[0] == 422
    assert (await local.http("GET", "/api/v3/nowhere", headers=headers))[0] == 404
    assert (await local.http("GET", f"{pulls}/x", headers=headers))[0] == 404
    assert (await local.http("GET", "/api/v3/user"))[0] == 401
    assert (await local.http("GET", f"/api/v3/repos/{STOREFRONT}"))[0] == 404
    assert (await local.http("GET", "/api/v3/user", headers={"Host": "evil.example"}))[0] == 403


async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as local:
        number = await local.pull()
        await local.repo(BEN, lambda repo: repo.get_pull(number).create_review(body="ok", event="APPROVE"))
        before = await local.side.pulls()
    async with running(tmp_path) as local:
        assert await local.side.pulls() == before
        assert await local.repo(ADA, lambda repo: repo.get_pull(number).get_reviews().totalCount) == 1
        assert await local.pull("second") == number + 1


SERVE = """
import asyncio, sys
from pathlib import Path
from test_playground_github import running

async def main() -> None:
    async with running(Path(sys.argv[1])) as local:
        print(local.side.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_playground_comes_back_with_everything(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", SERVE, str(tmp_path)),
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert process.stdout is not None
    other = Local(GitHubSide(PlaygroundSettings(data=tmp_path), ACCOUNTS))
    other.side.url = (await process.stdout.readline()).decode().strip()
    await other.repo(
        ADA, lambda repo: repo.create_git_ref("refs/heads/topic", repo.get_branch("main").commit.sha)
    )
    await other.repo(ADA, lambda repo: repo.create_file("topic.txt", "Add it", "Hello\n", branch="topic"))
    number = await other.repo(ADA, lambda repo: repo.create_pull("main", "topic", title="t").number)
    await other.repo(BEN, lambda repo: repo.get_pull(number).create_issue_comment("Seen"))
    process.kill()
    await process.wait()
    async with running(tmp_path) as local:
        pull = await local.repo(ADA, lambda repo: repo.get_pull(number))
        assert (pull.state, pull.comments, pull.changed_files, pull.mergeable) == ("open", 1, 1, True)


async def test_a_taken_port_is_named(local: Local, tmp_path: Path) -> None:
    port = int(local.side.url.rsplit(":", 1)[1])
    side = GitHubSide(PlaygroundSettings(data=tmp_path / "other", github_port=port), ACCOUNTS)
    with pytest.raises(GitHubSideError, match=f"port {port} on 127.0.0.1 cannot be used"):
        await side.start()
