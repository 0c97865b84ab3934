"""The GitHub side through the unmodified PyGithub: accounts, repositories, files, faults, control."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from github import BadCredentialsException, GithubException, UnknownObjectException
from github.Repository import Repository
from test_playground_github_kit import ACCOUNTS, ADA, BEN, STOREFRONT, Local, running, status_of

from bot.playground.github import GitHubSide, GitHubSideError, Permission
from bot.playground.settings import PlaygroundSettings


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Local]:
    async with running(tmp_path) as kit:
        yield kit


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


@pytest.mark.parametrize(("kind", "status"), [("server_error", 502), ("refused", 401)])
async def test_a_failure_on_order_does_nothing(local: Local, kind: str, status: int) -> None:
    await local.branch("topic")
    local.side.fault("POST /repos/acme/storefront/pulls", kind, 2)
    for _ in range(2):
        with pytest.raises(GithubException) as error:
            await local.repo(ADA, lambda repo: repo.create_pull("main", "topic", title="t"))
        assert status_of(error) == status
    assert await local.side.pulls() == []


@pytest.mark.parametrize("branch", ["a..b", "nul\0", "x.lock", "main/below"])
async def test_a_branch_that_cannot_be_is_refused(local: Local, branch: str) -> None:
    with pytest.raises(GitHubSideError) as error:
        await local.side.commit(STOREFRONT, branch, "ada-sample", {"a.txt": "a"})
    assert error.value.status in (409, 422)


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


async def test_control_says_in_words_why_something_was_refused(local: Local) -> None:
    number = await local.pull()
    with pytest.raises(GitHubSideError, match="Can not approve your own pull request") as error:
        await local.side.review(STOREFRONT, number, "ada-sample", "approved", "")
    assert error.value.status == 422


async def test_of_many_equal_pull_requests_at_once_one_is_opened(local: Local) -> None:
    await local.branch("topic")

    async def attempt() -> int:
        try:
            await local.repo(ADA, lambda repo: repo.create_pull("main", "topic", title="t"))
        except GithubException as error:
            return error.status
        return 201

    assert sorted(await asyncio.gather(*(attempt() for _ in range(4)))) == [201, 422, 422, 422]


async def test_paths_are_taken_literally(local: Local) -> None:
    assert await local.repo(ADA, lambda repo: repo.get_commits(path="src/*").totalCount) == 0
    assert await local.repo(ADA, lambda repo: repo.get_commits(path=":(exclude)x").totalCount) == 0
    assert await local.repo(ADA, lambda repo: repo.get_commits(path="src").totalCount) == 5


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 400),
        (b"[" * 100_000, 400),
        (b'{"title": "\\ud800", "head": "topic", "base": "main"}', 400),
        (b'{"title": "a\\u0000b", "head": "topic", "base": "main"}', 422),
        (b'{"title": " ", "head": "topic", "base": "main"}', 422),
    ],
)
async def test_hostile_bodies_are_refused(local: Local, body: bytes, status: int) -> None:
    await local.branch("topic")
    headers = {"Authorization": f"token {ADA.token}"}
    assert (await local.http("POST", f"/api/v3/repos/{STOREFRONT}/pulls", data=body, headers=headers))[
        0
    ] == status
    assert (await local.http("GET", f"/api/v3/repos/{STOREFRONT}/commits?path=%00", headers=headers))[
        0
    ] == 400


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
from test_playground_github_kit import running

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
