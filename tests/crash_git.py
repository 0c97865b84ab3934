"""A stand-in for the git program, for runs by the thousand: commits, trees and packs as JSON, in one process.

It answers the commands that `bot/git` gives, each with what git itself would print; `tests/test_git_*.py`
run the same code against the real one. A repository is a folder with one file, so that copying the data
folder copies it. Pushing asks the lease as git does.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import IO, Any

from bot.domain import GitAccess
from bot.git import FailureKind, Git, GitFailure
from bot.git.command import Output
from bot.git.process import Bounds

Objects = dict[str, dict[str, Any]]
Environment = Mapping[str, str]
Answer = tuple[int, str]  # exit code and output
WriteOutside = Callable[[str, Callable[[], Any], str], Any]  # what it is, what it does, whose effect it is
_REMOTE = ("fetch", "ls-remote", "push")
PACK = b"PACK of a stand-in "


def sha_of(kind: str, body: Any) -> str:
    return hashlib.sha1(json.dumps([kind, body], sort_keys=True).encode(), usedforsecurity=False).hexdigest()


class Store:
    """Objects and refs. `put_*` return the object's name."""

    def __init__(self, objects: Objects | None = None, refs: dict[str, str] | None = None) -> None:
        self.objects: Objects = {} if objects is None else objects
        self.refs: dict[str, str] = {} if refs is None else refs

    def put_tree(self, files: Mapping[str, str]) -> str:
        entries = {path: self._put("blob", text) for path, text in files.items()}
        return self._put("tree", entries)

    def put_commit(self, tree: str, parent: str | None, text: str, who: Mapping[str, str]) -> str:
        return self._put("commit", {"tree": tree, "parent": parent, "text": text, "who": dict(who)})

    def files(self, name: str) -> dict[str, str]:
        """Path -> text of a commit or a tree."""
        body = self.objects[name]["body"]
        entries = body if self.objects[name]["kind"] == "tree" else self.objects[body["tree"]]["body"]
        return {path: self.objects[blob]["body"] for path, blob in entries.items()}

    def history(self, commit: str | None) -> list[str]:
        """The commit and all before it, newest first."""
        found = []
        while commit is not None and commit in self.objects:
            found.append(commit)
            commit = self.objects[commit]["body"]["parent"]
        return found

    def pack(self, want: str, have: list[str]) -> bytes:
        left_out = {sha for each in have for sha in self.history(each)}
        wanted: Objects = {}
        for sha in self.history(want):
            if sha not in left_out:
                tree = self.objects[sha]["body"]["tree"]
                names = [sha, tree, *self.objects[tree]["body"].values()]
                wanted |= {name: self.objects[name] for name in names}
        return PACK + json.dumps(wanted).encode()

    def take(self, pack: bytes) -> None:
        self.objects |= json.loads(pack.removeprefix(PACK))

    def _put(self, kind: str, body: Any) -> str:
        sha = sha_of(kind, body)
        self.objects[sha] = {"kind": kind, "body": body}
        return sha


class Folder(Store):
    """A store in a folder, with those it borrows from."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path / "stand-in.json"
        kept = json.loads(self._file.read_text()) if self._file.exists() else {"objects": {}, "refs": {}}
        super().__init__(kept["objects"], kept["refs"])
        self._own = dict(self.objects)
        borrowed = path / "objects/info/alternates"
        if borrowed.exists():
            other = Folder(Path(borrowed.read_text().strip()).parent)
            self.objects = {**other.objects, **self.objects}
            self._borrowed = other.objects
        else:
            self._borrowed = {}

    def save(self) -> None:
        own = {name: each for name, each in self.objects.items() if name not in self._borrowed}
        self._file.write_text(json.dumps({"objects": own, "refs": self.refs}))


class GitStandIn(Git):
    """Runs no program. `remote` is the repository on the code host; `outside` does a write there."""

    def __init__(
        self, remote: Callable[[], Store], outside: WriteOutside, call: Callable[[], str] = lambda: ""
    ) -> None:
        """`call` is asked before each contact with the code host what failure it meets, "" for none."""
        super().__init__()
        object.__setattr__(self, "_remote", remote)
        object.__setattr__(self, "_outside", outside)
        object.__setattr__(self, "_call", call)

    async def run(
        self,
        *args: str,
        git_dir: Path | None = None,
        what: str = "",
        stdin: bytes | IO[bytes] = b"",
        env: Mapping[str, str] | None = None,
        config: Mapping[str, str] | None = None,
        access: GitAccess | None = None,
        bounds: Bounds | None = None,
        ok: tuple[int, ...] = (0,),
    ) -> Output:
        data = stdin if isinstance(stdin, bytes) else stdin.read()
        fault = self._call() if args[0] in _REMOTE else ""
        if fault in ("refused", "limited"):
            raise GitFailure(f"{what}: the remote could not be reached", FailureKind.UNREACHABLE)
        code, out = self._command(list(args), git_dir, data, env or {})
        if fault:
            raise GitFailure(f"{what}: the answer was lost", FailureKind.UNREACHABLE)
        if code not in ok:
            raise GitFailure(f"{what or args[0]}: git ended with {code}. Git said: {out}")
        return Output(code, out.encode())

    async def stream(
        self, *args: str, git_dir: Path, stdin: bytes = b"", what: str = "", bounds: Bounds | None = None
    ) -> AsyncGenerator[bytes, None]:
        lines = stdin.decode().split()
        have = [line[1:] for line in lines if line.startswith("^")]
        (want,) = [line for line in lines if not line.startswith("^")]
        yield Folder(git_dir).pack(want, have)

    def _command(
        self, args: list[str], git_dir: Path | None, stdin: bytes, env: Mapping[str, str]
    ) -> tuple[int, str]:
        name = args[0]
        if name == "init":
            (Path(args[-1]) / "objects/pack").mkdir(parents=True, exist_ok=True)
            return 0, ""
        if name == "ls-remote":
            refs = self._remote().refs
            return 0, "".join(f"{refs[ref]}\t{ref}\n" for ref in refs if ref == args[-1])
        assert git_dir is not None
        repository = Folder(git_dir)
        code, out = getattr(self, "_" + name.replace("-", "_"))(repository, args[1:], stdin, env)
        return int(code), str(out)

    # -- the remote ------------------------------------------------------------------------------

    def _fetch(self, here: Folder, args: list[str], stdin: bytes, env: Environment) -> Answer:
        remote = self._remote()
        here.objects |= remote.objects
        kept = {ref: sha for ref, sha in here.refs.items() if not ref.startswith("refs/heads/")}
        here.refs = {**kept, **remote.refs}
        here.save()
        return 0, ""

    def _push(self, here: Folder, args: list[str], stdin: bytes, env: Environment) -> Answer:
        sha, _, ref = args[-1].partition(":")
        lease = next(arg for arg in args if arg.startswith("--force-with-lease=")).rpartition(":")[2]
        remote = self._remote()
        if remote.refs.get(ref, "") != lease:
            raise GitFailure("the branch moved", FailureKind.MOVED)

        def act() -> None:
            remote.take(here.pack(sha, list(remote.refs.values())))
            remote.refs[ref] = sha

        self._outside(f"push {ref}", act, "git.push")
        return 0, ""

    # -- here ------------------------------------------------------------------------------------

    def _rev_parse(self, here: Folder, args: list[str], stdin: bytes, env: Environment) -> Answer:
        name = args[-1].removesuffix("^{commit}^{tree}").removesuffix("^{commit}")
        sha = here.refs.get(name, name)
        if sha not in here.objects:
            return 1, ""
        return 0, here.objects[sha]["body"]["tree"] if args[-1].endswith("^{tree}") else sha

    def _cat_file(self, here: Folder, args: list[str], stdin: bytes, env: Environment) -> Answer:
        assert not args[0].startswith("--batch=") or not stdin.strip(), "no symbolic links here"
        rows = []
        for name in stdin.decode().split():
            found = here.objects.get(name)
            rows.append(f"{name} missing" if found is None else f"{name} {found['kind']} {len(str(found))}")
        return 0, "\n".join(rows)

    def _merge_base(self, here: Folder, args: list[str], stdin: bytes, env: Environment) -> Answer:
        one, other = here.history(args[-2]), here.history(args[-1])
        if "--is-ancestor" in args:
            return int(args[-2] not in other), ""
        common = next((sha for sha in one if sha in other), "")
        return int(not common), common

    def _index_pack(self, here: Folder, args: list[str], stdin: bytes, env: Environment) -> Answer:
        here.take(stdin)
        here.save()
        return 0, ""

    def _update_ref(self, here: Folder, args: list[str], stdin: bytes, env: Environment) -> Answer:
        here.refs[args[0]] = args[1]
        (here.path / args[0]).parent.mkdir(parents=True, exist_ok=True)  # whose name is flushed to the disk
        here.save()
        return 0, ""

    def _commit_tree(self, here: Folder, args: list[str], stdin: bytes, env: Environment) -> Answer:
        sha = here.put_commit(args[0], args[2], stdin.decode(), env)
        here.save()
        return 0, sha

    def _rev_list(self, here: Folder, args: list[str], stdin: bytes, env: Environment) -> Answer:
        return 0, ""

    def _diff_tree(self, here: Folder, args: list[str], stdin: bytes, env: Environment) -> Answer:
        old, new = (here.files(name.removesuffix("^{tree}")) for name in args[-2:])
        raw, counts = "", ""
        for path in sorted(old.keys() | new.keys()):
            if old.get(path) == new.get(path):
                continue
            status = "A" if path not in old else "D" if path not in new else "M"
            before, after = ("100644" if path in side else "000000" for side in (old, new))
            names = [sha_of("blob", side[path]) if path in side else "0" * 40 for side in (old, new)]
            raw += f":{before} {after} {names[0]} {names[1]} {status}\0{path}\0"
            counts += f"{len(new.get(path, ''))}\t{len(old.get(path, ''))}\t{path}\0"
        return 0, raw + (counts if "--numstat" in args else "")
