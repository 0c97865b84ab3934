"""Stand on a stage and become a program: a script of the provider's, with the standard library alone.

    python -I -S launch.py OP... -- PROGRAM ARGUMENT...

The stage is a root of its own in a mount namespace of its own. It holds what the operations put there and
nothing else of the host, so whatever the program is talked into doing, there is nothing else to reach. When
started by root the program runs as the given user; otherwise inside a user namespace of the starter's own.

    parent PID            die with this process
    user UID              become this user (root only)
    cgroup FILE           join by writing to this cgroup.procs
    cpus LIST             run on these processors only ("0,1")
    fsize BYTES           no file grows beyond this
    nofile NUMBER         no process opens more files than this
    bind SOURCE PLACE     the host's SOURCE, with what is mounted below it
    dir PLACE · file PLACE TEXT · link TARGET PLACE
    overlay LOWER UPPER WORK PLACE     all on the stage
    override              whatever the modes of this user's files say (in a user namespace of its own)
"""

# Importing pathlib would be half of this script's start-up time; executing programs is its purpose.
# ruff: noqa: PTH103, PTH112, PTH120, PTH123, PTH211, S606

from __future__ import annotations

import ctypes
import os
import resource
import sys

TYPE_CHECKING = False  # importing typing for it would be a third of this script's start-up time
if TYPE_CHECKING:
    from typing import NoReturn

MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 4096, 16384, 1 << 18
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAPABILITY_VERSION, CAP_DAC_OVERRIDE = 0x20080522, 1
SIGKILL = 9
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
STAGE = "/tmp"  # noqa: S108 - only where the stage is mounted, in a namespace nobody else sees
ARITY = {"bind": 2, "link": 2, "file": 2, "overlay": 4, "override": 0}
REFUSED_NAMESPACE, REFUSED_OVERLAY, REFUSED = 71, 72, 73

Op = tuple[str, tuple[str, ...]]
libc = ctypes.CDLL(None, use_errno=True)


class Refused(Exception):
    """The kernel said no: which step, and the exit code that tells the provider what to advise."""

    def __init__(self, step: str, reason: str, code: int = REFUSED) -> None:
        super().__init__(f"{step}: {reason}")
        self.code = code


def call(step: str, code: int, function: str, *arguments: object) -> None:
    if getattr(libc, function)(*arguments) != 0:
        raise Refused(step, os.strerror(ctypes.get_errno()), code)


def mount(
    step: str, source: str, target: str, kind: str, flags: int, data: str = "", code: int = REFUSED
) -> None:
    texts = [text.encode() or None for text in (source, target, kind, data)]
    call(step, code, "mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])


def parse(tokens: list[str]) -> list[Op]:
    ops: list[Op] = []
    at = 0
    while at < len(tokens):
        end = at + 1 + ARITY.get(tokens[at], 1)
        ops.append((tokens[at], tuple(tokens[at + 1 : end])))
        at = end
    return ops


def one(ops: list[Op], name: str) -> str | None:
    return next((arguments[0] for op, arguments in ops if op == name), None)


def limit(ops: list[Op]) -> None:
    for op, arguments in ops:
        if op == "cgroup":
            write(arguments[0], "0")
        elif op == "cpus":
            os.sched_setaffinity(0, {int(cpu) for cpu in arguments[0].split(",")})
        elif op == "fsize":
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(arguments[0]), int(arguments[0])))
        elif op == "nofile":
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, int(arguments[0])), int(arguments[0])))


def write(path: str, text: str, folder: int | None = None) -> None:
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o666, dir_fd=folder)) as file:
        file.write(text)


def own_namespaces(proc: int) -> None:
    """A user namespace in which this user, and nobody else, exists, and is allowed to mount.

    `proc` is the host's /proc, which the stage may be without.
    """
    user, group = os.geteuid(), os.getegid()
    call("user namespace", REFUSED_NAMESPACE, "unshare", CLONE_NEWUSER | CLONE_NEWNS)
    libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # else the files below belong to root
    try:
        write("self/setgroups", "deny", proc)
        write("self/uid_map", f"{user} {user} 1", proc)
        write("self/gid_map", f"{group} {group} 1", proc)
    except OSError as error:
        raise Refused("user namespace", str(error), REFUSED_NAMESPACE) from error


def quarter() -> dict[str, str]:
    """Of the watches on files that one user has in all, what a sandbox of an ordinary user's may take."""
    names = [f"/proc/sys/user/max_inotify_{what}" for what in ("instances", "watches")]
    return {name: str(int(read(name)) // 4) for name in names if os.access(name, os.R_OK)}


def leave_the_rest(supplies: dict[str, str]) -> None:
    """Bound this user namespace, unless settings of the kernel cannot be written, as in some containers."""
    for name, value in supplies.items():
        try:
            write(name, value)
        except OSError:
            return


def read(path: str) -> str:
    with open(path) as file:
        return file.read()


def build(ops: list[Op]) -> None:
    """Make the stage and stand on it; the host's root is gone afterwards."""
    mount("private mounts", "none", "/", "", MS_REC | MS_PRIVATE)
    sources = {}
    for op, arguments in ops:  # opened before the stage covers the place where they may lie
        if op == "bind":
            sources[arguments] = os.open(arguments[0], os.O_PATH)
    mount("stage", "tmpfs", STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=4m")
    for op, arguments in ops:
        if op == "bind":
            bind(sources[arguments], arguments[0], STAGE + arguments[1])
        elif op == "dir":
            os.makedirs(STAGE + arguments[0], exist_ok=True)
        elif op == "file":
            os.makedirs(os.path.dirname(STAGE + arguments[0]), exist_ok=True)
            write(STAGE + arguments[0], arguments[1])
        elif op == "link":
            os.symlink(arguments[0], STAGE + arguments[1])
    os.chdir(STAGE)
    call("pivot_root", REFUSED, "syscall", ctypes.c_long(PIVOT_ROOT[os.uname().machine]), b".", b".")
    call("leave the old root", REFUSED, "umount2", b".", MNT_DETACH)
    os.chdir("/")


def bind(source: int, name: str, place: str) -> None:
    if os.path.isdir(f"/proc/self/fd/{source}"):
        os.makedirs(place, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        write(place, "")
    mount(f"bind {name}", f"/proc/self/fd/{source}", place, "", MS_BIND | MS_REC)


def become(user: int) -> None:
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError as error:
        raise Refused(f"become user {user}", str(error)) from error


def lay(lower: str, upper: str, work: str, place: str) -> None:
    options = f"lowerdir={lower},upperdir={upper},workdir={work},userxattr"
    os.makedirs(place, exist_ok=True)
    try:
        mount("overlay", "overlay", place, "overlay", 0, options + ",volatile")
    except Refused:  # kernels before 5.10 know no "volatile"
        mount("overlay", "overlay", place, "overlay", 0, options, REFUSED_OVERLAY)


def override() -> None:
    """Of all rights in its user namespace the program gets one: modes are nothing to it.

    They belong to what a sandbox made, and `chmod 000` must not hide that from who counts or removes it. Of
    the files of other users, who do not exist in the namespace, it may do no more than before.
    """
    only = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)(
        only, only, only
    )  # effective, permitted and inheritable; then the high halves
    call("rights over files", REFUSED, "capset", header, sets)
    arguments = (PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)  # ambient: else exec takes it away
    call("rights over files", REFUSED, "prctl", PR_CAP_AMBIENT, *map(ctypes.c_ulong, arguments))


def die_with(parent: int) -> None:
    """After the last change of user, which forgets it; and the parent may be gone already."""
    call("die with parent", REFUSED, "prctl", PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise Refused("die with parent", "the bot is gone")


def run(ops: list[Op], program: list[str]) -> NoReturn:
    user = one(ops, "user")
    overlays = [arguments for op, arguments in ops if op == "overlay"]
    overriding = any(op == "override" for op, _ in ops)
    limit(ops)
    proc = os.open("/proc", os.O_PATH)
    if user is None:
        supplies = quarter()
        own_namespaces(proc)
        leave_the_rest(supplies)
    else:
        call("mount namespace", REFUSED_NAMESPACE, "unshare", CLONE_NEWNS)
    for overlay in overlays:
        ops.insert(0, ("dir", (overlay[3],)))
    build(ops)
    if user is not None:
        become(int(user))
        if overlays or overriding:
            own_namespaces(proc)
    for overlay in overlays:
        lay(*overlay)
    if overriding:
        override()
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    die_with(int(one(ops, "parent") or 0))
    os.execv(program[0], program)


def main(arguments: list[str]) -> int:
    split = arguments.index("--")
    try:
        run(parse(arguments[:split]), arguments[split + 1 :])
    except Refused as refused:
        sys.stderr.write(f"{refused}\n")
        return refused.code
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
