"""What a sandbox sees: the stage it is started from, and the root that bubblewrap makes out of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot import Limits

WORKSPACE, HOME = "/workspace", "/home/agent"
UPPER_FOLDERS = ("workspace", "home")  # the writable part of a sandbox, and all that a snapshot keeps
BWRAP = "/usr/bin/bwrap"
TMP, SHM = "/tmp", "/dev/shm"  # noqa: S108 - the sandbox's own, not the host's
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {
    "PATH": PATH,
    "HOME": HOME,
    "USER": "agent",
    "LOGNAME": "agent",
    "SHELL": "/bin/sh",
    "LANG": "C.UTF-8",
    "TMPDIR": TMP,
}
SYSTEM_LINKS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
SHARED_ETC = ("ssl", "alternatives", "ld.so.cache", "ca-certificates", "pki", "crypto-policies")
ETC = {
    "passwd": "root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n"
    f"agent:x:1000:1000:agent:{HOME}:/bin/sh\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "group": "root:x:0:\nagent:x:1000:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
    "resolv.conf": "",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "hostname": "sandbox\n",
}
# Imported and not run as a script, for the sake of its cached byte code: every sandbox waits for it.
LAUNCH = "import sys; sys.path.append(sys.argv.pop(1)); import launch; sys.exit(launch.main(sys.argv[1:]))"
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Base:
    """What of the host every sandbox may read, and the Python it offers."""

    folders: tuple[str, ...]  # besides /usr, at the same place inside
    python: str


def base(private: Path, read_only: Sequence[str] = ()) -> Base:
    """`private` is the bot's data folder, which no shared folder may contain."""
    folders = [str(folder.resolve()) for folder in map(Path, read_only) if is_shareable(folder, private)]
    prefix = Path(sys.base_prefix).resolve()
    own = f"{prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if not prefix.is_relative_to("/usr") and is_shareable(prefix, private):
        folders.append(str(prefix))
    system = "/usr/bin/python3"
    return Base(tuple(folders), system if os.access(system, os.X_OK) else own)


def is_shareable(folder: Path, private: Path) -> bool:
    """Never a home, the bot's data, its environment, or what holds one of them."""
    folder = folder.resolve()
    kept = [private.resolve(), Path.home().resolve()]
    if sys.prefix != sys.base_prefix:
        kept.append(Path(sys.prefix).resolve())
    return folder.is_dir() and not any(secret.is_relative_to(folder) for secret in kept)


def launch(user: int | None, ops: Sequence[str], program: Sequence[str]) -> list[str]:
    """The command that runs a program on a stage; see `launch.py`."""
    who = [] if user is None else ["user", str(user)]
    script = [sys.executable, "-I", "-S", "-c", LAUNCH, str(HERE)]
    return [*script, "parent", str(os.getpid()), *who, *system(), *ops, "--", *program]


def system() -> list[str]:
    """The ops that put the host's programs on a stage."""
    ops = ["bind", "/usr", "/usr"]
    for name in SYSTEM_LINKS:
        path = Path("/", name)
        if path.is_symlink():
            ops += ["link", str(path.readlink()), str(path)]
        elif path.is_dir():
            ops += ["bind", str(path), str(path)]
    return ops


def stage(base: Base, given: Mapping[str, Path], overlay: bool, lower: Path, tree: Path) -> list[str]:
    """The ops for a sandbox's stage: what it may read, the kernel's files, its own tree merged."""
    ops = ["bind", "/proc", "/proc", "bind", "/dev", "/dev", "dir", TMP]  # bwrap builds its root in TMP
    ops += ["bind", str(HERE / "supervisor.py"), "/supervisor.py"]
    for folder in base.folders:
        ops += ["bind", folder, folder]
    for number, source in enumerate(given.values()):
        ops += ["bind", str(source), f"/given/{number}"]
    for name in SHARED_ETC:
        if Path("/etc", name).exists():
            ops += ["bind", f"/etc/{name}", f"/etc/{name}"]
    for name, text in ETC.items():
        ops += ["file", f"/etc/{name}", text]
    if not overlay:
        return [*ops, "bind", str(tree / "upper"), "/merged"]
    ops += ["bind", str(lower), "/lower", "bind", str(tree), "/tree"]
    return [*ops, "overlay", "/lower", "/tree/upper", "/tree/work", "/merged"]


def bubblewrap(
    base: Base, given: Mapping[str, Path], limits: Limits, control: int, info: int, seccomp: int
) -> list[str]:
    """The command that makes the sandbox and its process 1. The numbers are inherited descriptors."""
    argv = [BWRAP, "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    argv += ["--unshare-cgroup-try", "--disable-userns", "--uid", "1000", "--gid", "1000"]
    argv += ["--hostname", "sandbox", "--cap-drop", "ALL", "--clearenv", "--new-session"]
    argv += ["--die-with-parent", "--as-pid-1", "--info-fd", str(info), "--seccomp", str(seccomp)]
    argv += ["--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc"]
    for name in SYSTEM_LINKS:
        argv += same(Path("/", name))
    argv += ["--proc", "/proc", "--dev", "/dev", *tmpfs(SHM, share(limits, 8)), "--remount-ro", "/dev"]
    argv += [*tmpfs(TMP, share(limits, 2)), *tmpfs("/run", 16), "--symlink", TMP, "/var/tmp"]  # noqa: S108 - as TMP
    for folder in base.folders:  # after the above, which would cover one that lies there
        argv += ["--ro-bind", folder, folder]
    for number, place in enumerate(given):
        argv += ["--ro-bind", f"/given/{number}", place]
    argv += ["--ro-bind", "/supervisor.py", "/supervisor.py"]
    argv += ["--bind", "/merged/workspace", WORKSPACE, "--bind", "/merged/home", HOME]
    argv += ["--remount-ro", "/", "--chdir", WORKSPACE]
    argv += [base.python, "-I", "-S", "/supervisor.py"]
    return [*argv, str(control), str(limits.processes), str(limits.disk_mib << 20)]


def same(path: Path) -> list[str]:
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind", str(path), str(path)] if path.is_dir() else []


def tmpfs(place: str, mib: int) -> list[str]:
    return ["--perms", "1777", "--size", str(mib << 20), "--tmpfs", place]


def share(limits: Limits, part: int) -> int:
    """A tmpfs is memory: its size in MiB as a part of the sandbox's."""
    return max(16, min(limits.memory_mib // part, 2048))
