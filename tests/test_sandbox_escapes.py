"""Each test attacks the host, the bot or another sandbox from inside, as the agent could."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from sandbox_kit import LIMITS, a_provider, all_ended, pidfds_of, python, sh, wait_for_pidfds

from bot import Sandbox, SandboxSpec
from bot.sandbox_io import run
from plugins.sandbox_runner.local import LocalProvider

pytestmark = pytest.mark.proof("inside")

CTYPES = """
import ctypes, errno, os, struct
libc = ctypes.CDLL(None, use_errno=True)
def said(result):
    print(errno.errorcode[ctypes.get_errno()] if result == -1 else "DONE")
"""


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[LocalProvider]:
    async with a_provider(tmp_path / "data") as provider:
        yield provider


@pytest.fixture
async def sandbox(provider: LocalProvider) -> Sandbox:
    return await provider.create(SandboxSpec(LIMITS))


# -- files of the host -----------------------------------------------------------------------------


async def test_a_file_of_the_host_is_reached_by_no_way(sandbox: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host-" + "secret-text")
    secret.chmod(0o666)
    ways = [str(secret), "link", f"/proc/*/root{secret}", f"/proc/*/cwd/../../../../..{secret}"]
    ways += [f"/oldroot{secret}", f"/newroot{secret}", f"/proc/self/fd/*/../../..{secret}"]
    said = await sh(sandbox, f"ln -s {secret} link; for file in {' '.join(ways)}; do cat $file; done")
    assert "host-secret-text" not in said
    assert "No such file" in said


async def test_what_the_host_has_besides_usr_is_not_there(sandbox: Sandbox) -> None:
    paths = [
        "/etc/shadow",
        "/root/.ssh",
        "/home/agent/../../var/lib",
        "/sys",
        "/boot",
        "/opt",
        "/srv",
        "/mnt",
    ]
    said = await sh(sandbox, f"ls -d {' '.join(paths)}; cat {' '.join(paths)}")
    assert said.count("No such file") == 2 * len(paths)


FIND = "find / ( -path /usr -o -path /proc ) -prune -o -name"


async def test_neither_the_bots_data_nor_its_code_is_there(sandbox: Sandbox, tmp_path: Path) -> None:
    code = Path(__file__).parent.parent
    done = await run(sandbox, ["ls", "-d", str(tmp_path), str(tmp_path / "data"), str(code)])
    assert done.stderr.count("No such file") == 3
    assert (await run(sandbox, [*FIND.split(), "sandbox_runner*", "-print"])).stdout == b""


async def test_another_sandboxs_files_are_not_there(provider: LocalProvider, sandbox: Sandbox) -> None:
    other = await provider.create(SandboxSpec(LIMITS))
    await sh(other, "echo mine > only-in-other")
    for each, found in ((other, b"/workspace/only-in-other\n"), (sandbox, b"")):
        assert (await run(each, [*FIND.split(), "only-in-*", "-print"])).stdout == found


async def test_nothing_but_its_own_folders_can_be_written(sandbox: Sandbox) -> None:
    folders = ["/", "/usr", "/usr/bin", "/etc", "/dev", "/home", "/proc/sys", "/proc/sys/kernel"]
    each = "touch $folder/new && echo WRITTEN; chmod 777 $folder && echo CHANGED"
    said = await sh(
        sandbox, f"for folder in {' '.join(folders)}; do {each}; done; touch /tmp/new && echo TMP"
    )
    assert "WRITTEN" not in said
    assert "CHANGED" not in said
    assert said.endswith("TMP\n")


async def test_the_supervisors_program_cannot_be_replaced(sandbox: Sandbox) -> None:
    file = "/supervisor.py"
    said = await sh(sandbox, f"echo x > {file} && echo A; rm {file} && echo B; mv {file} /tmp && echo C")
    assert not {"A", "B", "C"} & set(said.split("\n"))


async def test_a_link_to_the_host_does_not_carry_its_file_into_a_snapshot(
    provider: LocalProvider, sandbox: Sandbox, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host-" + "secret-text")
    secret.chmod(0o666)
    await sh(sandbox, f"ln -s {secret} leak; ln -s {tmp_path} folder; rm -rf ~/.x; ln -s / ~/.x")
    snapshot = await sandbox.snapshot()
    kept = (tmp_path / "data" / "snapshots" / f"{snapshot}.tar").read_bytes()
    assert b"leak" in kept
    assert b"host-secret-text" not in kept


async def test_ending_a_sandbox_full_of_links_leaves_the_host_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir(mode=0o777)
    (kept / "file").write_text("x")
    before = kept.stat().st_mode
    await sh(
        sandbox,
        f"ln -s {kept} out; ln -s {kept}/file file; mkdir -p shut/in; ln -s {kept} shut/in/o; chmod 0 shut",
    )
    await sandbox.terminate()
    assert (kept / "file").read_text() == "x"
    assert kept.stat().st_mode == before
    assert list((tmp_path / "data" / "sandboxes").iterdir()) == []


# -- rights ----------------------------------------------------------------------------------------


async def test_it_has_no_rights_at_all(sandbox: Sandbox) -> None:
    said = await sh(sandbox, "cat /proc/self/status")
    status = dict(line.split(":\t", 1) for line in said.splitlines() if ":\t" in line)
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Uid"].split() == ["1000"] * 4


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's sandboxes have users of their own")
async def test_on_the_host_each_sandbox_is_a_user_of_its_own(provider: LocalProvider) -> None:
    mark = secrets.token_hex(8)
    users = set()  # not a list: a shell that has forked and not yet become `sleep` shows the mark as well
    for _ in range(2):
        sandbox = await provider.create(SandboxSpec(LIMITS))
        await sandbox.exec(["/bin/sh", "-c", "sleep 1000; :", mark])
    for entry in Path("/proc").iterdir():
        with suppress(OSError):  # of those that end while we look
            if entry.name.isdigit() and mark.encode() in (entry / "cmdline").read_bytes():
                status = dict(line.split(":\t", 1) for line in (entry / "status").read_text().splitlines())
                users.add(tuple(status["Uid"].split()))
                assert status["Groups"].strip() == ""
    assert len(users) == 2
    assert all(len(set(each)) == 1 and int(each[0]) >= 64100 for each in users)


REFUSED = {
    "libc.unshare(0x10000000)": "EPERM",
    "libc.unshare(0x00020000)": "EPERM",
    "libc.syscall(56 if os.uname().machine == 'x86_64' else 220, 0x10000011, 0, 0, 0, 0)": "EPERM",
    "libc.syscall(435, struct.pack('8Q', 0x10000000, *[0] * 7), 64)": "ENOSYS",
    "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)": "EPERM",
    "libc.umount2(b'/usr', 2)": "EPERM",
    "libc.chroot(b'/tmp')": "EPERM",
    "libc.ptrace(16, 1, 0, 0)": "EPERM",
    "libc.syscall(321 if os.uname().machine == 'x86_64' else 280, 0, 0, 0)": "EPERM",
    "libc.syscall(425, 1, 0)": "ENOSYS",
    "libc.syscall(250 if os.uname().machine == 'x86_64' else 219, 0, -3, 0)": "EPERM",
    "libc.syscall(428, -100, b'/', 0)": "EPERM",
    "libc.syscall(438, 0, 0, 0)": "EPERM",
    "libc.sethostname(b'evil', 4)": "EPERM",
    "libc.settimeofday(struct.pack('2q', 0, 0), None)": "EPERM",
    "libc.mknod(b'/tmp/disk', 0o60666, 0x0800)": "EPERM",
    "libc.ioctl(0, 0x5412, b'x')": "EPERM",
    "libc.setuid(0)": "EINVAL",
}


async def test_the_kernel_refuses_what_coding_does_not_need(sandbox: Sandbox) -> None:
    done = await python(sandbox, CTYPES + "\n".join(f"said({attempt})" for attempt in REFUSED))
    assert dict(zip(REFUSED, done.stdout.decode().split(), strict=True)) == REFUSED, done.stderr


async def test_no_sandbox_can_be_made_inside_a_sandbox(sandbox: Sandbox) -> None:
    said = await sh(
        sandbox, "unshare -Ur id && echo DONE; bwrap --ro-bind / / --unshare-user true && echo DONE"
    )
    assert "DONE" not in said


async def test_clock_and_name_are_not_its_to_change(sandbox: Sandbox) -> None:
    before = socket.gethostname()
    assert "sandbox" in await sh(sandbox, "hostname; hostname evil; date -s 2001-01-01; hostname")
    assert socket.gethostname() == before
    assert "evil" not in await sh(sandbox, "hostname")


# -- the network -----------------------------------------------------------------------------------


async def test_there_is_no_network_but_its_own_loopback(sandbox: Sandbox) -> None:
    said = await sh(sandbox, "cat /proc/net/dev | tail -n +3 | cut -d: -f1; cat /proc/net/route | tail -n +2")
    assert said.split() == ["lo"]


@pytest.mark.parametrize("family", ["AF_INET", "AF_INET6", "abstract"])
async def test_a_listener_of_the_host_is_out_of_reach(sandbox: Sandbox, family: str) -> None:
    kind = socket.AF_UNIX if family == "abstract" else getattr(socket, family)
    with socket.socket(kind) as listener:
        addresses = {
            "AF_INET": ("127.0.0.1", 0),
            "AF_INET6": ("::1", 0),
            "abstract": f"\0{secrets.token_hex(8)}",
        }
        listener.bind(addresses[family])
        listener.listen()
        with socket.socket(kind) as from_the_host:
            from_the_host.connect(listener.getsockname())  # it is there to be reached
        script = (
            f"import socket; socket.socket({int(kind)}).connect({listener.getsockname()!r}); print('REACHED')"
        )
        done = await python(sandbox, script)
    assert b"REACHED" not in done.stdout
    assert "ConnectionRefusedError" in done.stderr or "unreachable" in done.stderr or "assign" in done.stderr


async def test_no_address_outside_has_a_route(sandbox: Sandbox) -> None:
    connect = "import socket, sys; socket.create_connection((sys.argv[1], 80), 5)"
    for address in ("1.1.1.1", "169.254.169.254", "10.0.0.1", "2606:4700::1111"):
        done = await run(sandbox, ["python3", "-c", connect, address])
        assert "Network is unreachable" in done.stderr or "Cannot assign requested address" in done.stderr


async def test_other_families_of_sockets_are_refused(sandbox: Sandbox) -> None:
    for family in (17, 38, 40):  # packet, kernel crypto, the hypervisor's own
        done = await python(sandbox, f"import socket; socket.socket({family}, socket.SOCK_DGRAM)")
        assert "Address family not supported" in done.stderr


# -- processes -------------------------------------------------------------------------------------


async def test_processes_of_the_host_are_neither_seen_nor_signalled(sandbox: Sandbox) -> None:
    said = await sh(sandbox, f"kill -0 {os.getpid()} && echo FOUND; ls /proc | grep -c '^[0-9]'")
    assert "FOUND" not in said
    assert int(said.split()[-1]) < 10


async def test_killing_everything_it_sees_kills_only_its_own(sandbox: Sandbox) -> None:
    victim = await sandbox.exec(["sleep", "1000"])
    await sh(sandbox, "kill -9 -1; kill -STOP 1; kill -9 1")
    assert await victim.wait() == 128 + 9
    assert await sh(sandbox, "echo still here") == "still here\n"


async def test_the_supervisor_shows_nothing_of_itself(sandbox: Sandbox) -> None:
    said = await sh(sandbox, "cat /proc/1/environ; ls /proc/1/fd; cat /proc/1/maps; head -c1 /proc/1/mem")
    assert said.count("Permission denied") == 4


async def test_the_supervisors_memory_is_not_to_be_read_or_written(sandbox: Sandbox) -> None:
    script = CTYPES + (
        "x86 = os.uname().machine == 'x86_64'\n"
        "one = struct.pack('QQ', 4096, 1)\n"
        "said(libc.syscall(310 if x86 else 270, 1, one, 1, one, 1, 0))\n"
        "said(libc.syscall(311 if x86 else 271, 1, one, 1, one, 1, 0))\n"
        "pidfd = os.pidfd_open(1)\n"
        "said(libc.syscall(438, pidfd, 3, 0))\n"
    )
    done = await python(sandbox, script)
    assert done.stdout.split() == [b"EPERM"] * 3, done.stderr


async def test_a_program_inherits_its_three_streams_and_nothing_else(sandbox: Sandbox) -> None:
    done = await python(
        sandbox, "import os; print(*[os.readlink(f'/proc/self/fd/{n}')[:5] for n in (0, 1, 2)])"
    )
    assert done.stdout.split() == [b"pipe:"] * 3
    done = await python(sandbox, "import os; print(sorted(int(n) for n in os.listdir('/proc/self/fd')))")
    assert done.stdout.strip() == b"[0, 1, 2, 3]"  # the last is the folder being listed


async def test_a_daemon_dies_with_its_sandbox(sandbox: Sandbox) -> None:
    mark = f"9{secrets.randbelow(10**9):09d}"
    daemon = f"trap '' TERM HUP INT; sleep {mark} & setsid sleep {mark} & wait"
    script = f'(setsid setsid sh -c "{daemon}" >/dev/null 2>&1 &)'
    assert await (await sandbox.exec(["/bin/sh", "-c", script])).wait() == 0
    daemons = wait_for_pidfds(f"sleep\0{mark}", count=2)
    await sandbox.terminate()
    assert all_ended(daemons, seconds=0)
    assert pidfds_of(mark) == []
