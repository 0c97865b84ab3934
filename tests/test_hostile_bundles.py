"""Attacks by the bundle a sandbox hands out: each is refused by name, quickly, and leaves nothing behind."""

from __future__ import annotations

import random
import zlib
from collections.abc import AsyncIterator, Callable
from hashlib import sha1

import pytest
import pytest_asyncio
from bundle_kit import BLOB, COMMIT, TAG, TREE, Entry, Thing, blob, bundle, copies, thing, tree, turn, zeros
from git_kit import World, git, world
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain import CommitSha
from bot.errors import GitError
from bot.git import FailureKind, GitFailure, Policy, QuarantineLimits, Refused
from bot.git.process import KernelLimits

pytestmark = [pytest.mark.proof("output"), pytest.mark.asyncio(loop_scope="module")]

X = blob(b"x")
NOBODY = "0123456789" * 4
OPEN = Policy(allow_submodules=True, allow_workflows=True)
BRIEF = QuarantineLimits(kernel=KernelLimits(cpu_seconds=1))  # inflating 2 GiB takes several
SMALL = QuarantineLimits(kernel=KernelLimits(memory_mib=200, cpu_seconds=10, file_mib=8))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def w(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with world(tmp_path_factory.mktemp("world")) as here:
        yield here


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def base(w: World) -> CommitSha:
    return await w.base()


async def refusal(
    w: World,
    data: bytes,
    base: CommitSha,
    policy: Policy | None = None,
    limits: QuarantineLimits | None = None,
) -> str:
    """The words of the refusal, once it is sure that nothing of the bundle is left on the host."""
    before = sorted(w.mirror.path.rglob("*"))
    with pytest.raises(GitError) as caught:
        async with w.collected(data, base, policy, limits):
            pass
    assert sorted(w.mirror.path.rglob("*")) == before
    assert list(w.mirror.scratch.iterdir()) == []
    if isinstance(caught.value, GitFailure):
        assert caught.value.kind in (FailureKind.REFUSED, FailureKind.TOO_LARGE)
    return str(caught.value)


# -- names ---------------------------------------------------------------------------------------

NAMES = {
    "the folder of git": (b".git", "hasDotgit"),
    "in capitals": (b".GIT", "hasDotgit"),
    "its short name on Windows": (b"git~1", "hasDotgit"),
    "its short name in capitals": (b"GIT~1", "hasDotgit"),
    "with a joiner that HFS+ passes over": (".g\u200cit".encode(), "hasDotgit"),
    "with a byte order mark that HFS+ passes over": (".gi\ufefft".encode(), "hasDotgit"),
    "with a mark of direction": (".git\u200e".encode(), "hasDotgit"),
    "with a space at its end": (b".git ", "hasDotgit"),
    "with dots at its end": (b".git...  ", "hasDotgit"),
    "as a stream of NTFS": (b".git::$INDEX_ALLOCATION", "hasDotgit"),
    "as another stream": (b".git:x", "hasDotgit"),
    "behind a backslash": (b"x\\.git\\config", "hasDotgit"),
    "before a backslash": (b".git\\config", "hasDotgit"),
    "the folder above": (b"..", "hasDotdot"),
    "this folder": (b".", "hasDot"),
    "a path in one name": (b"a/b", "fullPathname"),
    "an absolute path": (b"/etc/cron.d/x", "fullPathname"),
    "no name": (b"", "empty filename"),
    "a line end": (b"a\nb", "control characters"),
    "a terminal's escape": (b"\x1b]0;x\x07", "control characters"),
    "a control character of Latin 1": ("a\x9b31mb".encode(), "control characters"),
    "text turned around": ("x\u202etxt.exe".encode(), "hidden"),
    "isolated text": ("x\u2067y".encode(), "hidden"),
    "a space of no width": ("app\u200b.py".encode(), "hidden"),
    "nothing but a space of no width": ("\u200b".encode(), "hidden"),
    "a byte order mark": ("\ufeffapp.py".encode(), "hidden"),
    "a soft hyphen": ("pass\u00adwd".encode(), "hidden"),
    "a line separator": ("a\u2028b".encode(), "hidden"),
    "an invisible operator": ("a\u2064b".encode(), "hidden"),
    "invisible letters": ("a\U000e0041".encode(), "hidden"),
    "bytes that are no UTF-8": (b"caf\xe9", "not UTF-8"),
    "half a character pair": (b"\xed\xa0\x80", "not UTF-8"),
    "overlong UTF-8": (b"\xc0\xaegit", "not UTF-8"),
}


@pytest.mark.parametrize(("name", "words"), NAMES.values(), ids=NAMES)
async def test_a_name_that_means_something_else_is_refused_in_words_that_say_why(w, base, name, words):
    below = tree(("100644", name, X.oid))
    for data in (turn(base, below, X), turn(base, tree(("40000", b"deep", below.oid)), below, X)):
        assert words in await refusal(w, data, base, OPEN)


LINKS = {
    b".git": "hasDotgit",
    b".gitmodules": "gitmodulesSymlink",
    b".GitModules": "gitmodulesSymlink",
    b"gitmod~1": "gitmodulesSymlink",
    b".gitattributes": "wants a file",
    b".gitignore": "wants a file",
    b".GITIGNORE": "wants a file",
    b".mailmap": "wants a file",
}


@pytest.mark.parametrize(("name", "words"), LINKS.items(), ids=map(str, LINKS))
async def test_a_symbolic_link_where_git_reads_its_own_files_is_refused(w, base, name, words):
    target = blob(b"/etc/shadow")
    inner = tree(("120000", name, target.oid))
    assert words in await refusal(w, turn(base, inner, target), base, OPEN)
    assert words in await refusal(
        w, turn(base, tree(("40000", b"deep", inner.oid)), inner, target), base, OPEN
    )


WORKFLOWS = {
    "as it is": ("100644", b".github", b"workflows"),
    "in capitals": ("100644", b".GITHUB", b"WorkFlows"),
    "with a joiner": ("100644", ".git\u200chub".encode(), b"workflows"),
    "with spaces and dots at the ends": ("100644", b".github. ", b"workflows."),
    "folder replaced by a link": ("120000", b".github", b""),
    "folder in capitals replaced by a link": ("120000", b".GitHub", b""),
    "folder replaced by a file": ("100644", b".github", b""),
    "inner folder replaced by a link": ("120000", b".github/", b"workflows"),
}


@pytest.mark.parametrize(("mode", "outer", "inner"), WORKFLOWS.values(), ids=WORKFLOWS)
async def test_a_way_to_change_workflows_needs_a_person(w, base, mode, outer, inner):
    if not inner:
        things = [tree((mode, outer, X.oid)), X]
    elif outer.endswith(b"/"):
        links = tree((mode, inner, X.oid))
        things = [tree(("40000", outer[:-1], links.oid)), links, X]
    else:
        files = tree((mode, b"ci.yml", X.oid))
        folder = tree(("40000", inner, files.oid))
        things = [tree(("40000", outer, folder.oid)), folder, files, X]
    text = await refusal(w, turn(base, *things), base, Policy())
    assert "change of workflows needs a person" in text


async def test_names_that_only_look_like_an_attack_are_taken(w, base, record_property):
    honest = [
        ".gitkeep",
        "git",
        "..x",
        "a\\b",
        "na\u00efve.py",
        "\u65e5\u672c.md",
        "\U0001f468\u200d\U0001f469.md",
        ".github-notes",
    ]
    root = tree(*[("100644", name.encode(), X.oid) for name in sorted(honest, key=str.encode)])
    async with w.collected(turn(base, root, X), base) as collected:
        assert collected.tree == root.oid
    record_property("cases", len(honest))


# -- objects -------------------------------------------------------------------------------------


def entries(*found: Entry) -> Callable[[CommitSha], bytes]:
    return lambda base: turn(base, tree(*found), X)


def objects(tip: Callable[[CommitSha], Thing]) -> Callable[[CommitSha], bytes]:
    """A bundle whose commit is this object, on a tree that is in order."""

    def made(base: CommitSha) -> bytes:
        head = tip(base)
        return bundle(base, head.oid, [head, FINE, X])

    return made


FINE = tree(("100644", b"a", X.oid))


def raw(text: str) -> Callable[[CommitSha], bytes]:
    return objects(lambda base: thing(COMMIT, text.format(tree=FINE.oid, base=base, none=NOBODY).encode()))


HEAD = "tree {tree}\nparent {base}\n"
BY = "author A <a@b> 0 +0000\ncommitter A <a@b> 0 +0000\n"
BAD = {
    "a mode with a zero before it": (entries(("0100644", b"a", X.oid)), "zeroPaddedFilemode"),
    "a mode that groups may write": (entries(("100664", b"a", X.oid)), "badFilemode"),
    "a mode that runs as its owner": (entries(("104755", b"a", X.oid)), "badFilemode"),
    "the mode of a socket": (entries(("140000", b"a", X.oid)), "badFilemode"),
    "the mode of a device": (entries(("60000", b"a", X.oid)), "badFilemode"),
    "no mode": (entries(("", b"a", X.oid)), "malformed mode"),
    "a mode that is no number": (entries(("rwx", b"a", X.oid)), "malformed mode"),
    "an endless mode": (entries(("1" * 500, b"a", X.oid)), "git refuses"),
    "a folder that is a file": (entries(("40000", b"a", X.oid)), "git refuses"),
    "entries out of order": (entries(("100644", b"b", X.oid), ("100644", b"a", X.oid)), "treeNotSorted"),
    "one name twice": (entries(("100644", b"a", X.oid), ("100644", b"a", X.oid)), "duplicateEntries"),
    "a file and a folder of one name": (
        lambda base: turn(base, tree(("100644", b"a", X.oid), ("40000", b"a", FINE.oid)), FINE, X),
        "duplicateEntries",
    ),
    "a tree cut short": (lambda base: turn(base, thing(TREE, b"100644 a\0" + b"\1" * 19)), "git refuses"),
    "a tree of noise": (lambda base: turn(base, thing(TREE, bytes(range(256)))), "git refuses"),
    "an entry of no object": (entries(("100644", b"a", "0" * 40)), "git refuses"),
    "an entry of a missing object": (entries(("100644", b"a", NOBODY)), "git refuses"),
    "a submodule": (entries(("160000", b"a", NOBODY)), "needs a person"),
    "an empty commit": (objects(lambda _: thing(COMMIT, b"")), "git refuses"),
    "a commit without a tree": (raw("parent {base}\n" + BY + "\nx"), "git refuses"),
    "a commit of a missing tree": (raw("tree {none}\nparent {base}\n" + BY + "\nx"), "git refuses"),
    "a commit whose tree is a file": (
        raw(f"tree {X.oid}\nparent {{base}}\n" + BY + "\nx"),
        "git refuses",
    ),
    "a commit on a missing one": (raw("tree {tree}\nparent {none}\n" + BY + "\nx"), "git refuses"),
    "a commit without an author": (raw(HEAD + "committer A <a@b> 0 +0000\n\nx"), "missingAuthor"),
    "two authors": (raw(HEAD + "author A <a@b> 0 +0000\n" + BY + "\nx"), "multipleAuthors"),
    "an author without an address": (raw(HEAD + BY.replace(" <a@b>", "") + "\nx"), "missingEmail"),
    "an endless date": (raw(HEAD + BY.replace(" 0 ", " 99999999999999999999 ") + "\nx"), "badDateOverflow"),
    "a header with a NUL": (raw(HEAD + BY.replace("A", "A\0") + "\nx"), "nulInHeader"),
    "a tag of a missing commit": (
        objects(
            lambda _: thing(TAG, f"object {NOBODY}\ntype commit\ntag x\ntagger {BY[7:30]}\n\nx".encode())
        ),
        "git refuses",
    ),
    "a tag that is none": (objects(lambda _: thing(TAG, b"tag")), "git refuses"),
    "a tree in place of the commit": (lambda base: bundle(base, FINE.oid, [FINE, X]), "incomplete"),
    "a file in place of the commit": (lambda base: bundle(base, X.oid, [X]), "incomplete"),
    "a commit that is not in it": (lambda base: bundle(base, NOBODY, [FINE, X]), "incomplete"),
    "an address of a submodule that is a command": (
        lambda base: turn(base, tree(("100644", b".gitmodules", EVIL.oid)), EVIL),
        "gitmodulesUrl",
    ),
    "a submodule in the folder above": (
        lambda base: turn(base, tree(("100644", b".gitmodules", ABOVE.oid)), ABOVE),
        "gitmodulesName",
    ),
    "submodules that run a program": (
        lambda base: turn(base, tree(("100644", b".gitmodules", RUNS.oid)), RUNS),
        "gitmodulesUpdate",
    ),
}
EVIL = blob(b'[submodule "x"]\n\tpath = x\n\turl = --upload-pack=touch /tmp/owned\n')
ABOVE = blob(b'[submodule "../../hooks"]\n\tpath = x\n\turl = https://example.com/x\n')
RUNS = blob(b'[submodule "x"]\n\tpath = x\n\turl = https://example.com/x\n\tupdate = !touch /tmp/owned\n')


@pytest.mark.parametrize(("made", "words"), BAD.values(), ids=BAD)
async def test_a_bad_object_is_refused_by_gits_own_word_for_it(w, base, made, words):
    policy = Policy() if words == "needs a person" else OPEN
    assert words in await refusal(w, made(base), base, policy)


def good(base: CommitSha) -> bytes:
    return turn(base, FINE, X)


def repacked(data: bytes, change: Callable[[bytearray], None]) -> bytes:
    """The bundle with its pack changed and the pack's own checksum put right again."""
    head, _, body = data.partition(b"\n\n")
    pack = bytearray(body[:-20])
    change(pack)
    return head + b"\n\n" + bytes(pack) + sha1(pack).digest()


def at(place: int, data: bytes) -> Callable[[bytearray], None]:
    def change(pack: bytearray) -> None:
        pack[place : place + len(data)] = data

    return change


PACKS = {
    "cut after its header": lambda d: d[: d.index(b"PACK") + 12],
    "cut in the middle": lambda d: d[: -len(d) // 4],
    "without its last byte": lambda d: d[:-1],
    "a wrong checksum": lambda d: d[:-1] + bytes([d[-1] ^ 1]),
    "no pack": lambda d: d[: d.index(b"PACK")],
    "a second pack behind it": lambda d: d + d[d.index(b"PACK") :],
    "noise behind it": lambda d: d + b"more" * 100,
    "another version": lambda d: repacked(d, at(4, b"\0\0\0\x63")),
    "more objects than there are": lambda d: repacked(d, at(8, b"\xff\xff\xff\xff")),
    "fewer objects than there are": lambda d: repacked(d, at(8, b"\0\0\0\1")),
    "an object of no kind": lambda d: repacked(d, at(12, b"\0")),
    "a size that is a lie": lambda d: repacked(d, at(12, b"\x9f\x7f")),
    "an endless size": lambda d: repacked(d, at(12, b"\xff" * 40)),
    "a delta on what is not there": lambda d: turned(d, copies(Thing(NOBODY, b""), 5, 1)),
    "a delta on itself": lambda d: turned(d, b"\x60\x00" + b"x\x9c\x03\x00\x00\x00\x00\x01"),
    "a delta beyond its base": lambda d: turned(d, copies(Thing(X.oid, b""), 9, 1)),
}


def turned(data: bytes, extra: bytes) -> bytes:
    """The bundle with one more thing in its pack."""

    def change(pack: bytearray) -> None:
        pack[8:12] = (int.from_bytes(pack[8:12], "big") + 1).to_bytes(4, "big")
        pack.extend(extra)

    return repacked(data, change)


@pytest.mark.parametrize("damage", PACKS.values(), ids=PACKS)
async def test_a_pack_that_lies_is_refused(w, base, damage):
    assert "git refuses" in await refusal(w, damage(good(base)), base)


def tipped(data: bytes, tip: bytes) -> bytes:
    """The bundle with something else where the name of its commit stands."""
    signature, need, line, rest = data.split(b"\n", 3)
    return b"\n".join([signature, need, tip + line[40:], rest])


HEADERS = {
    "another ref": (lambda d: d.replace(b"refs/threadsmith/turn", b"refs/heads/main"), "nothing else"),
    "a ref beside it": (
        lambda d: d.replace(b"\n\n", b"\n" + b"1" * 40 + b" refs/heads/main\n\n", 1),
        "nothing",
    ),
    "no ref": (lambda d: b"# v2 git bundle\n\n" + d[d.index(b"PACK") :], "nothing else"),
    "a replacement of the base": (
        lambda d: d.replace(b"refs/threadsmith/turn", b"refs/replace/" + b"1" * 40),
        "nothing else",
    ),
    "another base": (
        lambda d: d.replace(b"\n-", b"\n-" + b"2" * 40 + b" \n-", 1),
        "builds on something else",
    ),
    "an option for a commit": (lambda d: tipped(d, b"--output=/tmp/owned"), "builds on something else"),
    "a range for a commit": (lambda d: tipped(d, b"HEAD..main"), "not a full commit name"),
    "a name in capitals for a commit": (lambda d: tipped(d, b"A" * 40), "not a full commit name"),
    "another format": (lambda d: d.replace(b"v2", b"v3"), "did not hand out a git bundle"),
    "a filter": (
        lambda d: d.replace(b"# v2 git bundle\n", b"# v3 git bundle\n@filter=blob:none\n"),
        "bundle",
    ),
    "an endless header": (lambda d: b"# v2 git bundle\n" + b"-" * (1 << 20) + d, "did not hand out"),
    "line ends of Windows": (lambda d: d.replace(b"\n", b"\r\n", 3), "did not hand out"),
    "not a word": (lambda d: b"", "did not hand out"),
    "a program": (lambda d: b"#!/bin/sh\ntouch /tmp/owned\n\n", "did not hand out"),
}


@pytest.mark.parametrize(("change", "words"), HEADERS.values(), ids=HEADERS)
async def test_a_header_that_says_something_else_is_refused(w, base, change, words):
    data = change(good(base))
    assert data != good(base)
    assert words in await refusal(w, data, base)


# -- sizes ---------------------------------------------------------------------------------------


def deep(base: CommitSha, levels: int) -> bytes:
    things = [X, tree(("100644", b"f", X.oid))]
    for _ in range(levels):
        things.append(tree(("40000", b"d", things[-1].oid)))
    return turn(base, things[-1], *things[:-1])


def unfolding(base: CommitSha, wide: int, levels: int) -> bytes:
    """wide ** levels files in as many trees as there are levels."""
    things = [X, tree(*[("100644", b"%06d" % n, X.oid) for n in range(wide)])]
    for _ in range(levels - 1):
        things.append(tree(*[("40000", b"%06d" % n, things[-1].oid) for n in range(wide)]))
    return turn(base, things[-1], *things[:-1])


def delta_bomb(base: CommitSha, times: int) -> bytes:
    content = bytes((1 << 24) - 1)
    small = blob(content)
    return turn(base, tree(("100644", b"a", small.oid)), small, copies(small, len(content), times))


def delta_chain(base: CommitSha, length: int) -> bytes:
    """Each object a delta on the one before it: one byte longer by a byte that is put in front."""
    content, things = b"x" * 20, [blob(b"x" * 20)]
    for _ in range(length):
        longer = b"y" + content
        delta = bytes(
            [len(content) & 0x7F | 0x80, len(content) >> 7, len(longer) & 0x7F | 0x80, len(longer) >> 7]
        )
        delta += b"\x01y" + b"\xb0" + len(content).to_bytes(2, "little")
        content = longer
        things.append(based(things[-1], delta, content))
    return turn(base, tree(("100644", b"a", things[-1].oid)), *things)


def based(on: Thing, delta: bytes, content: bytes) -> Thing:
    head = bytes([7 << 4 | len(delta)]) + bytes.fromhex(on.oid)
    return Thing(sha1(b"blob %d\0" % len(content) + content).hexdigest(), head + zlib.compress(delta))


SIZES = {
    "5 000 folders in each other": (lambda base: deep(base, 5_000), None, "longer than 1024 bytes"),
    "60 000 folders in each other": (lambda base: deep(base, 60_000), None, "too deeply"),
    "5 000 files in place of the others": (
        lambda base: unfolding(base, 5_000, 1),
        None,
        "more than 5000 files",
    ),
    "200 000 files in a folder": (lambda base: unfolding(base, 200_000, 1), None, "more than 5000 files"),
    "a million files in two trees": (lambda base: unfolding(base, 1_000, 2), None, "more than 5000 files"),
    "10 ** 15 files in 15 trees": (lambda base: unfolding(base, 10, 15), SMALL, "more than 5000 files"),
    "a delta of 20 times its base": (lambda base: delta_bomb(base, 20), SMALL, "git refuses"),
    "a delta of 3 GiB": (lambda base: delta_bomb(base, 200), None, "git refuses"),
    "a file of 128 MiB in 130 KiB": (
        lambda base: huge(base, zeros(128 << 20)),
        SMALL,
        "big is larger than 25",
    ),
    "a file of 2 GiB": (lambda base: huge(base, zeros(2 << 30, NOBODY)), BRIEF, "1 s of a processor"),
}


def huge(base: CommitSha, big: Thing) -> bytes:
    return turn(base, tree(("100644", b"big", big.oid)), big)


@pytest.mark.parametrize(("made", "limits", "words"), SIZES.values(), ids=SIZES)
async def test_a_bomb_is_refused_by_the_bound_it_hits(w, base, made, limits, words):
    data = made(base)
    assert len(data) < 8 << 20  # small enough to come through the pipe: what counts is what it becomes
    assert words in await refusal(w, data, base, limits=limits)


async def test_a_long_chain_of_deltas_is_only_long(w, base):
    async with w.collected(delta_chain(base, 4_000), base) as collected:
        content = git(collected.git_dir, "cat-file", "-p", f"{collected.tree}:a")
        assert content == "y" * 4_000 + "x" * 20


# -- noise ---------------------------------------------------------------------------------------


def mutated(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 8))):
        place = dice.randrange(len(changed))
        match dice.randrange(4):
            case 0:
                changed[place] ^= 1 << dice.randrange(8)
            case 1:
                del changed[place : place + dice.randrange(1, 40)]
            case 2:
                changed[place:place] = dice.randbytes(dice.randrange(1, 20))
            case _:
                changed[place : place + 4] = dice.choice((b"\0" * 4, b"\xff" * 4, b"\n\n\n\n"))
        if not changed:
            break
    return bytes(changed)


@pytest.mark.parametrize("mended", [False, True], ids=["as it comes", "with its checksum put right"])
async def test_a_bundle_with_any_bytes_changed_is_refused_or_the_same_tree(w, base, mended, record_property):
    dice, valid, tried, taken = random.Random(3), good(base), 80, 0
    for number in range(tried):
        data = mutated(valid, dice)
        if mended and b"PACK" in data and b"\n\n" in data:
            data = repacked(data, lambda pack: None)
        try:
            async with w.collected(data, base, limits=SMALL) as collected:
                assert collected.tree == FINE.oid, number
                taken += 1
        except GitError as error:
            assert str(error), number
    assert taken < tried
    assert list(w.mirror.scratch.iterdir()) == []
    record_property("cases", tried)


_PARTS = [
    b".git",
    b".GIT",
    b"git~1",
    b".",
    b"/",
    b"\\",
    b" ",
    b":",
    b"\0",
    b"\n",
    b"a",
    b".github",
    b"workflows",
]
_PARTS += ["\u200c".encode(), "\u202e".encode(), b"\xff", "é".encode()]
ANY_NAME = st.lists(st.sampled_from(_PARTS), min_size=1, max_size=4).map(b"".join)
ANY_MODE = st.sampled_from(["100644", "100755", "120000", "160000", "40000", "0100644", "100666", "777", ""])


@settings(max_examples=60)
@given(found=st.lists(st.tuples(ANY_MODE, ANY_NAME), min_size=1, max_size=3))
async def test_no_tree_of_any_names_and_modes_gets_through_with_a_bad_one(w, base, found):
    """Judged by rules of its own: what is taken holds plain files and links of plain names."""
    root = tree(*[(mode, name, X.oid) for mode, name in sorted(found, key=lambda each: each[1])])
    try:
        async with w.collected(turn(base, root, X), base, limits=SMALL) as collected:
            listed = git(collected.git_dir, "ls-tree", "-z", collected.tree).split("\0")
    except Refused:
        return
    for line in filter(None, listed):
        facts, name = line.split("\t", 1)
        assert facts.split()[0] in ("100644", "100755", "120000")
        folded = name.replace("\u200c", "").lower().rstrip(" .")
        assert folded not in (".git", "git~1", "", "..", ".github")
        assert not folded.startswith((".git\\", ".git:"))
        assert not set(name) & set("/\n\u202e")


async def test_a_blob_of_zeros_has_the_name_that_git_gives_it():
    """Else the file of 128 MiB would be refused as a missing one."""
    assert zeros(3 << 20).oid == thing(BLOB, bytes(3 << 20)).oid
