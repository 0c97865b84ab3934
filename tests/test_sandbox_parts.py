"""Parts of the local provider a running sandbox shows too little of: filter, protocol, control groups."""

from __future__ import annotations

import array
import asyncio
import os
import secrets
import socket
import struct
import tempfile
from collections.abc import AsyncIterator, Callable
from errno import EAFNOSUPPORT, ENOSYS, EPERM
from pathlib import Path
from typing import Any

import pytest
from sandbox_kit import attacks

from bot import Limits, SandboxError, SandboxGone
from plugins.sandbox_runner import egress, seccomp
from plugins.sandbox_runner.cgroups import find, settings
from plugins.sandbox_runner.control import Control, encode
from plugins.sandbox_runner.supervisor import EXITED, FAILED, READY, REPLY, STARTED

IPPROTO_MPTCP = 262
LIMITS = Limits(memory_mib=100, cores=1.5, disk_mib=10, processes=20, wall_seconds=60)
ARCHES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOWED = "allowed"
Inside = tuple[Control, socket.socket]


# -- the filter, run by an interpreter of the kernel's language --------------------------------------


def verdict(machine: str, call: int, *arguments: int, arch: int | None = None) -> int | str:
    """An errno, or ALLOWED."""
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=IIQ6Q", call, ARCHES[machine] if arch is None else arch, 0, *padded)
    steps = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))
    loaded, at = 0, 0
    while True:
        code, if_true, if_false, value = steps[at]
        at += 1
        if code == 0x20:
            (loaded,) = struct.unpack_from("=I", data, value)
        elif code == 0x06:
            return ALLOWED if value == 0x7FFF0000 else value & 0xFFFF
        else:
            yes = {0x15: loaded == value, 0x35: loaded >= value, 0x45: bool(loaded & value)}[code]
            at += if_true if yes else if_false


@pytest.mark.parametrize(
    ("machine", "mount", "read", "clone", "open_socket", "ioctl"),
    [("x86_64", 165, 0, 56, 41, 16), ("aarch64", 40, 63, 220, 198, 29)],
)
def test_the_filter_refuses_and_allows(
    machine: str, mount: int, read: int, clone: int, open_socket: int, ioctl: int
) -> None:
    assert verdict(machine, mount) == EPERM
    assert verdict(machine, read) == ALLOWED
    assert verdict(machine, 435) == ENOSYS  # clone3, whose flags are out of sight
    assert verdict(machine, clone, 0x11) == ALLOWED
    assert verdict(machine, clone, 0x003D0F00) == ALLOWED  # a thread
    for namespace in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(machine, clone, namespace | 0x11) == EPERM
    assert [verdict(machine, open_socket, family) for family in (1, 2, 10, 16)] == [ALLOWED] * 4
    assert [verdict(machine, open_socket, family) for family in (0, 3, 17, 38, 40, 44)] == [EAFNOSUPPORT] * 6
    assert [verdict(machine, ioctl, 0, request) for request in (0x5412, 0x541C, 0x5413)] == [
        EPERM,
        EPERM,
        ALLOWED,
    ]


@pytest.mark.proof("inside")
@pytest.mark.parametrize("machine", ARCHES)
def test_the_filter_alone_refuses_each_call_that_is_attacked(
    machine: str, record_property: Callable[[str, object], None]
) -> None:
    """Whatever rights there are besides: of each, that it is refused elsewhere must not hide a lost rule."""
    both = {name: (numbers[machine == "aarch64"], numbers[2]) for name, numbers in attacks.CALLS.items()}
    calls = {name: (number, errno) for name, (number, errno) in both.items() if number is not None}
    got = {name: verdict(machine, number) for name, (number, _) in calls.items()}
    assert got == {name: errno for name, (_, errno) in calls.items()}
    record_property("cases", len(calls))


@pytest.mark.proof("inside")
def test_every_call_the_filter_refuses_is_attacked() -> None:
    tried = {numbers[:2] for numbers in attacks.CALLS.values()}
    rules = {**seccomp._DENIED, **seccomp._MISSING}
    assert {name for name, numbers in rules.items() if numbers not in tried} == set()


@pytest.mark.proof("inside")
def test_other_tables_of_calls_lead_nowhere() -> None:
    assert verdict("x86_64", 0, arch=0x40000003) == ENOSYS  # 32 bit
    assert verdict("x86_64", 0x40000000 | 165) == ENOSYS  # x32


def test_an_architecture_without_a_table_is_refused() -> None:
    with pytest.raises(SandboxError, match="riscv64"):
        seccomp.program("riscv64")


def test_the_kernel_takes_both_filters_as_well_formed() -> None:
    for machine in ARCHES:
        steps = list(struct.iter_unpack("=HBBI", seccomp.program(machine)))
        assert len(steps) < 4096
        assert all(
            at + 1 + max(step[1], step[2]) < len(steps) for at, step in enumerate(steps) if step[0] & 7 == 5
        )


# -- a supervisor that was taken over ----------------------------------------------------------------


class Ends:
    """Remembers how a program ended."""

    code: int | None = None

    def exited(self, code: int) -> None:
        self.code = code


@pytest.fixture
async def unready() -> AsyncIterator[Inside]:
    host, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control = Control(host)
    yield control, inside
    control.close("the test is over")
    inside.close()


@pytest.fixture
async def inside(unready: Inside, monkeypatch: pytest.MonkeyPatch) -> Inside:
    control, hostile = unready
    with a_listener() as listener:
        monkeypatch.setattr(egress, "GATEWAY", listener.getsockname())
        send(hostile, REPLY.pack(READY, 0, 0), listener.fileno())
    await control.ready()
    return unready


def a_listener(
    *options: int, family: int = socket.AF_INET, protocol: int = 0, host: str = "127.0.0.1"
) -> socket.socket:
    try:
        listener = socket.socket(family, socket.SOCK_STREAM, protocol)
    except OSError as error:
        pytest.skip(f"this kernel has no such socket: {error}")
    for option in options:
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
    listener.bind(f"\0{secrets.token_hex(8)}" if family == socket.AF_UNIX else (host, 0))
    listener.listen()
    return listener


def bound(kind: int) -> socket.socket:
    each = socket.socket(socket.AF_INET, kind)
    each.bind(("127.0.0.1", 0))
    return each


def send(inside: socket.socket, record: bytes, *descriptors: int) -> None:
    inside.sendmsg([record], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])


def open_descriptors() -> list[str]:
    return os.listdir("/proc/self/fd")


async def start(control: Control, ends: Ends) -> asyncio.Task[int]:
    starting = asyncio.create_task(control.start(ends, ["true"], "/", {}, [0, 1, 2]))
    await asyncio.sleep(0)
    return starting


@pytest.mark.proof("inside")
@pytest.mark.parametrize(
    "record",
    [
        b"x",
        b"x" * 1000,
        REPLY.pack(READY, 0, 0),
        REPLY.pack(STARTED, 7, 0),
        REPLY.pack(FAILED, 0, 2),
        REPLY.pack(EXITED, 1, 0),  # before it was started
        REPLY.pack(READY, 1, 0),
        REPLY.pack(99, 1, 0),
    ],
)
async def test_a_record_nobody_asked_for_ends_the_talk(inside: Inside, record: bytes) -> None:
    control, hostile = inside
    starting = await start(control, Ends())
    hostile.send(record)
    assert "broke the protocol" in await control.ended
    with pytest.raises(SandboxGone):
        await starting


@pytest.mark.proof("inside")
@pytest.mark.parametrize("code", [-1, 256, 2**31 - 1])
async def test_an_impossible_exit_code_ends_the_talk(inside: Inside, code: int) -> None:
    control, hostile = inside
    ends = Ends()
    starting = await start(control, ends)
    hostile.send(REPLY.pack(STARTED, 1, 0))
    assert await starting == 1
    hostile.send(REPLY.pack(EXITED, 1, code))
    assert "broke the protocol" in await control.ended
    assert ends.code is None


@pytest.mark.proof("inside")
async def test_a_program_ends_once(inside: Inside) -> None:
    control, hostile = inside
    ends = Ends()
    starting = await start(control, ends)
    for kind, value in ((STARTED, 0), (EXITED, 3), (EXITED, 4)):
        hostile.send(REPLY.pack(kind, 1, value))
    assert await starting == 1
    assert "broke the protocol" in await control.ended
    assert ends.code == 3


@pytest.mark.proof("inside")
@pytest.mark.parametrize("count", [1, 3, 200])
async def test_descriptors_nobody_asked_for_are_dropped_and_end_the_talk(inside: Inside, count: int) -> None:
    control, hostile = inside
    starting = await start(control, Ends())
    before = open_descriptors()
    send(hostile, REPLY.pack(STARTED, 1, 0), *[0] * count)
    assert "broke the protocol" in await control.ended
    assert len(open_descriptors()) == len(before) - 2  # the control socket and the listener
    with pytest.raises(SandboxGone):
        await starting


NOT_THE_LISTENER: dict[str, Callable[[], Any]] = {
    "a file": tempfile.TemporaryFile,
    "no stream": lambda: bound(socket.SOCK_DGRAM),
    "not listening": lambda: bound(socket.SOCK_STREAM),
    "of another family": lambda: a_listener(family=socket.AF_UNIX),
    "of the other internet": lambda: a_listener(family=socket.AF_INET6, host="::1"),
    "of another protocol": lambda: a_listener(protocol=IPPROTO_MPTCP),
    "open to all addresses": lambda: a_listener(host="0.0.0.0"),
    "on another port": lambda: a_listener(),
    "sharing its address": lambda: a_listener(socket.SO_REUSEPORT),
    "leaving its address": lambda: a_listener(socket.SO_REUSEADDR),
}


@pytest.mark.proof("inside")
@pytest.mark.parametrize("what", NOT_THE_LISTENER)
async def test_nothing_but_the_listener_is_taken_for_it(
    unready: Inside, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    control, hostile = unready
    with NOT_THE_LISTENER[what]() as gift:
        if isinstance(gift, socket.socket) and gift.family == socket.AF_INET:
            other = what == "on another port"
            monkeypatch.setattr(egress, "GATEWAY", ("127.0.0.1", gift.getsockname()[1] + other))
        before = open_descriptors()
        send(hostile, REPLY.pack(READY, 0, 0), gift.fileno())
        assert "broke the protocol" in await asyncio.wait_for(control.ended, 10)
        assert len(open_descriptors()) == len(before) - 1  # the control socket
    with pytest.raises(SandboxGone):
        await control.ready()


@pytest.mark.proof("inside")
@pytest.mark.parametrize("descriptors", [0, 2, 100])
async def test_the_first_record_brings_one_descriptor(
    unready: Inside, descriptors: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    control, hostile = unready
    with a_listener() as listener:
        monkeypatch.setattr(egress, "GATEWAY", listener.getsockname())
        before = open_descriptors()
        send(hostile, REPLY.pack(READY, 0, 0), *[listener.fileno()] * descriptors)
        assert "broke the protocol" in await asyncio.wait_for(control.ended, 10)
        assert len(open_descriptors()) == len(before) - 1  # the control socket


@pytest.mark.proof("inside")
async def test_a_listener_that_nobody_took_is_closed(inside: Inside) -> None:
    control, _ = inside
    before = open_descriptors()
    control.close("it did not start")
    assert len(open_descriptors()) == len(before) - 2  # the control socket as well


@pytest.mark.proof("inside")
async def test_a_silent_end_is_noticed(inside: Inside) -> None:
    control, hostile = inside
    hostile.close()
    assert "ended" in await control.ended
    with pytest.raises(SandboxGone):
        await control.start(Ends(), ["true"], "/", {}, [0, 1, 2])


@pytest.mark.parametrize("env", [{"": "x"}, {"A=B": "x"}, {"A": "x\0B=y"}])
def test_a_variable_cannot_smuggle_another_in(env: dict[str, str]) -> None:
    with pytest.raises(SandboxError):
        encode(["true"], "/", env)


# -- control groups ----------------------------------------------------------------------------------


def test_both_versions_are_told_the_same_bounds() -> None:
    first = {name: dict(settings(1, name, LIMITS)) for name in ("memory", "pids", "cpu")}
    second = {name: dict(settings(2, name, LIMITS)) for name in ("memory", "pids", "cpu")}
    assert first["memory"]["memory.limit_in_bytes"] == second["memory"]["memory.max"] == str(100 << 20)
    assert first["pids"] == second["pids"] == {"pids.max": "28"}
    assert first["cpu"] == {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000"}
    assert second["cpu"] == {"cpu.max": "150000 100000"}


async def test_version_two_is_divided_from_the_root_down(tmp_path: Path) -> None:
    """A folder stands in for the hierarchy: which files are written, and where the group is."""
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids")
    found = find("a/b", f"cgroup2 {tmp_path} cgroup2 rw 0 0")
    assert found is not None
    for folder in (tmp_path, tmp_path / "a", tmp_path / "a" / "b"):
        assert (folder / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"
    group = found.create("one", LIMITS)
    assert group.joins() == [str(tmp_path / "a" / "b" / "one" / "cgroup.procs")]
    assert (tmp_path / "a" / "b" / "one" / "memory.max").read_text() == str(100 << 20)
    (tmp_path / "a" / "b" / "one" / "memory.events").write_text("low 0\noom 2\noom_kill 1\n")
    assert group.memory_kills() == 1


@pytest.mark.parametrize(
    "mounts", ["", "cgroup2 /nowhere cgroup2 rw 0 0", "cgroup /proc/none cgroup rw,memory 0 0"]
)
def test_where_no_group_can_be_made_there_is_no_hierarchy(mounts: str) -> None:
    assert find("a", mounts) is None
