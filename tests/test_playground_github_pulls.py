"""Pull requests through the unmodified PyGithub: facts from git, GitHub's rules, real merges."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from github import GithubException
from github.Repository import Repository
from test_playground_github_kit import ADA, BEN, STOREFRONT, Local, running, status_of


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Local]:
    async with running(tmp_path) as kit:
        yield kit


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
