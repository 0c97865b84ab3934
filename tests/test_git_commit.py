"""One commit per turn: the host's own, from the final tree, with the names the host gives."""

import pytest
from git_kit import AUTHOR, COMMITTER, SESSION, git, world

from bot.domain import FileChange, GitIdentity, SessionId
from bot.errors import GitError
from bot.git import commit_turn, diff, file_changes
from bot.git.commit import commit_message
from bot.git.mirror import SESSION_REFS

BEN = GitIdentity("Ben", "2+ben@users.noreply.github.com")


def arguments(base, **more):
    return {
        "session": SESSION,
        "parent": base,
        "author": AUTHOR,
        "committer": COMMITTER,
        "message": "Change it",
        "date": 1_700_000_000.7,
        **more,
    }


@pytest.mark.proof("output")
async def test_the_commit_has_our_author_committer_and_trailers_and_none_of_the_agents_commits(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("secret-idea", "x")
        workspace.git("add", ".")
        workspace.git("commit", "--quiet", "-m", "agent's own words")
        workspace.git("rm", "--quiet", "secret-idea")
        workspace.git("commit", "--quiet", "-m", "agent's second thought")
        workspace.write("kept", "y")
        async with w.collected(await workspace.collect(base), base) as collected:
            made = await commit_turn(w.mirror, collected, **arguments(base, co_authors=[BEN, AUTHOR, BEN]))
        text = git(w.mirror.path, "cat-file", "commit", made)
        assert f"parent {base}" in text
        assert f"author Ada Sample <{AUTHOR.email}> 1700000000 +0000" in text
        assert "committer Threadsmith <bot@example.com> 1700000000 +0000" in text
        assert text.endswith("Change it\n\nCo-authored-by: Ben <2+ben@users.noreply.github.com>")
        assert git(w.mirror.path, "rev-list", "--count", f"{base}..{made}") == "1"
        assert "agent" not in git(w.mirror.path, "log", "--all", "--format=%s")


async def test_the_commit_is_kept_in_the_mirror_when_the_next_fetch_prunes(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("a", "1")
        made = await w.turn(workspace, base)
        await w.base()
        assert git(w.mirror.path, "rev-parse", f"{SESSION_REFS}{SESSION}") == made
        git(w.mirror.path, "fsck", "--connectivity-only")


async def test_the_same_turn_committed_twice_is_the_same_commit(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("a", "1")
        assert await w.turn(workspace, base) == await w.turn(workspace, base)


async def test_a_turn_that_changed_nothing_makes_no_commit(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.git("commit", "--quiet", "--allow-empty", "-m", "nothing")
        async with w.collected(await workspace.collect(base), base) as collected:
            assert await commit_turn(w.mirror, collected, **arguments(base)) is None


async def test_work_is_never_committed_on_another_commit_than_it_was_done_on(tmp_path):
    async with world(tmp_path) as w:
        old = await w.base()
        new = await w.commit("main", a="1")
        await w.base()
        workspace = await w.workspace(old)
        workspace.write("b", "2")
        async with w.collected(await workspace.collect(old), old) as collected:
            with pytest.raises(GitError, match="cannot be committed on"):
                await commit_turn(w.mirror, collected, **arguments(new))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"session": SessionId("../../heads/main")}, "not a session id"),
        ({"author": GitIdentity("Ada", "a> <b@x")}, "cannot be the e-mail"),
        ({"author": GitIdentity("Ada", "")}, "cannot be the e-mail"),
    ],
)
@pytest.mark.proof("output")
async def test_strange_names_are_refused(tmp_path, more, words):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("b", "2")
        async with w.collected(await workspace.collect(base), base) as collected:
            with pytest.raises(GitError, match=words):
                await commit_turn(w.mirror, collected, **arguments(base, **more))


@pytest.mark.proof("output")
async def test_a_name_cannot_end_its_own_line(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("b", "2")
        author = GitIdentity("Ada <boss@x>\ncommitter Boss", "1+ada@x")
        async with w.collected(await workspace.collect(base), base) as collected:
            made = await commit_turn(w.mirror, collected, **arguments(base, author=author))
        lines = git(w.mirror.path, "cat-file", "commit", made).splitlines()
        assert [line.split()[0] for line in lines[:4]] == ["tree", "parent", "author", "committer"]
        assert lines[3].startswith("committer Threadsmith <")
        assert lines[2].count("<") == 1


@pytest.mark.proof("output")
def test_messages_lose_invented_trailers_control_characters_and_endless_text():
    text = commit_message(
        "Fix\x1b[31m it\n\nWhy.\nSigned-off-by: Boss <b@x>\n  CO-AUTHORED-BY: e\nmore\u202e", [BEN]
    )
    assert text == "Fix[31m it\n\nWhy.\nmore\n\nCo-authored-by: Ben <2+ben@users.noreply.github.com>\n"
    long = commit_message("x" * 500 + "\n" + "y" * 20_000, [])
    assert len(long.splitlines()[0]) == 120
    assert len(long) < 8200
    assert commit_message("\n \n", []) == "Changes\n"


def test_a_name_of_nothing_but_forbidden_characters_falls_back_to_the_address():
    assert "Co-authored-by: 2+ben <" in commit_message("x", [GitIdentity("<>", BEN.email)])


async def test_file_changes_tell_added_modified_deleted_renamed_and_binary(tmp_path):
    async with world(tmp_path) as w:
        await w.commit("main", edit="1\n2\n3\n", gone="x\n", old="a\nb\nc\nd\n")
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("edit", "1\nII\n3\n4\n")
        (workspace.path / "gone").unlink()
        (workspace.path / "old").rename(workspace.path / "nëw name")
        workspace.write("data.bin", b"\0\1\2")
        workspace.write("dir/added", "1\n2\n")
        made = await w.turn(workspace, base)
        assert sorted(await file_changes(w.mirror, base, made), key=lambda one: one.path) == [
            FileChange("data.bin", "added", 0, 0),
            FileChange("dir/added", "added", 2, 0),
            FileChange("edit", "modified", 2, 1),
            FileChange("gone", "deleted", 0, 1),
            FileChange("nëw name", "renamed", 0, 0),
        ]


async def test_a_diff_is_cut_at_its_bound_and_says_so(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("a", "line\n" * 1000)
        made = await w.turn(workspace, base)
        text, cut = await diff(w.mirror, base, made)
        assert "+line" in text
        assert not cut
        text, cut = await diff(w.mirror, base, made, max_bytes=100)
        assert len(text.encode()) == 100
        assert cut


@pytest.mark.proof("output")
async def test_a_diff_runs_no_program_that_the_repository_names(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write(".gitattributes", "* diff=evil filter=evil\n")
        workspace.write("a", "1")
        workspace.git("config", "diff.evil.textconv", f"touch {tmp_path}/ran; cat")
        made = await w.turn(workspace, base)
        text, _ = await diff(w.mirror, base, made)
        assert "+1" in text
        assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("said", "written"),
    [
        ("Fixes #1, closes acme/web#23", "Fixes # 1, closes acme/web# 23"),
        ("resolve GH-7 and gh-8", "resolve GH- 7 and gh- 8"),
        ("resolve _GH-7_", "resolve _GH- 7_"),
        (
            "Closes https://github.com/acme/web/issues/5",
            "Closes https://github.com/acme/web/issues/ 5",
        ),
        ("See https://github.com/acme/web/pull/5", "See https://github.com/acme/web/pull/ 5"),
        ("for @acme/owners, (@ada) and _@ben_", "for @ acme/owners, (@ ada) and _@ ben_"),
        ("mail ada@example.com about C# and `#main`", "mail ada@example.com about C# and `#main`"),
        ("Go [skip ci] [CI Skip] [no-ci] [skip actions]", "Go (skip ci) (CI Skip) (no-ci) (skip actions)"),
        ("Quick ***NO_CI***", "Quick (NO_CI)"),
        ("a[0] and [note] stay", "a[0] and [note] stay"),
        ("Fixes #\u200b1 [skip\u200b ci] @\u200bada", "Fixes # 1 (skip ci) @ ada"),
    ],
)
@pytest.mark.proof("output")
def test_an_agents_words_close_nothing_call_nobody_and_skip_no_checks(said, written):
    """In the subject as in the body, and still readable."""
    assert commit_message(said, []) == f"{written}\n"
    assert commit_message(f"Subject\n\n{said}", []) == f"Subject\n\n{written}\n"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\u2028", "\u2029", "\n\n"])
@pytest.mark.parametrize("trailer", ["skip-checks: true", "Request-Checks:true", "Signed-off-by: Boss <b@x>"])
@pytest.mark.proof("output")
def test_trailers_are_found_whatever_ends_the_line_before_them(end, trailer):
    assert commit_message(f"Subject{end}{trailer}", []) == "Subject\n"
