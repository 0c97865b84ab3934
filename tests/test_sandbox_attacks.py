"""A program with many attacks runs inside of a sandbox, and once outside of it, where they work.

What each must get stands beside it in `data/attacks.py`. An attack that gets the same everywhere would prove
nothing, so that fails as well; and so does one that the host notices.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sandbox_kit import ATTACKS, LIMITS, a_provider, all_ended, attacks, sh, wait_for_pidfds

from bot import Sandbox, SandboxSpec
from bot.sandbox_io import run, write_files
from plugins.sandbox_runner import seccomp
from plugins.sandbox_runner.bounds import most_open_files
from plugins.sandbox_runner.local import LocalProvider

pytestmark = pytest.mark.proof("inside")

ALLOW_ALL = struct.pack("=HBBI", 6, 0, 0, 0x7FFF0000)
IS_ROOT = os.geteuid() == 0
IPC_CREAT, IPC_RMID = 0o1000, 0
CAP_SYS_RESOURCE, CAP_SYSLOG = 1 << 24, 1 << 34
libc = ctypes.CDLL(None, use_errno=True)


class Bait:
    """A folder that anybody may use, and a descriptor that every program of this process inherits."""

    def __init__(self) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="threadsmith-bait-"))
        self.place.chmod(0o777)
        self.secret = "host-" + secrets.token_hex(8)
        self.canary, self.doomed = self.place / "canary", self.place / "doomed"
        for file in (self.canary, self.doomed):
            file.write_text(self.secret)
            file.chmod(0o666)
        self.inherited = os.open(self.canary, os.O_RDONLY)
        os.set_inheritable(self.inherited, True)

    def close(self) -> None:
        os.close(self.inherited)
        shutil.rmtree(self.place)


class Host:
    """What there is to attack on the host, open to everybody, and eyes on all of it."""

    def __init__(self, bait: Bait, other: Path, victims_user: int) -> None:
        self.place, self.secret, self.inherited = bait.place, bait.secret, bait.inherited
        self.canary, self.doomed = bait.canary, bait.doomed
        self.mark, self.daemon = (f"{digit}{secrets.randbelow(10**9):09d}" for digit in "76")
        user = victims_user if IS_ROOT else None
        self.victim = subprocess.Popen(
            ["sleep", self.mark], user=user, start_new_session=True, pass_fds=[self.inherited]
        )
        self.servers = {name: bind() for name, bind in self._servers().items()}
        self.shared = secrets.randbelow(2**30) + 1
        self._segment = libc.shmget(self.shared, 4096, IPC_CREAT | 0o666)
        self.queue = f"threadsmith-{self.mark}"
        attacks.call(240, 180, self.queue.encode(), os.O_CREAT | os.O_RDWR, 0o666, 0)
        self._sandboxes, self._other = other.parent, other
        self._events = libc.inotify_init1(os.O_NONBLOCK)
        libc.inotify_add_watch(self._events, os.fsencode(self.place), 0xFFF)
        self._before = self._state()
        self._drain()

    def _servers(self) -> dict[str, Callable[[], socket.socket]]:
        self.abstract, self.socket = f"threadsmith-{self.mark}", self.place / "socket"
        return {
            "tcp": lambda: server(socket.AF_INET, ("127.0.0.1", 0)),
            "tcp6": lambda: server(socket.AF_INET6, ("::1", 0)),
            "udp": lambda: server(socket.AF_INET, ("127.0.0.1", 0), socket.SOCK_DGRAM),
            "abstract": lambda: server(socket.AF_UNIX, f"\0{self.abstract}"),
            "socket": lambda: server(socket.AF_UNIX, str(self.socket)),
        }

    def targets(self, folder: str, inside: bool) -> dict[str, Any]:
        ports = {name: self.servers[name].getsockname()[1] for name in ("tcp", "tcp6", "udp")}
        return {
            **ports,
            "folder": folder,
            "secret": self.secret,
            "canary": str(self.canary),
            "doomed": str(self.doomed),
            "other": str(self._other),
            "sandboxes": str(self._sandboxes),
            "code": str(ATTACKS),
            "abstract": self.abstract,
            "socket": str(self.socket),
            "shared": self.shared,
            "queue": self.queue,
            "victim": self.victim.pid,
            "first": 1 if inside else self.victim.pid,
            "limits": {
                "processes": LIMITS.processes,
                "file_bytes": LIMITS.disk_mib << 20,
                "open_files": most_open_files(LIMITS),
                "core_bytes": 0,
            },
            "mark": self.mark,
            "daemon": self.daemon,
        }

    def harm(self) -> set[str]:
        """What was done to the host since the last look."""
        found = {name for name, each in self.servers.items() if reached(each)}
        found |= self._drain()
        now, before = self._state(), self._before
        found |= {name for name, value in now.items() if value != before[name]}
        self._before = now
        self._drain()
        return found

    def _drain(self) -> set[str]:
        with suppress(BlockingIOError):
            return {"files looked at"} if os.read(self._events, 65536) else set()
        return set()

    def _state(self) -> dict[str, object]:
        return {
            "victim": self.victim.poll(),
            "its priority": self._priority(),
            "canary": self.canary.read_bytes() if self.canary.exists() else None,
            "its mode": self.canary.stat().st_mode,
            "its times": self.canary.stat().st_mtime_ns,
            "doomed": self.doomed.exists(),
            "made": (self.place / "made").exists(),
        }

    def _priority(self) -> int | None:
        with suppress(ProcessLookupError):
            return os.getpriority(os.PRIO_PROCESS, self.victim.pid)
        return None

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        for each in self.servers.values():
            each.close()
        libc.shmctl(self._segment, IPC_RMID, 0)
        attacks.call(241, 181, self.queue.encode())
        os.close(self._events)


def server(family: int, address: object, kind: int = socket.SOCK_STREAM) -> socket.socket:
    each = socket.socket(family, kind)
    each.bind(address)  # type: ignore[arg-type]  # a tuple or a name, as the family wants
    each.setblocking(False)
    if kind == socket.SOCK_STREAM:
        each.listen()
    return each


def reached(server: socket.socket) -> bool:
    try:
        if server.type == socket.SOCK_DGRAM:
            return bool(server.recv(100))
        server.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@pytest.fixture
def bait() -> Iterator[Bait]:
    bait = Bait()
    yield bait
    bait.close()


@pytest.fixture
async def provider(tmp_path: Path, bait: Bait) -> AsyncIterator[LocalProvider]:
    """Starts with the bait laid out, so that whatever is inherited is inherited."""
    async with a_provider(tmp_path / "data") as provider:
        yield provider


def outcomes(lines: bytes) -> dict[str, str]:
    said = [json.loads(line) for line in lines.splitlines()]
    return {each["name"]: each["outcome"] for each in said}


async def inside(sandbox: Sandbox, host: Host) -> dict[str, str]:
    await write_files(sandbox, sandbox.workspace, {"attacks.py": ATTACKS.read_bytes()})
    targets = json.dumps(host.targets("/workspace", inside=True))
    done = await run(sandbox, ["python3", "-I", "-S", "attacks.py", targets])
    assert done.code == 0, done.stderr
    return outcomes(done.stdout)


async def outside(folder: Path, host: Host) -> dict[str, str]:
    """By the bot's own user; root in namespaces of its own, so that what works does not stay."""
    folder.mkdir()
    careful = ["unshare", "--mount", "--uts", "--"] if IS_ROOT else []
    targets = json.dumps(host.targets(str(folder), inside=False))
    process = await asyncio.create_subprocess_exec(
        *careful,
        *(sys.executable, "-I", "-S", str(ATTACKS), targets),
        stdout=subprocess.PIPE,
        pass_fds=[host.inherited],
        start_new_session=True,
    )
    lines, _ = await process.communicate()
    return outcomes(lines)


@pytest.fixture
async def neighbour(provider: LocalProvider) -> Sandbox:
    return await provider.create(SandboxSpec(LIMITS))


@pytest.fixture
async def sandbox(provider: LocalProvider) -> Sandbox:
    return await provider.create(SandboxSpec(LIMITS))


@pytest.fixture
def host(tmp_path: Path, bait: Bait, neighbour: Sandbox, sandbox: Sandbox) -> Iterator[Host]:
    trees = tmp_path / "data" / "sandboxes"
    other = trees / neighbour.id / "tree" / "upper" / "workspace" / "file"
    host = Host(bait, other, (trees / sandbox.id / "tree").stat().st_uid)
    yield host
    host.close()


async def test_no_attack_gets_anywhere(
    provider: LocalProvider,
    neighbour: Sandbox,
    sandbox: Sandbox,
    host: Host,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Not even while it goes on is anything of the host touched; and nothing is left of it afterwards."""
    mounts = Path("/proc/self/mountinfo").read_text()
    busy = await neighbour.exec(["sh", "-c", f"echo {host.secret} > file; echo up; cat"])
    told = busy.stdout()
    assert await anext(told) == b"up\n"
    got = await inside(sandbox, host)
    assert got.keys() == attacks.ATTACKS.keys()
    assert {name: got[name] for name, each in attacks.ATTACKS.items() if got[name] not in each.refused} == {}
    assert host.harm() == set()
    daemon = wait_for_pidfds(f"sleep\0{host.daemon}", count=1)
    await sandbox.terminate()
    assert all_ended(daemon, seconds=0)
    await busy.write(b"still here\n")
    assert await anext(told) == b"still here\n"
    assert await sh(neighbour, "cat file") == f"{host.secret}\n"
    assert [entry.name for entry in (tmp_path / "data" / "sandboxes").iterdir()] == [neighbour.id]
    assert Path("/proc/self/mountinfo").read_text() == mounts
    record_property("cases", len(got))


# These are root's to do, outside as well; the same run as root shows that they are more than refused there.
OF_ROOT = """
write_a_program_of_the_host write_the_list_of_accounts read_how_the_kernel_uses_memory pull_the_kernels_alarm
make_a_device_file_of_a_disk make_a_device_file_of_memory have_the_kernel_start_a_program_at_a_crash
drop_the_caches_of_the_host join_groups go_first_on_the_processor never_leave_the_processor make_an_interface
add_an_address read_raw_packets call_syslog call_vhangup call_acct call_swapoff call_reboot call_sethostname
call_setdomainname call_pivot_root call_unshare_mount call_unshare_network call_move_mount call_fsopen
call_fsmount call_fspick take_the_right_to_administer keep_a_right_across_programs give_a_program_rights
mislead_the_overlay
"""
OF_A_RESOURCEFUL_ROOT = {"be_spared_when_memory_is_short"}
OF_A_NETWORK = {"find_an_interface", "find_a_way_out", "learn_of_a_name_server"}
OF_A_TALKATIVE_KERNEL = {"find_out_where_the_kernel_lies"}
SEEN = {"canary", "its mode", "its times", "doomed", "made", "files looked at", "victim", "its priority"}
SEEN |= {"tcp", "tcp6", "udp", "abstract", "socket"}


def without_control() -> set[str]:
    """What even outside is refused to us on this machine."""
    status = Path("/proc/self/status").read_text()
    rights = int(status.partition("CapEff:\t")[2].split()[0], 16)
    hidden = Path("/proc/sys/kernel/kptr_restrict").read_text().strip() == "2"
    reasons = [
        (OF_A_RESOURCEFUL_ROOT, not rights & CAP_SYS_RESOURCE),
        (OF_A_NETWORK, [name for _, name in socket.if_nameindex()] == ["lo"]),
        (OF_A_TALKATIVE_KERNEL, hidden or not rights & CAP_SYSLOG),
        (set(OF_ROOT.split()), not IS_ROOT),
    ]
    return set().union(*(names for names, true in reasons if true))


async def test_without_its_guard_each_attack_gets_further_and_the_host_shows_it(
    provider: LocalProvider, neighbour: Sandbox, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the attacks would prove nothing. Once without the filter, once without a sandbox."""
    await sh(neighbour, f"echo {host.secret} > file")
    monkeypatch.setattr(seccomp, "program", lambda: ALLOW_ALL)
    runs = [await inside(await provider.create(SandboxSpec(LIMITS)), host)]
    assert host.harm() == set()
    runs.append(await outside(tmp_path / "outside", host))
    feeble = {
        name
        for name, each in attacks.ATTACKS.items()
        if not each.harmless and all(got[name] in each.refused for got in runs)
    }
    left_out = without_control()
    print("without a control on this machine:", *sorted(left_out))
    assert feeble - left_out == set()
    assert host.harm() == SEEN
