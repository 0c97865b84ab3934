"""The mirror: fetched once for all who ask, and handed out as bundles."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from git_kit import ADA, REPOSITORY, git, world

from bot.domain import CommitSha, GitAccess
from bot.errors import GitError
from bot.git import BASE_REF, FailureKind, GitFailure, Mirrors
from storage import Secret

NOWHERE = CommitSha("0123456789012345678901234567890123456789")


async def test_the_first_fetch_makes_a_bare_mirror_at_the_remotes_heads(tmp_path):
    async with world(tmp_path) as w:
        assert await w.mirror.head("main") is None
        base = await w.base()
        assert base == await w.mirror.remote_head(w.access(), "main")
        assert git(w.mirror.path, "rev-parse", "--is-bare-repository") == "true"
        assert not list(w.mirror.path.parent.glob(".new-*"))


async def test_calls_at_the_same_time_share_one_fetch(tmp_path):
    async with world(tmp_path) as w:
        await asyncio.gather(*(w.mirror.fetch(w.access()) for _ in range(5)))
        fetches = [one for one in w.side.requests() if one["method"] == "git-upload-pack"]
        alone = len(fetches)
        await w.commit("main", README="new")
        await w.mirror.fetch(w.access())
        again = len([one for one in w.side.requests() if one["method"] == "git-upload-pack"]) - alone
        assert alone <= again + 1  # five at once cost no more than one alone


async def test_a_failed_fetch_fails_for_all_who_joined_and_the_next_one_tries_again(tmp_path):
    async with world(tmp_path) as w:
        w.side.fault("git-upload-pack", "server_error", 1)
        results = await asyncio.gather(
            *(w.mirror.fetch(w.access()) for _ in range(2)), return_exceptions=True
        )
        assert [type(one) for one in results] == [GitFailure, GitFailure]
        await w.mirror.fetch(w.access())


async def test_a_caller_who_gives_up_does_not_stop_the_fetch_of_the_others(tmp_path):
    async with world(tmp_path) as w:
        first = asyncio.create_task(w.mirror.fetch(w.access()))
        second = asyncio.create_task(w.mirror.fetch(w.access()))
        await asyncio.sleep(0)
        first.cancel()
        await second
        assert await w.mirror.head("main") is not None


async def test_a_branch_that_became_a_folder_of_branches_is_followed(tmp_path):
    async with world(tmp_path) as w:
        await w.commit("topic", a="1")
        await w.base()
        assert await w.mirror.head("topic") is not None
        bare = next((tmp_path / "github").rglob("storefront.git"))
        git(bare, "update-ref", "-d", "refs/heads/topic")
        inner = await w.commit("topic/inner", a="2")
        await w.base()
        assert await w.mirror.head("topic") is None
        assert await w.mirror.head("topic/inner") == inner


async def test_the_default_branch_is_what_the_remotes_head_names(tmp_path):
    async with world(tmp_path) as w:
        assert await w.mirror.default_branch(w.access()) == "main"
        assert await w.mirror.remote_head(w.access(), "no-such-branch") is None


async def test_only_commits_count_as_contained(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        tree = CommitSha(git(w.mirror.path, "rev-parse", f"{base}^{{tree}}"))
        assert await w.mirror.contains(base)
        assert not await w.mirror.contains(tree)
        assert not await w.mirror.contains(NOWHERE)


async def test_ancestry_goes_one_way(tmp_path):
    async with world(tmp_path) as w:
        old = await w.base()
        new = await w.commit("main", a="1")
        await w.base()
        assert await w.mirror.is_ancestor(old, new)
        assert not await w.mirror.is_ancestor(new, old)
        with pytest.raises(GitError):
            await w.mirror.is_ancestor(NOWHERE, new)


async def test_a_whole_bundle_makes_a_clone_without_a_remote(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        assert workspace.git("rev-parse", "HEAD") == base
        assert workspace.git("rev-parse", BASE_REF) == base
        assert workspace.git("branch", "--show-current") == "work"
        assert workspace.git("remote") == ""
        assert workspace.git("status", "--porcelain") == ""


async def test_a_delta_bundle_holds_only_what_is_new_and_skips_haves_nobody_knows(tmp_path):
    async with world(tmp_path) as w:
        old = await w.base()
        new = await w.commit("main", a="1")
        await w.base()
        whole = b"".join([chunk async for chunk in w.mirror.bundle(new)])
        delta = b"".join([chunk async for chunk in w.mirror.bundle(new, [old, NOWHERE])])
        assert len(delta) < len(whole) / 2
        assert f"-{old}" in delta.decode("latin-1")
        assert NOWHERE not in delta.decode("latin-1")


async def test_a_bundle_of_an_unknown_commit_is_an_error_that_says_so(tmp_path):
    async with world(tmp_path) as w:
        await w.base()
        with pytest.raises(GitError, match="not in the mirror"):
            await anext(w.mirror.bundle(NOWHERE))


async def test_a_bundle_that_is_not_read_to_its_end_leaves_no_process(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        async with aclosing(w.mirror.bundle(base)) as chunks:
            await anext(chunks)
            await anext(chunks)
        assert not processes_on(w.mirror.path)


def processes_on(path: Path) -> list[str]:
    """Command lines of running programs that name `path`."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(path) in line and "pytest" not in line:
            found.append(line)
    return found


@pytest.mark.parametrize(
    ("token", "repository", "kind"),
    [
        ("ghp_wrongwrongwrongwrong", REPOSITORY, FailureKind.UNAUTHENTICATED),
        (ADA.token, "acme/nothing", FailureKind.NOT_FOUND),
    ],
)
async def test_errors_tell_what_is_wrong_and_never_show_the_token(tmp_path, token, repository, kind):
    async with world(tmp_path) as w:
        access = GitAccess(f"{w.side.url}/{repository}.git", "x-access-token", Secret(token))
        with pytest.raises(GitFailure) as caught:
            await w.mirror.fetch(access)
        assert caught.value.kind is kind
        assert token not in str(caught.value)


async def test_a_server_that_is_not_there_is_unreachable_and_not_absent(tmp_path):
    async with world(tmp_path) as w:
        access = GitAccess(
            "http://127.0.0.1:9/acme/web.git", "x-access-token", Secret("ghp_secretsecretsecret")
        )
        with pytest.raises(GitFailure) as caught:
            await w.mirror.remote_head(access, "main")
        assert caught.value.kind is FailureKind.UNREACHABLE


async def test_many_packs_are_rolled_up_without_losing_a_commit(tmp_path, monkeypatch):
    async with world(tmp_path) as w:
        monkeypatch.setattr("bot.git.mirror.MANY_PACKS", 3)
        seen = [await w.base()]
        for number in range(4):
            seen.append(await w.commit("main", a=str(number)))
            await w.base()
        assert len(list(w.mirror.path.glob("objects/pack/*.pack"))) <= 4
        assert all([await w.mirror.contains(sha) for sha in seen])


@pytest.mark.parametrize(
    "name", ["acme", "../acme/web", "acme/..", "acme/web/x", "-x/y", "acme/we b", "a/\nb"]
)
def test_only_owner_slash_name_gets_a_mirror(tmp_path, name):
    with pytest.raises(GitError, match="owner/name"):
        Mirrors(tmp_path).of(name)


def test_one_repository_has_one_mirror_and_a_sweep_removes_what_a_crash_left(tmp_path):
    mirrors = Mirrors(tmp_path / "m")
    assert mirrors.of("acme/web") is mirrors.of("acme/web")
    for leftover in ("acme/web.git.scratch/turn-x", "acme/.new-y", "acme/web.git"):
        (tmp_path / "m" / leftover).mkdir(parents=True)
    mirrors.sweep()
    assert [path.name for path in (tmp_path / "m/acme").iterdir()] == ["web.git"]
    assert (tmp_path / "m").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "branch", ["-x", "a..b", "a b", "a~1", "refs/heads/x^", "x.lock", "a//b", "/a", "a/", "a:b", ""]
)
async def test_what_cannot_be_a_branch_never_reaches_git(tmp_path, branch):
    access = GitAccess("https://git.example.com/acme/web.git", "x-access-token", Secret(""))
    with pytest.raises(GitError, match="name of a branch"):
        await Mirrors(tmp_path).of(REPOSITORY).remote_head(access, branch)
