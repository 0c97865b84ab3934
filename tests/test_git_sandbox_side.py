"""Git inside the sandbox, run for real: whatever an agent does to its repository, its files come out."""

import shutil

import pytest
from git_kit import git, once, world

from bot.errors import GitError
from bot.git import sandbox_side
from bot.git.sandbox_side import Synced, parse_sync


async def sync(w, workspace, target, have, last=None) -> Synced:
    bundle = w.mirror.bundle(target, have)
    return parse_sync(await workspace.run(sandbox_side.sync(str(workspace.path), target, last), bundle))


async def names_and_texts(w, bundle: bytes, base) -> dict[str, str]:
    """What the collected tree holds, as the host sees it."""
    async with w.collected(bundle, base) as collected:
        names = git(collected.git_dir, "ls-tree", "-r", "--name-only", "-z", collected.tree).split("\0")
        return {
            name: git(collected.git_dir, "cat-file", "-p", f"{collected.tree}:{name}")
            for name in names
            if name
        }


async def test_a_clone_has_no_remote_and_a_neutral_identity(tmp_path):
    async with world(tmp_path) as w:
        workspace = await w.workspace(await w.base())
        config = workspace.git("config", "--local", "--list")
        assert "remote." not in config
        assert w.side.url not in config
        assert "user.name=sandbox" in config


async def test_cloning_again_starts_over(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write(".git/config", "broken [")
        await w.workspace(base)
        assert workspace.git("status", "--porcelain") == ""


async def test_ignored_files_stay_inside_and_tracked_ones_that_are_ignored_are_kept(tmp_path):
    async with world(tmp_path) as w:
        await w.commit("main", dist__made="tracked", **{".gitignore": "dist/\n*.log\n"})
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("noise.log", "x")
        workspace.write("dist/other", "x")
        workspace.write("new", "y")
        (workspace.path / ".git/info").mkdir(exist_ok=True)
        workspace.write(".git/info/exclude", "scratch\n")
        workspace.write("scratch", "x")
        found = await names_and_texts(w, await workspace.collect(base), base)
        assert found["dist/made"] == "tracked"
        assert found["new"] == "y"
        assert not {"noise.log", "dist/other", "scratch"} & found.keys()


async def test_modes_and_links_come_out_as_they_are(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("run.sh", "#!/bin/sh\n").chmod(0o755)
        (workspace.path / "link").symlink_to("run.sh")
        workspace.git("config", "core.fileMode", "false")
        workspace.git("config", "core.symlinks", "false")
        async with w.collected(await workspace.collect(base), base) as collected:
            listing = git(collected.git_dir, "ls-tree", collected.tree)
        assert "100755 blob" in next(line for line in listing.splitlines() if line.endswith("run.sh"))
        assert "120000 blob" in next(line for line in listing.splitlines() if line.endswith("link"))


def commits(workspace):
    workspace.git("add", ".")
    workspace.git("commit", "--quiet", "-m", "mine")


def other_branch(workspace):
    workspace.git("checkout", "--quiet", "-b", "elsewhere")


def detached(workspace):
    workspace.git("checkout", "--quiet", "--detach")


def broken_index(workspace):
    workspace.write(".git/index", b"garbage")


def locked_index(workspace):
    workspace.write(".git/index.lock", b"")


def assumed_unchanged(workspace):
    workspace.git("update-index", "--assume-unchanged", "README.md")
    workspace.git("update-index", "--skip-worktree", "README.md")


def sparse(workspace):
    workspace.git("config", "core.sparseCheckout", "true")
    workspace.write(".git/info/sparse-checkout", "/nothing\n")


def orphan(workspace):
    workspace.git("checkout", "--quiet", "--orphan", "fresh")


def broken_head(workspace):
    workspace.write(".git/HEAD", "ref: refs/heads/../../etc\n")


def elsewhere_worktree(workspace):
    workspace.git("config", "core.worktree", "/tmp")


def bare(workspace):
    workspace.git("config", "core.bare", "true")


def hooks(workspace):
    hook = workspace.write(".git/hooks/reference-transaction", "#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)


def replaced(workspace):
    base = workspace.git("rev-parse", "HEAD")
    other = workspace.git("commit-tree", workspace.git("mktree", stdin=b""), "-m", "empty")
    workspace.git("replace", base, other)


def signed(workspace):
    workspace.git("config", "commit.gpgSign", "true")
    workspace.git("config", "gpg.program", "/bin/false")


def no_git(workspace):
    shutil.rmtree(workspace.path / ".git")


def broken_config(workspace):
    workspace.write(".git/config", "[core\n")


def no_objects(workspace):
    shutil.rmtree(workspace.path / ".git/objects")
    (workspace.path / ".git/objects").mkdir()


SURVIVED = [
    *(
        commits,
        other_branch,
        detached,
        broken_index,
        locked_index,
        assumed_unchanged,
        sparse,
        orphan,
        elsewhere_worktree,
    ),
    *(bare, hooks, replaced, signed, broken_head),
]


@pytest.mark.proof("output")
async def test_the_work_comes_out_whatever_state_the_repository_is_in(tmp_path, record_property):
    record_property("cases", len(SURVIVED))
    async with world(tmp_path) as w:
        base = await w.base()
        for number, damage in enumerate(SURVIVED):
            workspace = await w.workspace(base, f"workspace{number}")
            workspace.write("new", "new")
            damage(workspace)
            workspace.write("README.md", "changed")
            found = await names_and_texts(w, await workspace.collect(base), base)
            assert (damage.__name__, found.get("new"), found.get("README.md")) == (
                damage.__name__,
                "new",
                "changed",
            )


@pytest.mark.proof("output")
async def test_a_ruined_repository_is_collected_afresh_from_a_bundle(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        for number, damage in enumerate([no_git, broken_config, no_objects]):
            workspace = await w.workspace(base, f"workspace{number}")
            workspace.write("new", "new")
            (workspace.path / "README.md").unlink()
            damage(workspace)
            code, _, _ = await workspace.attempt(sandbox_side.collect(str(workspace.path), base))
            assert (damage.__name__, code != 0) == (damage.__name__, True)
            again = sandbox_side.collect_afresh(str(workspace.path), base)
            found = await names_and_texts(w, await workspace.run(again, w.mirror.bundle(base)), base)
            assert found["new"] == "new"
            assert "README.md" not in found
            assert len(found) > 3


async def test_a_collected_workspace_is_left_as_it_was(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("new", "new")
        workspace.git("add", "new")
        before = workspace.git("status", "--porcelain"), workspace.git("rev-parse", "HEAD")
        await workspace.collect(base)
        assert (workspace.git("status", "--porcelain"), workspace.git("rev-parse", "HEAD")) == before


async def test_a_clean_workspace_moves_to_the_new_commit(tmp_path):
    async with world(tmp_path) as w:
        old = await w.base()
        workspace = await w.workspace(old)
        new = await w.commit("main", a="1")
        await w.base()
        assert await sync(w, workspace, new, [old]) == Synced("moved")
        assert workspace.git("rev-parse", "HEAD") == new
        assert (workspace.path / "a").read_text() == "1"
        assert await sync(w, workspace, new, [new]) == Synced("same")


async def test_what_the_host_committed_counts_as_committed(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("a", "1")
        commit = await w.turn(workspace, base)
        assert await sync(w, workspace, commit, [base], last=commit) == Synced("same")
        assert workspace.git("status", "--porcelain") == ""
        assert workspace.git("log", "--format=%an").splitlines()[0] == "Ada Sample"


async def test_a_commit_that_was_squashed_away_still_serves_as_the_base_of_later_bundles(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("a", "1")
        commit = await w.turn(workspace, base)
        assert await sync(w, workspace, commit, [base], last=commit) == Synced("same")
        squashed = await w.commit("main", a="1")
        await w.base()
        assert await sync(w, workspace, squashed, [base, commit], last=commit) == Synced("moved")
        later = await w.commit("main", b="2")
        await w.base()
        assert await sync(w, workspace, later, [commit, squashed], last=commit) == Synced("moved")
        assert workspace.git("status", "--porcelain") == ""


async def test_what_the_agent_committed_itself_is_work_and_not_lost(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("mine", "kept")
        commits(workspace)
        assert await sync(w, workspace, base, [base]) == Synced("same")
        assert workspace.git("status", "--porcelain") == "?? mine"
        commits(workspace)
        new = await w.commit("main", theirs="1")
        await w.base()
        assert await sync(w, workspace, new, [base]) == Synced("kept")
        assert (workspace.path / "mine").read_text() == "kept"


async def test_a_commit_of_another_workspace_does_not_count_as_made_of_this_one(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        first = await w.workspace(base, "first")
        first.write("a", "1")
        commit = await w.turn(first, base)
        later = await w.commit("main", b="2")
        await w.base()
        second = await w.workspace(later, "second")
        newest = await w.commit("main", b="3")
        await w.base()
        assert await sync(w, second, newest, [later], last=commit) == Synced("moved")
        assert (second.path / "b").read_text() == "3"


async def test_kept_work_comes_back_into_a_fresh_workspace_uncommitted(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("mine", "kept")
        (workspace.path / "README.md").unlink()
        bundle = await workspace.collect(base)
        fresh = await w.workspace(base, "fresh")
        await fresh.run(sandbox_side.restore(str(fresh.path)), once(bundle))
        assert (fresh.path / "mine").read_text() == "kept"
        assert fresh.git("rev-parse", "HEAD") == base
        assert fresh.git("status", "--porcelain").splitlines() == [" D README.md", "?? mine"]


async def test_uncommitted_work_is_carried_over(tmp_path):
    async with world(tmp_path) as w:
        old = await w.base()
        workspace = await w.workspace(old)
        workspace.write("mine", "kept")
        workspace.write("README.md", "edited\n")
        new = await w.commit("main", theirs="1")
        await w.base()
        assert await sync(w, workspace, new, [old], last=old) == Synced("kept")
        assert (workspace.path / "mine").read_text() == "kept"
        assert (workspace.path / "README.md").read_text() == "edited\n"
        assert (workspace.path / "theirs").read_text() == "1"
        found = await names_and_texts(w, await workspace.collect(new), new)
        assert found["mine"] == "kept"


async def test_conflicts_are_named_and_both_sides_kept(tmp_path):
    async with world(tmp_path) as w:
        await w.commit("main", shared="one\n")
        old = await w.base()
        workspace = await w.workspace(old)
        workspace.write("shared", "mine\n")
        new = await w.commit("main", shared="theirs\n")
        await w.base()
        synced = await sync(w, workspace, new, [old], last=old)
        assert synced.state == "conflicts"
        assert "shared" in synced.conflicts
        text = (workspace.path / "shared").read_text()
        assert "mine" in text
        assert "theirs" in text


async def test_an_untracked_file_in_the_way_is_named_and_kept_in_the_stash(tmp_path):
    async with world(tmp_path) as w:
        old = await w.base()
        workspace = await w.workspace(old)
        workspace.write("both", "mine")
        new = await w.commit("main", both="theirs")
        await w.base()
        synced = await sync(w, workspace, new, [old], last=old)
        assert synced == Synced("conflicts", ("both",))
        assert (workspace.path / "both").read_text() == "theirs"
        assert workspace.git("show", "stash@{0}^3:both") == "mine"


async def test_a_sync_finds_its_way_from_any_state(tmp_path):
    async with world(tmp_path) as w:
        old = await w.base()
        damages = [other_branch, detached, broken_index, locked_index, orphan, commits]
        workspaces = [await w.workspace(old, damage.__name__) for damage in damages]
        new = await w.commit("main", theirs="1")
        await w.base()
        for damage, workspace in zip(damages, workspaces, strict=True):
            workspace.write("mine", "kept")
            damage(workspace)
            state = (await sync(w, workspace, new, [old], last=old)).state
            assert (damage.__name__, state) == (damage.__name__, "kept")
            assert (workspace.path / "mine").read_text() == "kept"
            assert workspace.git("branch", "--show-current") == "work"
            assert workspace.git("rev-parse", "HEAD") == new


@pytest.mark.proof("output")
async def test_paths_with_spaces_quotes_and_dashes_are_arguments_and_not_script(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base, "it's $(touch ran) `x` -rf")
        workspace.write("a", "1")
        assert (await names_and_texts(w, await workspace.collect(base), base))["a"] == "1"


@pytest.mark.parametrize("output", [b"", b"fine\0", b"\xff\xfe"])
@pytest.mark.proof("output")
def test_an_answer_that_is_none_is_an_error(output):
    with pytest.raises(GitError, match="no clear answer"):
        parse_sync(output)


@pytest.mark.proof("output")
def test_endless_conflicts_are_cut():
    synced = parse_sync(b"conflicts\0" + b"".join(b"%d\0" % number for number in range(5000)))
    assert len(synced.conflicts) == 100
