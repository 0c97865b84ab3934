"""The GitHub side through real git over HTTP."""

import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import encode_basic_auth
from test_playground_github_kit import ADA, BEN, STOREFRONT, Local, running

from bot.playground.github import Permission


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[Local]:
    async with running(tmp_path / "data") as kit:
        yield kit


def basic(token: str = ADA.token, login: str = "x-access-token") -> dict[str, str]:
    return {"Authorization": encode_basic_auth(login, token)}


async def changed_clone(local: Local, folder: Path, branch: str = "work", text: str = "one\n") -> Path:
    """A clone with one new commit on `branch`, not pushed yet."""
    clone = folder / "clone"
    await local.git("clone", "-q", local.clone_url(), clone)
    await local.git("-C", clone, "switch", "-q", "-c", branch)
    (clone / "new.txt").write_text(text)
    await local.git("-C", clone, "add", ".")
    await local.git("-C", clone, "commit", "-q", "-m", "Add new.txt")
    return clone


async def test_clone_commit_push(local: Local, tmp_path: Path) -> None:
    clone = await changed_clone(local, tmp_path)
    assert (clone / "src" / "header.js").is_file()
    await local.git("-C", clone, "push", "-q", "origin", "work")
    head = (await local.git("-C", clone, "rev-parse", "work")).strip()
    assert await local.repo(BEN, lambda repo: repo.get_branch("work").commit.sha) == head


async def test_shallow_and_blobless_clones(local: Local, tmp_path: Path) -> None:
    await local.git("clone", "-q", "--depth", "1", local.clone_url(), tmp_path / "shallow")
    assert (await local.git("-C", tmp_path / "shallow", "rev-list", "--count", "HEAD")).strip() == "1"
    await local.git(
        "clone", "-q", "--filter=blob:none", "--no-checkout", local.clone_url(), tmp_path / "blobless"
    )
    missing = await local.git(
        "-C", tmp_path / "blobless", "rev-list", "--objects", "--all", "--missing=print"
    )
    assert "\n?" in missing


async def test_the_second_protocol_version_is_spoken(local: Local) -> None:
    status, text, headers = await local.http(
        "GET",
        f"/{STOREFRONT}.git/info/refs?service=git-upload-pack",
        headers={**basic(), "Git-Protocol": "version=2"},
    )
    assert (status, headers["Content-Type"]) == (200, "application/x-git-upload-pack-advertisement")
    assert "version 2" in text


async def test_compressed_bodies_reach_git(local: Local) -> None:
    body = gzip.compress(b"0014command=ls-refs\n0000")
    status, text, _ = await local.http(
        "POST",
        f"/{STOREFRONT}.git/git-upload-pack",
        data=body,
        headers={
            **basic(login="anybody"),
            "Git-Protocol": "version=2",
            "Content-Encoding": "gzip",
            "Content-Type": "application/x-git-upload-pack-request",
        },
    )
    assert status == 200 and "refs/heads/main" in text


async def test_a_large_push_in_chunks(local: Local, tmp_path: Path) -> None:
    import random

    clone = await changed_clone(local, tmp_path)
    (clone / "big.bin").write_bytes(random.Random(1).randbytes(3_000_000))
    await local.git("-C", clone, "add", ".")
    await local.git("-C", clone, "commit", "-q", "-m", "Add a large file")
    await local.git("-C", clone, "push", "-q", "origin", "work")
    await local.git("clone", "-q", "--branch", "work", local.clone_url(), tmp_path / "again")
    assert (tmp_path / "again" / "big.bin").read_bytes() == (clone / "big.bin").read_bytes()
    assert [entry["method"] for entry in local.side.requests()].count("git-receive-pack") == 1


async def test_without_a_valid_token_git_is_asked_for_one(local: Local, tmp_path: Path) -> None:
    path = f"/{STOREFRONT}.git/info/refs?service=git-upload-pack"
    for sent in ({}, basic(token="wrong")):
        status, _, headers = await local.http("GET", path, headers=sent)
        assert (status, headers["WWW-Authenticate"]) == (401, 'Basic realm="GitHub"')
    await local.git("clone", local.clone_url(account=None), tmp_path / "none", ok=False)


async def test_a_push_without_permission_is_refused(local: Local, tmp_path: Path) -> None:
    clone = await changed_clone(local, tmp_path)
    local.side.grant(STOREFRONT, "ben-sample", Permission.READ)
    said = await local.git("-C", clone, "push", local.clone_url(BEN), "work", ok=False)
    assert "403" in said
    await local.git("clone", "-q", local.clone_url(BEN), tmp_path / "may-read")
    assert await local.repo(ADA, lambda repo: [branch.name for branch in repo.get_branches()]) == ["main"]


async def test_a_repository_out_of_sight_does_not_exist(local: Local, tmp_path: Path) -> None:
    local.side.grant(STOREFRONT, "ben-sample", Permission.NONE)
    assert "not found" in await local.git("clone", local.clone_url(BEN), tmp_path / "x", ok=False)
    assert "not found" in await local.git("clone", local.clone_url(ADA, "acme/no"), tmp_path / "y", ok=False)


async def test_only_the_smart_protocol_is_served(local: Local) -> None:
    assert (await local.http("GET", f"/{STOREFRONT}.git/info/refs", headers=basic()))[0] == 403
    for path in ("HEAD", "config", "objects/info/packs"):
        assert (await local.http("GET", f"/{STOREFRONT}.git/{path}", headers=basic()))[0] == 404


async def test_a_push_moves_the_pull_request(local: Local, tmp_path: Path) -> None:
    clone = await changed_clone(local, tmp_path)
    await local.git("-C", clone, "push", "-q", "origin", "work")
    number = await local.repo(ADA, lambda repo: repo.create_pull("main", "work", title="Work").number)
    (clone / "new.txt").write_text("one\ntwo\n")
    await local.git("-C", clone, "commit", "-q", "-a", "-m", "Add a second line")
    await local.git("-C", clone, "push", "-q", "origin", "work")
    head = (await local.git("-C", clone, "rev-parse", "work")).strip()
    pull = await local.repo(ADA, lambda repo: repo.get_pull(number))
    assert (pull.head.sha, pull.commits, pull.additions) == (head, 2, 2)
    refs = await local.git("ls-remote", local.clone_url(), "refs/pull/*")
    assert refs.split() == [head, f"refs/pull/{number}/head"]


async def test_pull_request_references_cannot_be_pushed(local: Local, tmp_path: Path) -> None:
    clone = await changed_clone(local, tmp_path)
    said = await local.git("-C", clone, "push", "origin", "work:refs/pull/9/head", ok=False)
    assert "hidden ref" in said


async def test_deleting_the_head_branch_by_push_closes_the_pull_request(local: Local, tmp_path: Path) -> None:
    clone = await changed_clone(local, tmp_path)
    await local.git("-C", clone, "push", "-q", "origin", "work")
    number = await local.repo(ADA, lambda repo: repo.create_pull("main", "work", title="Work").number)
    await local.git("-C", clone, "push", "-q", "origin", ":work")
    pull = await local.repo(ADA, lambda repo: repo.get_pull(number))
    assert (pull.state, pull.merged, pull.changed_files) == ("closed", False, 1)


async def test_a_merge_made_elsewhere_and_pushed_counts_as_merged(local: Local, tmp_path: Path) -> None:
    clone = await changed_clone(local, tmp_path)
    await local.git("-C", clone, "push", "-q", "origin", "work")
    number = await local.repo(BEN, lambda repo: repo.create_pull("main", "work", title="Work").number)
    await local.git("-C", clone, "switch", "-q", "main")
    await local.git("-C", clone, "merge", "-q", "--no-ff", "-m", "Merge by hand", "work")
    await local.git("-C", clone, "push", "-q", "origin", "main")
    pull = await local.repo(ADA, lambda repo: repo.get_pull(number))
    assert (pull.merged, pull.merged_by.login, pull.commits) == (True, "ada-sample", 1)


async def test_a_branch_reset_to_its_base_closes_the_pull_request(local: Local, tmp_path: Path) -> None:
    clone = await changed_clone(local, tmp_path)
    await local.git("-C", clone, "push", "-q", "origin", "work")
    number = await local.repo(ADA, lambda repo: repo.create_pull("main", "work", title="Work").number)
    await local.git("-C", clone, "push", "-q", "--force", "origin", "main:work")
    pull = await local.repo(ADA, lambda repo: repo.get_pull(number))
    assert (pull.state, pull.merged) == ("closed", False)


async def test_what_was_pushed_just_before_a_crash_is_noticed_at_the_next_start(tmp_path: Path) -> None:
    async with running(tmp_path / "data") as local:
        number = await local.pull("work")
    bare = tmp_path / "data" / "playground" / "github" / "repositories" / "acme" / "storefront.git"
    await local.git(f"--git-dir={bare}", "update-ref", "refs/heads/work", "refs/heads/main~1")
    await local.git(f"--git-dir={bare}", "update-ref", "refs/heads/main", f"refs/pull/{number}/head")
    async with running(tmp_path / "data") as local:
        assert (await local.side.pulls())[0]["state"] == "closed"


async def test_hooks_in_a_bare_repository_never_run(local: Local, tmp_path: Path) -> None:
    bare = tmp_path / "data" / "playground" / "github" / "repositories" / "acme" / "storefront.git"
    hook = bare / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
    hook.chmod(0o755)
    clone = await changed_clone(local, tmp_path)
    await local.git("-C", clone, "push", "-q", "origin", "work")
    assert not (tmp_path / "ran").exists()


async def test_a_push_whose_reply_is_lost_has_happened(local: Local, tmp_path: Path) -> None:
    clone = await changed_clone(local, tmp_path)
    local.side.fault("git-receive-pack", "lost_reply", 1)
    await local.git("-C", clone, "push", "-q", "origin", "work", ok=False)
    head = (await local.git("-C", clone, "rev-parse", "work")).strip()
    assert await local.repo(ADA, lambda repo: repo.get_branch("work").commit.sha) == head


@pytest.mark.parametrize(("kind", "status"), [("server_error", 502), ("rate_limited", 429)])
async def test_a_push_refused_on_order_has_not_happened(
    local: Local, tmp_path: Path, kind: str, status: int
) -> None:
    clone = await changed_clone(local, tmp_path)
    local.side.fault("git-receive-pack", kind, 1)
    assert str(status) in await local.git("-C", clone, "push", "-q", "origin", "work", ok=False)
    assert await local.repo(ADA, lambda repo: [branch.name for branch in repo.get_branches()]) == ["main"]
    await local.git("-C", clone, "push", "-q", "origin", "work")
    said = [(entry["status"], entry["login"]) for entry in local.side.requests() if "git-" in entry["method"]]
    assert said[-2:] == [(status, "ada-sample"), (200, "ada-sample")]
