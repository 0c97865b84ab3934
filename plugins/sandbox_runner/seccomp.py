"""The system calls no program in a sandbox may make, as a filter the kernel runs.

A sandbox already has no capability and no further user namespace; this takes away the rest of the kernel's
surface that coding work does not need, and the doors that namespaces do not close (AF_VSOCK reaches the
hypervisor, a key ring belongs to the user, `ptrace` and `pidfd_getfd` reach the supervisor).
"""

from __future__ import annotations

import platform
import struct
from errno import EAFNOSUPPORT, ENOSYS, EPERM

from bot import SandboxError

# What a call is on x86_64 and on aarch64; None where the architecture never had it.
_DENIED: dict[str, tuple[int, int | None]] = {
    "ptrace": (101, 117),
    "syslog": (103, 116),
    "uselib": (134, None),
    "vhangup": (153, 58),
    "pivot_root": (155, 41),
    "adjtimex": (159, 171),
    "chroot": (161, 51),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "mount": (165, 40),
    "umount2": (166, 39),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "quotactl": (179, 60),
    "lookup_dcookie": (212, 18),
    "clock_settime": (227, 112),
    "kexec_load": (246, 104),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "migrate_pages": (256, 238),
    "unshare": (272, 97),
    "move_pages": (279, 239),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "clock_adjtime": (305, 266),
    "setns": (308, 268),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "finit_module": (313, 273),
    "kexec_file_load": (320, 294),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "mount_setattr": (442, 442),
    "quotactl_fd": (443, 443),
    "open_tree_attr": (467, 467),
}
# Said to be missing, so that libraries take another way: one whose arguments a filter can see, or one that
# takes nothing from the few asynchronous requests (fs.aio-max-nr) that all users of the host have together.
_MISSING: dict[str, tuple[int, int]] = {
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "clone3": (435, 435),
    "io_setup": (206, 0),
}
_CLONE, _SOCKET, _IOCTL = (56, 220), (41, 198), (16, 29)
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_FAMILIES = (1, 2, 10, 16)  # unix, IPv4, IPv6, netlink
_TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NR, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24  # offsets in struct seccomp_data, low words (little endian)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _refuse(errno: int) -> bytes:
    return _step(_RETURN, _ERRNO | errno)


def _when(call: int, body: bytes) -> bytes:
    """`body` runs for this call only and must end in a return."""
    return _step(_EQUAL, call, 0, len(body) // 8) + body


def _if_in(values: tuple[int, ...], found: bytes, otherwise: bytes) -> bytes:
    tests = b"".join(_step(_EQUAL, value, len(values) - at, 0) for at, value in enumerate(values))
    return tests + otherwise + found


def program(machine: str | None = None) -> bytes:
    """The filter for this machine's architecture, as the kernel takes it. SandboxError on any other."""
    machine = platform.machine() if machine is None else machine
    if machine not in _AUDIT_ARCH:
        known = " or ".join(_AUDIT_ARCH)
        raise SandboxError(
            f"local sandboxes have no system-call filter for {machine}; run the bot on {known}."
        )
    at = 0 if machine == "x86_64" else 1
    allow = _step(_RETURN, _ALLOW)
    parts = [
        _step(_LOAD, _ARCH),
        _step(_EQUAL, _AUDIT_ARCH[machine], 1, 0),
        _refuse(ENOSYS),
        _step(_LOAD, _NR),
    ]
    if machine == "x86_64":  # the x32 numbers would walk around the table
        parts += [_step(_AT_LEAST, 0x40000000, 0, 1), _refuse(ENOSYS)]
    for numbers in _DENIED.values():
        number = numbers[at]
        if number is not None:
            parts.append(_when(number, _refuse(EPERM)))
    parts += [_when(pair[at], _refuse(ENOSYS)) for pair in _MISSING.values()]
    namespaces = _step(_LOAD, _ARG0) + _step(_ANY_BIT, _NEW_NAMESPACES, 0, 1) + _refuse(EPERM) + allow
    families = _step(_LOAD, _ARG0) + _if_in(_FAMILIES, allow, _refuse(EAFNOSUPPORT))
    injection = _step(_LOAD, _ARG1) + _if_in(_TERMINAL_INJECTION, _refuse(EPERM), allow)
    parts += [_when(_CLONE[at], namespaces), _when(_SOCKET[at], families), _when(_IOCTL[at], injection)]
    return b"".join([*parts, allow])
