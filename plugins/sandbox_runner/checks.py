"""What `threadsmith doctor` tries of this machine: each thing a local sandbox needs, and what to type."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
from pathlib import Path

from bot import Finding, Sandbox, SandboxError, SandboxSpec, Verdict
from plugins.sandbox_runner import layout, seccomp, users
from plugins.sandbox_runner.cgroups import CONTROLLERS, Hierarchy
from plugins.sandbox_runner.local import LocalProvider
from plugins.sandbox_runner.settings import Settings
from plugins.sandbox_runner.starting import NO_NAMESPACES
from plugins.sandbox_runner.trees import TAR

KERNEL = Path("/proc/sys")
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
NEEDED, WELCOME = ("git",), ("python3", "node")  # inside of a sandbox
_INSTALL = "Debian and Ubuntu: sudo apt-get install {0}; Fedora: sudo dnf install {0}"
_SECONDS = 10
# Each program's first line; a program that is not there says nothing.
_ASK_PROGRAMS = (
    'for each; do printf "%s\\t%s\\n" "$each" "$("$each" --version 2>/dev/null | head -n 1)"; done'
)


async def check_machine(provider: LocalProvider, settings: Settings) -> list[Finding]:
    """In the order in which a sandbox needs them: the first broken one is the one to mend."""
    try:
        alone = [*await asyncio.to_thread(_parts, settings), *_groups(provider.hierarchy, settings)]
        return [*alone, *await _sandbox(provider, settings)]
    finally:
        await provider.close()


def _parts(settings: Settings) -> list[Finding]:
    return [_program("bubblewrap", layout.BWRAP), _program("tar", TAR), _seccomp(), _user(settings)]


def _program(name: str, path: str) -> Finding:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        why = error.strerror if isinstance(error, OSError) else "it fails or hangs"
        return Finding(name, Verdict.BROKEN, f"{path} cannot be run: {why}", _INSTALL.format(name))
    return Finding(name, Verdict.OK, done.stdout.decode(errors="replace").partition("\n")[0])


def _seccomp() -> Finding:
    try:
        seccomp.program()
        actions = (KERNEL / "kernel/seccomp/actions_avail").read_text().split()
    except SandboxError as error:
        return Finding("system call filter", Verdict.BROKEN, str(error), "Run the bot on such a machine.")
    except OSError:
        actions = []
    if "errno" not in actions:
        fix = "Boot a kernel with CONFIG_SECCOMP_FILTER; those of all distributions have it."
        return Finding("system call filter", Verdict.BROKEN, "the kernel offers no seccomp filter", fix)
    return Finding("system call filter", Verdict.OK, f"seccomp, a table for {platform.machine()}")


def _user(settings: Settings) -> Finding:
    what, first, count = "sandbox users", settings.sandbox_user, settings.sandbox_users
    if os.geteuid() != 0:
        found = (
            f"sandboxes run as the bot's own user {os.geteuid()}: strangers to the host by namespaces alone"
        )
        fix = "Start the bot as root, and each sandbox is a user of its own, or give it a user of its own."
        return Finding(what, Verdict.BEST_EFFORT, found, fix)
    if not _mapped(first, count):
        fix = (
            f"Let this container map user ids {first} to {first + count - 1}, or set sandbox_user and "
            "sandbox_users in [sandbox_runner] to free ones that it maps: cat /proc/self/uid_map"
        )
        return Finding(what, Verdict.BROKEN, f"{first} to {first + count - 1} do not exist here", fix)
    taken = sum(not users.is_nobody(user) for user in range(first, first + count))
    if taken:
        fix = f"Set sandbox_user in [sandbox_runner] to the first of {count} ids without an account."
        return Finding(what, Verdict.BEST_EFFORT, f"{taken} of {count} from {first} on have accounts", fix)
    return Finding(what, Verdict.OK, f"{count} from {first} on")


def _mapped(first: int, count: int) -> bool:
    lines = [list(map(int, line.split())) for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return any(inside <= first and first + count <= inside + length for inside, _, length in lines)


def _groups(hierarchy: Hierarchy | None, settings: Settings) -> list[Finding]:
    held = {} if hierarchy is None else hierarchy.parents
    missing = [name for name in CONTROLLERS if name not in held]
    if hierarchy is not None and not missing:
        found = f"version {hierarchy.version}: {', '.join(CONTROLLERS)}"
        return [Finding("control groups", Verdict.OK, found)]
    fix = (
        "Start the bot as root on the host. In Docker: add --privileged, or "
        "--cgroupns=host -v /sys/fs/cgroup:/sys/fs/cgroup:rw."
    )
    if os.geteuid() != 0:
        fix += f" With version 1 this does, too: {_own_groups(settings)}"
    found = f"this user may not use {', '.join(missing)}, so these are watched or only suggested"
    return [Finding("control groups", Verdict.BEST_EFFORT, found, fix)]


def _own_groups(settings: Settings) -> str:
    folders = " ".join(f"/sys/fs/cgroup/{name}/{settings.cgroup}" for name in CONTROLLERS)
    return f"sudo mkdir -p {folders} && sudo chown {os.geteuid()} {folders}"


async def _sandbox(provider: LocalProvider, settings: Settings) -> list[Finding]:
    """A real one, made, used and ended."""
    try:
        sandbox = await provider.create(SandboxSpec(settings.limits))
    except SandboxError as error:
        return [_unmade(str(error))]
    try:
        inside = await _programs(sandbox)
    finally:
        await sandbox.terminate()
    overlay = Finding("overlay", Verdict.OK, "in a user namespace, on the disk of the data folder")
    if not provider.overlay:
        fix = (
            "Put `data` on ext4, xfs, btrfs or a tmpfs, with Linux 5.11 or later: df -T shows what it is on."
        )
        overlay = Finding("overlay", Verdict.BEST_EFFORT, "refused; plain folders take its place", fix)
    return [Finding("a sandbox", Verdict.OK, "made, used and ended"), overlay, *inside]


def _unmade(said: str) -> Finding:
    if said.startswith(NO_NAMESPACES):
        why = said.removeprefix(NO_NAMESPACES).strip(" ()")
        return Finding("user namespaces", Verdict.BROKEN, f"refused: {why}", _namespaces_fix())
    return Finding("a sandbox", Verdict.BROKEN, "it cannot be made", said)


def _namespaces_fix() -> str:
    """The one line that helps here, where the kernel says why; else all there are."""
    if _setting("user/max_user_namespaces") == "0":
        return "sudo sysctl -w user.max_user_namespaces=15000"
    if _setting("kernel/unprivileged_userns_clone") == "0":
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1"
    if _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, "
            "or give bwrap and Python an AppArmor profile with `userns`"
        )
    if any(mark.exists() for mark in CONTAINER_MARKS):
        return (
            "Start the bot's container with --security-opt seccomp=unconfined "
            "--security-opt apparmor=unconfined --cap-add SYS_ADMIN"
        )
    return NO_NAMESPACES


def _setting(name: str) -> str:
    try:
        return (KERNEL / name).read_text().strip()
    except OSError:
        return ""


async def _programs(sandbox: Sandbox) -> list[Finding]:
    """What of the host's programs an agent finds."""
    names = (*NEEDED, *WELCOME)
    process = await sandbox.exec(["/bin/sh", "-c", _ASK_PROGRAMS, "sh", *names], timeout_seconds=_SECONDS)
    said = b"".join([chunk async for chunk in process.stdout()]).decode(errors="replace")
    await process.wait()
    versions = dict(line.split("\t", 1) for line in said.splitlines() if "\t" in line)
    return [_inside(name, versions.get(name, "").strip()) for name in names]


def _inside(name: str, version: str) -> Finding:
    what = f"{name} in a sandbox"
    if version:
        return Finding(what, Verdict.OK, version)
    package = "nodejs" if name == "node" else name
    fix = f"{_INSTALL.format(package)}; or name its folder in read_only of [sandbox_runner]"
    return Finding(what, Verdict.BROKEN if name in NEEDED else Verdict.BEST_EFFORT, "not there", fix)
