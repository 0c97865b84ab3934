"""A push moves one branch of ours forward, never anything else, and is done only when read back."""

import re
import subprocess

import pytest
from git_kit import ADA, REPOSITORY, SESSION, git, world
from hypothesis import given
from hypothesis import strategies as st

from bot.domain import GitAccess, SessionId
from bot.errors import GitError
from bot.git import FailureKind, GitFailure, branch_name, push
from bot.playground.github import Permission
from storage import Secret

BRANCH = "threadsmith/01234567-change-it"


async def one_commit(w):
    base = await w.base()
    workspace = await w.workspace(base)
    workspace.write("a", "1")
    return base, await w.turn(workspace, base)


def pushes(w) -> int:
    return len([one for one in w.side.requests() if one["method"] == "git-receive-pack"])


async def test_a_pushed_commit_is_on_the_remote_branch(tmp_path):
    async with world(tmp_path) as w:
        _, commit = await one_commit(w)
        await push(w.mirror, w.access(ADA), commit, BRANCH, expected=None)
        assert await w.mirror.remote_head(w.access(), BRANCH) == commit


async def test_pushing_again_what_is_there_does_nothing(tmp_path):
    async with world(tmp_path) as w:
        _, commit = await one_commit(w)
        await push(w.mirror, w.access(ADA), commit, BRANCH, expected=None)
        before = pushes(w)
        await push(w.mirror, w.access(ADA), commit, BRANCH, expected=None)
        assert pushes(w) == before


async def test_a_push_whose_reply_was_lost_counts_when_the_remote_has_it(tmp_path):
    async with world(tmp_path) as w:
        _, commit = await one_commit(w)
        w.side.fault("git-receive-pack", "lost_reply", 1)
        await push(w.mirror, w.access(ADA), commit, BRANCH, expected=None)
        assert await w.mirror.remote_head(w.access(), BRANCH) == commit


async def test_a_server_error_is_unreachable_and_leaves_the_branch(tmp_path):
    async with world(tmp_path) as w:
        _, commit = await one_commit(w)
        w.side.fault("git-receive-pack", "server_error", 1)
        with pytest.raises(GitFailure) as caught:
            await push(w.mirror, w.access(ADA), commit, BRANCH, expected=None)
        assert caught.value.kind is FailureKind.UNREACHABLE
        assert await w.mirror.remote_head(w.access(), BRANCH) is None


async def test_the_next_turn_moves_the_branch_forward(tmp_path):
    async with world(tmp_path) as w:
        _, first = await one_commit(w)
        await push(w.mirror, w.access(ADA), first, BRANCH, expected=None)
        workspace = await w.workspace(first, "second")
        workspace.write("a", "2")
        second = await w.turn(workspace, first)
        await push(w.mirror, w.access(ADA), second, BRANCH, expected=first)
        assert await w.mirror.remote_head(w.access(), BRANCH) == second


async def test_a_branch_that_somebody_moved_is_never_overwritten(tmp_path):
    async with world(tmp_path) as w:
        _, first = await one_commit(w)
        await push(w.mirror, w.access(ADA), first, BRANCH, expected=None)
        theirs = await w.commit(BRANCH, b="theirs")
        workspace = await w.workspace(first, "second")
        workspace.write("a", "2")
        second = await w.turn(workspace, first)
        with pytest.raises(GitFailure, match="someone changed it") as caught:
            await push(w.mirror, w.access(ADA), second, BRANCH, expected=first)
        assert caught.value.kind is FailureKind.MOVED
        assert await w.mirror.remote_head(w.access(), BRANCH) == theirs


async def test_a_branch_that_moves_between_the_look_and_the_push_is_not_overwritten(tmp_path, monkeypatch):
    async with world(tmp_path) as w:
        _, first = await one_commit(w)
        look = w.mirror.remote_head
        moved = []

        async def look_then_move(access, branch):
            there = await look(access, branch)
            if not moved:
                moved.append(await w.commit(branch, b="theirs"))
            return there

        monkeypatch.setattr(w.mirror, "remote_head", look_then_move)
        with pytest.raises(GitFailure) as caught:
            await push(w.mirror, w.access(ADA), first, BRANCH, expected=None)
        assert caught.value.kind is FailureKind.MOVED
        assert await look(w.access(), BRANCH) == moved[0]


async def test_going_backwards_is_refused_even_though_the_lease_would_hold(tmp_path):
    async with world(tmp_path) as w:
        base, first = await one_commit(w)
        await push(w.mirror, w.access(ADA), first, BRANCH, expected=None)
        with pytest.raises(GitError, match="does not build on"):
            await push(w.mirror, w.access(ADA), base, BRANCH, expected=first)
        assert await w.mirror.remote_head(w.access(), BRANCH) == first


async def test_no_branch_but_ours_is_ever_written(tmp_path):
    others = ("main", "threadsmith", "threadsmithx/a", "refs/heads/threadsmith/a", "feature/threadsmith/")
    async with world(tmp_path) as w:
        _, commit = await one_commit(w)
        for branch in others:
            with pytest.raises(GitError):
                await push(w.mirror, w.access(ADA), commit, branch, expected=None)
        assert pushes(w) == 0


async def test_an_account_that_may_only_read_is_forbidden_and_a_wrong_token_is_not_accepted(tmp_path):
    async with world(tmp_path) as w:
        _, commit = await one_commit(w)
        w.side.grant(REPOSITORY, "ada-sample", Permission.READ)
        with pytest.raises(GitFailure, match="write access") as caught:
            await push(w.mirror, w.access(ADA), commit, BRANCH, expected=None)
        assert caught.value.kind is FailureKind.FORBIDDEN
        wrong = GitAccess(w.access().url, "x-access-token", Secret("ghp_wrongwrongwrong"))
        with pytest.raises(GitFailure) as caught:
            await push(w.mirror, wrong, commit, BRANCH, expected=None)
        assert caught.value.kind is FailureKind.UNAUTHENTICATED


async def test_a_rule_of_the_server_is_forbidden_with_the_servers_words(tmp_path):
    async with world(tmp_path) as w:
        _, commit = await one_commit(w)
        bare = next((tmp_path / "github").rglob("storefront.git"))
        hook = bare / "hooks/pre-receive"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\necho GH006: Protected branch >&2\nexit 1\n")
        hook.chmod(0o755)
        git(bare, "config", "core.hooksPath", str(hook.parent))
        with pytest.raises(GitFailure, match="GH006") as caught:
            await push(w.mirror, w.access(ADA), commit, BRANCH, expected=None)
        assert caught.value.kind is FailureKind.FORBIDDEN


@given(text=st.text(max_size=300), number=st.integers(1, 99))
def test_any_text_gives_a_branch_name_of_ours_that_git_accepts(text, number):
    name = branch_name(SESSION, text, number)
    assert re.fullmatch(r"threadsmith/[0-9a-f]{8}(-[a-z0-9]+)*", name)
    assert len(name) < 80
    assert name.endswith(f"-{number}") or number == 1


def test_branch_names_read_like_the_request():
    assert branch_name(SESSION, "Fix the Header's färg!") == "threadsmith/01234567-fix-the-header-s-farg"
    assert branch_name(SESSION, "Fix", 2) == "threadsmith/01234567-fix-2"
    assert branch_name(SessionId("ab"), "修正") == "threadsmith/ab"
    name = branch_name(SESSION, "very " * 40)
    assert subprocess.run(["git", "check-ref-format", "--branch", name], capture_output=True).returncode == 0
