"""What a sandbox hands out is unpacked where it can do no harm, and refused by name when it breaks a rule."""

import asyncio
import zlib
from hashlib import sha1

import pytest
from git_kit import git, once, world

from bot.domain import CommitSha
from bot.errors import GitError
from bot.git import FailureKind, GitFailure, Policy, QuarantineLimits, Refused, collect
from bot.git.inspection import leads_outside
from bot.git.process import KernelLimits

OTHER = CommitSha("0123456789012345678901234567890123456789")


async def refusal(w, bundle: bytes, base: CommitSha, policy=None, limits=None) -> str:
    """The text of the refusal, once it is sure that nothing of the bundle is left behind."""
    before = git(w.mirror.path, "for-each-ref")
    with pytest.raises(GitError) as caught:
        async with w.collected(bundle, base, policy, limits):
            pass
    assert git(w.mirror.path, "for-each-ref") == before
    assert list(w.mirror.scratch.iterdir()) == []
    return str(caught.value)


async def test_an_honest_change_is_collected_and_the_quarantine_is_gone_afterwards(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("new.txt", "new")
        async with w.collected(await workspace.collect(base), base) as collected:
            assert collected.base == base
            assert collected.changed_files == 1
            assert collected.git_dir.parent.stat().st_mode & 0o777 == 0o700
            assert not (collected.git_dir / "index").exists()
        assert list(w.mirror.scratch.iterdir()) == []


@pytest.mark.proof("output")
async def test_nothing_is_left_when_the_stream_breaks_or_the_caller_fails(tmp_path):
    async def broken():
        yield b"# v2"
        raise ConnectionError("the sandbox died")

    async with world(tmp_path) as w:
        base = await w.base()
        with pytest.raises(ConnectionError):
            async with collect(w.mirror, broken(), base):
                pass
        assert list(w.mirror.scratch.iterdir()) == []


@pytest.mark.proof("output")
async def test_what_is_no_bundle_is_refused(tmp_path):
    many = b"# v2 git bundle\n" * 9000
    async with world(tmp_path) as w:
        base = await w.base()
        for data in (b"", b"hello", many, b"# v3 git bundle\n\n", b"\0" * 100_000):
            assert "did not hand out a git bundle" in await refusal(w, data, base)


@pytest.mark.proof("output")
async def test_a_bundle_larger_than_its_bound_is_cut_off_while_it_comes(tmp_path):
    taken = []

    async def endless():
        while True:
            taken.append(1)
            yield bytes(256 * 1024)

    async with world(tmp_path) as w:
        base = await w.base()
        with pytest.raises(Refused, match=r"larger than 1 MiB.*gitignore"):
            async with collect(w.mirror, endless(), base, limits=QuarantineLimits(bundle_mib=1)):
                pass
        assert len(taken) == 5


@pytest.mark.proof("output")
async def test_only_the_turns_ref_may_be_in_it(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        tree = workspace.git("rev-parse", "HEAD^{tree}")
        assert "and nothing else" in await refusal(w, workspace.bundle(tree, base, "refs/heads/main"), base)
        good = workspace.bundle(tree, base)
        line = next(line for line in good.split(b"\n") if line.endswith(b"refs/threadsmith/turn"))
        two = good.replace(line, line + b"\n" + line.replace(b"turn", b"more"), 1)
        assert "and nothing else" in await refusal(w, two, base)


@pytest.mark.proof("output")
async def test_work_on_another_base_than_the_turns_is_refused(tmp_path):
    async with world(tmp_path) as w:
        old = await w.base()
        new = await w.commit("main", a="1")
        await w.base()
        workspace = await w.workspace(old)
        workspace.write("b", "2")
        assert "builds on something else" in await refusal(w, await workspace.collect(old), new)


async def test_an_unknown_base_is_an_error_before_anything_is_read(tmp_path):
    async with world(tmp_path) as w:
        await w.base()
        with pytest.raises(GitError, match="fetch first"):
            async with collect(w.mirror, once(b""), OTHER):
                pass


@pytest.mark.proof("output")
async def test_a_pack_that_lacks_objects_is_refused(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        missing = workspace.git("mktree", "--missing", stdin=f"100644 blob {OTHER}\tx\n".encode())
        commit = workspace.git("commit-tree", missing, "-p", base, "-m", "x")
        pack = pack_of(workspace, [commit, missing])
        head = f"# v2 git bundle\n-{base} \n{commit} refs/threadsmith/turn\n\n".encode()
        text = await refusal(w, head + pack, base)
        assert "git refuses" in text or "incomplete" in text


@pytest.mark.proof("output")
async def test_a_damaged_pack_is_refused(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("b", "2" * 1000)
        bundle = bytearray(await workspace.collect(base))
        bundle[-40] ^= 0xFF
        assert "git refuses" in await refusal(w, bytes(bundle), base)


def pack_of(workspace, names: list[str]) -> bytes:
    """A pack of exactly these objects, whatever they lack."""
    kinds = {b"commit": 1, b"tree": 2, b"blob": 3}
    body = b""
    for name in names:
        kind = workspace.git("cat-file", "-t", name).encode()
        content = git_bytes(workspace, kind.decode(), name)
        size, head = len(content), b""
        byte = kinds[kind] << 4 | size & 15
        size >>= 4
        while size:
            head += bytes([byte | 0x80])
            byte, size = size & 0x7F, size >> 7
        body += head + bytes([byte]) + zlib.compress(content)
    pack = b"PACK" + (2).to_bytes(4, "big") + len(names).to_bytes(4, "big") + body
    return pack + sha1(pack).digest()


def git_bytes(workspace, kind: str, name: str) -> bytes:
    import subprocess

    return subprocess.run(
        ["git", "-C", str(workspace.path), "cat-file", kind, name], capture_output=True
    ).stdout


def raw_tree(workspace, entries: list[tuple[str, bytes, str]]) -> str:
    """A tree object with any names at all; `git mktree` would refuse them."""
    content = b"".join(f"{mode} ".encode() + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
    return workspace.git("hash-object", "-t", "tree", "-w", "--literally", "--stdin", stdin=content)


GIT_FOLDERS = [
    b".git",
    b".GIT",
    b".Git",
    b"git~1",
    b".g\xe2\x80\x8cit",
    b".git ",
    b".git.",
    b"..",
    b".",
    b"a/b",
]


@pytest.mark.proof("output")
async def test_names_that_would_be_a_git_folder_somewhere_are_refused(tmp_path, record_property):
    record_property("cases", len(GIT_FOLDERS))
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        blob = workspace.git("hash-object", "-w", "--stdin", stdin=b"x")
        for name in GIT_FOLDERS:
            tree = raw_tree(workspace, [("100644", name, blob)])
            text = await refusal(w, workspace.bundle(tree, base), base)
            assert (name, "git refuses" in text) == (name, True)


@pytest.mark.proof("output")
async def test_two_entries_of_one_name_are_refused(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        blob = workspace.git("hash-object", "-w", "--stdin", stdin=b"x")
        tree = raw_tree(workspace, [("100644", b"a", blob), ("100644", b"a", blob)])
        assert "git refuses" in await refusal(w, workspace.bundle(tree, base), base)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a\nb", "control characters"),
        ("a\x1b[31mb", "control characters"),
        ("x\u202etxt.exe", "control characters"),
        ("y" * 200 + "/" + ("z" * 250 + "/") * 4 + "f", "longer than"),
    ],
)
@pytest.mark.proof("output")
async def test_names_that_deceive_a_reader_are_refused(tmp_path, name, words):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write(name, "x")
        assert words in await refusal(w, await workspace.collect(base), base)


@pytest.mark.proof("output")
async def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        blob = workspace.git("hash-object", "-w", "--stdin", stdin=b"x")
        tree = raw_tree(workspace, [("100644", b"caf\xe9", blob)])
        assert "not UTF-8" in await refusal(w, workspace.bundle(tree, base), base)


@pytest.mark.parametrize(
    "path", [".github/workflows/ci.yml", ".GitHub/Workflows/ci.yml", ".github/workflows"]
)
@pytest.mark.proof("output")
async def test_a_workflow_change_needs_a_person_unless_it_is_allowed(tmp_path, path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write(path, "on: push")
        bundle = await workspace.collect(base)
        assert "needs a person" in await refusal(w, bundle, base)
        async with w.collected(bundle, base, Policy(allow_workflows=True)) as collected:
            assert collected.changed_files == 1


@pytest.mark.proof("output")
async def test_a_nested_repository_is_refused_and_the_text_says_what_to_do(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        inner = workspace.write("vendor/lib/README", "x").parent
        git(inner, "init", "--quiet")
        git(inner, "add", ".")
        git(inner, "commit", "--quiet", "-m", "x")
        text = await refusal(w, await workspace.collect(base), base)
        assert "vendor/lib" in text
        assert "delete it" in text


@pytest.mark.proof("output")
async def test_changed_submodule_addresses_are_refused(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write(".gitmodules", '[submodule "x"]\n\tpath = x\n\turl = https://example.com/x\n')
        assert "needs a person" in await refusal(w, await workspace.collect(base), base)


@pytest.mark.proof("output")
async def test_a_submodule_address_that_is_a_command_is_refused_even_where_submodules_are_allowed(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write(".gitmodules", '[submodule "x"]\n\tpath = x\n\turl = -u./payload\n')
        assert "git refuses" in await refusal(
            w, await workspace.collect(base), base, Policy(allow_submodules=True)
        )


@pytest.mark.proof("output")
async def test_links_out_of_the_repository_are_data_but_named(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        (workspace.path / "inside").symlink_to("README.md")
        (workspace.path / "outside").symlink_to("/etc/passwd")
        (workspace.path / "deep").mkdir()
        (workspace.path / "deep/up").symlink_to("../../x")
        async with w.collected(await workspace.collect(base), base) as collected:
            assert set(collected.outside_links) == {"outside", "deep/up"}


def test_leading_outside_is_about_where_a_link_ends():
    assert leads_outside("a", "..")
    assert leads_outside("a/b", "../../c")
    assert not leads_outside("a/b", "../c")
    assert not leads_outside("a", "b/../c")


@pytest.mark.proof("output")
async def test_files_and_numbers_beyond_the_bounds_are_refused(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("big.bin", bytes(3 << 20))
        workspace.write("small.bin", bytes(10))
        bundle = await workspace.collect(base)
        assert "big.bin is larger than 2 MiB" in await refusal(w, bundle, base, Policy(file_mib=2))
        assert "larger than 2 MiB together" in await refusal(w, bundle, base, Policy(total_mib=2))
        assert "more than 1 files" in await refusal(w, bundle, base, Policy(files=1))


@pytest.mark.proof("output")
async def test_a_tree_that_unfolds_without_end_is_stopped(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        entry = f"100644 blob {workspace.git('hash-object', '-w', '--stdin', stdin=b'x')}\t"
        lines = "".join(f"{entry}{n}\n" for n in range(10))
        for _ in range(9):  # 10^10 files in a few hundred bytes
            tree = workspace.git("mktree", stdin=lines.encode())
            lines = "".join(f"040000 tree {tree}\t{n}\n" for n in range(10))
        bundle = workspace.bundle(workspace.git("mktree", stdin=lines.encode()), base)
        # Git lists them all in memory before it says one; a small memory makes the test short.
        text = await refusal(w, bundle, base, limits=QuarantineLimits(kernel=KernelLimits(memory_mib=200)))
        assert "more than 5000 files" in text


@pytest.mark.proof("output")
async def test_a_blob_that_unpacks_to_more_than_memory_does_not_hurt(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        with (workspace.path / "bomb").open("wb") as file:
            file.truncate(60 << 20)  # 60 MiB of nothing pack to 60 KiB
        bundle = await workspace.collect(base)
        assert len(bundle) < 1 << 20
        limits = QuarantineLimits(kernel=KernelLimits(memory_mib=64, file_mib=8))
        assert "bomb is larger than 25 MiB" in await refusal(w, bundle, base, limits=limits)


@pytest.mark.proof("output")
async def test_what_hits_the_kernels_limits_is_told_apart_from_a_broken_bundle(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        workspace = await w.workspace(base)
        workspace.write("random", __import__("random").Random(1).randbytes(3 << 20))
        bundle = await workspace.collect(base)
        with pytest.raises(GitFailure) as caught:
            async with w.collected(bundle, base, limits=QuarantineLimits(kernel=KernelLimits(file_mib=1))):
                pass
        assert caught.value.kind in (FailureKind.TOO_LARGE, FailureKind.REFUSED)
        assert list(w.mirror.scratch.iterdir()) == []


async def test_two_turns_may_be_in_quarantine_at_once(tmp_path):
    async with world(tmp_path) as w:
        base = await w.base()
        bundles = []
        for name in "ab":
            workspace = await w.workspace(base, name)
            workspace.write(name, name)
            bundles.append(await workspace.collect(base))

        async def tree(bundle: bytes) -> str:
            async with w.collected(bundle, base) as collected:
                return collected.tree

        first, second = await asyncio.gather(*map(tree, bundles))
        assert first != second
