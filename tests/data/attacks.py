"""Attacks on the host, the bot and other sandboxes, as an agent could try them. Standard library alone.

    python3 -I -S attacks.py '{"canary": …}'        prints a line of JSON for each: {"name": …, "outcome": …}

Each runs in a process of its own. What it got is the name of an errno, or what it returns; DONE is success.
`@attack(refused)` says what it must get inside of a sandbox. Where that is a success, `harmless` says why it
may be one. Outside of a sandbox the same attacks work, or at least get further: the tests see to that as
well, so every call here is one that root of the host survives, too.
"""

import ctypes
import errno
import fcntl
import glob
import json
import mmap
import os
import platform
import pty
import resource
import signal
import socket
import stat
import struct
import sys
import tempfile
import termios
from collections import namedtuple

DONE = "DONE"
SECONDS = 20
X86 = platform.machine() == "x86_64"
Attack = namedtuple("Attack", "run refused harmless")
ATTACKS = {}
CALLS = {}  # numbers of system calls that a filter has to refuse: on x86_64, on aarch64, and by which errno
at = {}  # what there is to attack, by the tests
libc = ctypes.CDLL(None, use_errno=True)


def attack(refused, harmless=""):
    def keep(function):
        ATTACKS[function.__name__] = Attack(function, set(refused.split("|")), harmless)
        return function

    return keep


def call(x86, arm, *arguments):
    """A system call by its number; OSError as it is, so that a C library cannot get in the way."""
    number = x86 if X86 else arm
    if libc.syscall(ctypes.c_long(number), *map(word, arguments)) == -1:
        got = ctypes.get_errno()
        raise OSError(got, os.strerror(got))
    return DONE


def word(argument):
    return ctypes.c_long(argument) if isinstance(argument, int) else argument


def first(paths, try_one):
    """DONE where one of these works, else what the last one got."""
    last = errno.ENOENT
    for path in paths:
        try:
            try_one(path)
            return DONE
        except OSError as error:
            last = error.errno
    return errno.errorcode[last]


def read(path):
    with open(path, "rb") as file:
        return DONE if file.read(65536) else "EMPTY"


def read_canary(path):
    with open(path, "rb") as file:
        if at["secret"].encode() not in file.read(65536):
            raise FileNotFoundError(errno.ENOENT, "another file", path)
    return DONE


def open_to_write(path):
    os.close(os.open(path, os.O_WRONLY))
    return DONE


def others():
    """The numbers of all processes but this one and those it came from, which are the attacker's own."""
    mine, process = set(), os.getpid()
    while process > 1:
        mine.add(process)
        with open(f"/proc/{process}/stat", "rb") as file:
            process = int(file.read().rpartition(b")")[2].split()[1])
    return [name for name in os.listdir("/proc") if name.isdigit() and int(name) not in mine]


def read_canary_if_a_file(path):
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would keep us waiting
        raise FileNotFoundError(errno.ENOENT, "no file", path)
    return read_canary(path)


# -- files of the host -------------------------------------------------------------------------------


@attack("ENOENT")
def read_a_host_file_by_its_path():
    return read_canary(at["canary"])


@attack("ENOENT")
def read_a_host_file_through_a_symbolic_link():
    os.symlink(at["canary"], "link")
    return read_canary("link")


@attack("ENOENT")
def read_a_host_file_through_a_link_to_its_folder():
    os.symlink(os.path.dirname(at["canary"]), "folder")
    return read_canary("folder/" + os.path.basename(at["canary"]))


@attack("ENOENT")
def read_a_host_file_through_dots():
    return read_canary("../" * 40 + at["canary"].lstrip("/"))


@attack("ENOENT")
def read_a_host_file_through_a_hard_link():
    os.link(at["canary"], "hard")
    return read_canary("hard")


@attack("ENOENT")
def read_a_host_file_through_the_roots_of_processes():
    return first([f"{root}{at['canary']}" for root in glob.glob("/proc/[0-9]*/root")], read_canary)


@attack("ENOENT")
def read_a_host_file_through_the_roots_of_threads():
    return first([f"{root}{at['canary']}" for root in glob.glob("/proc/[0-9]*/task/*/root")], read_canary)


@attack("ENOENT")
def read_a_host_file_through_the_folders_of_processes():
    return first([f"{cwd}/{'../' * 40}{at['canary']}" for cwd in glob.glob("/proc/[0-9]*/cwd")], read_canary)


@attack("ENOENT")
def read_a_host_file_through_where_roots_are_left():
    places = ["/oldroot", "/newroot", "/.oldroot", "/.pivot", "/merged", "/tree", "/lower", "/tmp/oldroot"]
    return first([place + at["canary"] for place in ["", *places]], read_canary)


@attack("EACCES|EPERM|ENOENT")
def read_a_host_file_through_descriptors_of_processes():
    return first([f for p in others() for f in glob.glob(f"/proc/{p}/fd/*")], read_canary_if_a_file)


@attack("EBADF")
def read_a_host_file_through_an_inherited_descriptor():
    for descriptor in range(3, 1024):
        try:
            text = os.pread(descriptor, 65536, 0)
        except OSError as error:
            last = error.errno
            continue
        if at["secret"].encode() in text:
            return DONE
    return errno.errorcode[last]


@attack("ENOENT")
def write_into_a_host_file():
    with open(at["canary"], "r+") as file:
        file.write("touched")
    return DONE


@attack("ENOENT")
def make_a_file_in_a_host_folder():
    with open(os.path.dirname(at["canary"]) + "/made", "x"):
        return DONE


@attack("ENOENT")
def change_the_mode_of_a_host_file():
    os.chmod(at["canary"], 0o640)
    return DONE


@attack("ENOENT")
def change_the_times_of_a_host_file():
    os.utime(at["canary"], (1, 1))
    return DONE


@attack("ENOENT")
def remove_a_host_file():
    os.unlink(at["doomed"])
    return DONE


@attack("ENOENT")
def read_a_file_of_another_sandbox():
    return read_canary(at["other"])


@attack("ENOENT")
def list_the_sandboxes():
    return DONE if os.listdir(at["sandboxes"]) else "EMPTY"


@attack("ENOENT")
def read_the_bots_own_code():
    return read(at["code"])


@attack("ENOENT")
def read_the_passwords_of_the_host():
    return DONE if os.stat("/etc/shadow") else ""


@attack("ENOENT")
def look_at_the_devices_of_the_kernel():
    return DONE if os.listdir("/sys/kernel") else "EMPTY"


@attack("ENOENT")
def reach_the_control_groups():
    return DONE if os.listdir("/sys/fs/cgroup") else "EMPTY"


@attack("EROFS|EACCES")
def write_a_program_of_the_host():
    return open_to_write("/usr/bin/tar")


@attack("EROFS")
def make_a_file_among_the_hosts_programs():
    os.close(os.open("/usr/bin", os.O_TMPFILE | os.O_RDWR))
    return DONE


@attack("EROFS|EACCES")
def write_the_list_of_accounts():
    return open_to_write("/etc/passwd")


@attack("EROFS")
def make_a_file_at_the_root():
    os.close(os.open("/", os.O_TMPFILE | os.O_RDWR))
    return DONE


@attack("EPERM|EROFS")
def make_a_device_file_of_a_disk():
    os.mknod("disk", stat.S_IFBLK | 0o666, os.makedev(7, 0))
    return DONE


@attack("EPERM|EROFS")
def make_a_device_file_of_memory():
    os.mknod("memory", stat.S_IFCHR | 0o666, os.makedev(1, 1))
    return DONE


@attack("ENOENT")
def open_a_device_of_the_host():
    names = "mem port kmsg kvm fuse loop-control loop0 vda sda nvme0n1 vsock net/tun userfaultfd vhost-net"
    return first([f"/dev/{name}" for name in [*names.split(), "vhost-vsock", "uinput", "tty0"]], os.stat)


@attack("EACCES|EPERM|ENOENT")
def read_how_the_kernel_uses_memory():
    return first(["/proc/kcore", "/proc/kpagecount", "/proc/vmallocinfo", "/proc/slabinfo"], read)


@attack("EROFS|EACCES|EPERM|ENOENT")
def pull_the_kernels_alarm():
    return first(["/proc/sysrq-trigger", "/proc/sys/kernel/panic"], open_to_write)


@attack("EROFS|EACCES|EPERM")
def have_the_kernel_start_a_program_at_a_crash():
    return open_to_write("/proc/sys/kernel/core_pattern")


@attack("EROFS|EACCES|EPERM")
def drop_the_caches_of_the_host():
    return open_to_write("/proc/sys/vm/drop_caches")


@attack("0")
def find_out_where_the_kernel_lies():
    with open("/proc/kallsyms") as file:
        return str(int(file.readline().split()[0], 16)) if X86 else "0"


@attack("DONE", "the lock is on a file that no program of the host locks, and ends with its holder")
def lock_a_file_of_the_host():
    with open("/usr/bin/env", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return DONE


# -- other users and more rights ---------------------------------------------------------------------


@attack("EINVAL")
def become_root():
    os.setuid(0)
    return DONE if os.geteuid() == 0 else "STILL"


@attack("EINVAL")
def become_the_first_sandbox_user():
    os.setresuid(64100, 64100, 64100)
    return DONE


@attack("EINVAL")
def become_roots_group():
    os.setgid(0)
    return DONE


@attack("EPERM")
def join_groups():
    os.setgroups([0, 4, 6])
    return DONE


@attack("EPERM")
def take_the_right_to_administer():
    return take_rights(0)


@attack("EPERM")
def keep_a_right_across_programs():
    take_rights(1 << 21)
    if libc.prctl(47, 2, 21, 0, 0) == -1:  # PR_CAP_AMBIENT_RAISE of CAP_SYS_ADMIN
        raise OSError(ctypes.get_errno(), "")
    return DONE


def take_rights(inheritable):
    header = struct.pack("=Ii", 0x20080522, 0)
    return call(126, 91, header, struct.pack("=6I", 1 << 21, 1 << 21, inheritable, 0, 0, 0))


@attack("1000")
def run_a_program_that_becomes_root():
    """The loader tells who it runs as, unless it runs as more than its starter."""
    said = os.popen("LD_SHOW_AUXV=1 /usr/bin/mount --version").read()
    return next((line.split()[1] for line in said.splitlines() if line.startswith("AT_EUID")), DONE)


@attack("EINVAL")
def give_a_file_to_root():
    with open("mine", "w"):
        os.chown("mine", 0, 0)
    return DONE


@attack("EPERM|EOPNOTSUPP")
def give_a_program_rights():
    with open("capable", "w"):
        rights = struct.pack("<5I", 0x02000001, 0xFFFFFFFF, 0, 0xFF, 0)
        os.setxattr("capable", "security.capability", rights)
    return DONE


@attack("EPERM|EOPNOTSUPP")
def mislead_the_overlay():
    os.mkdir("folder-of-mine")
    os.setxattr("folder-of-mine", "trusted.overlay.redirect", b"/../../etc")
    return DONE


@attack("EACCES|EPERM")
def be_spared_when_memory_is_short():
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("-900")
    return DONE


@attack("AS GIVEN")
def start_more_processes_than_allowed():
    return raise_limit(resource.RLIMIT_NPROC, "processes")


@attack("AS GIVEN")
def write_larger_files_than_allowed():
    return raise_limit(resource.RLIMIT_FSIZE, "file_bytes")


@attack("AS GIVEN")
def open_more_files_than_allowed():
    return raise_limit(resource.RLIMIT_NOFILE, "open_files")


@attack("AS GIVEN")
def leave_core_dumps():
    return raise_limit(resource.RLIMIT_CORE, "core_bytes")


def raise_limit(which, name):
    _, hard = resource.getrlimit(which)
    if hard != at["limits"][name]:
        return "OTHER"
    try:
        resource.setrlimit(which, (hard, hard + 1))
    except ValueError:
        return "AS GIVEN"
    return DONE


@attack("EACCES|EPERM")
def go_first_on_the_processor():
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    return DONE


@attack("EPERM")
def never_leave_the_processor():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return DONE


@attack("1")
def take_back_that_programs_get_no_rights():
    libc.prctl(38, 0, 0, 0, 0)
    return str(libc.prctl(39, 0, 0, 0, 0))


@attack("2")
def run_without_the_filter():
    """A filter stays over whatever a program is turned into."""
    libc.prctl(22, 0, 0, 0, 0)
    return os.popen("grep Seccomp: /proc/self/status").read().split()[1]


# -- the network -------------------------------------------------------------------------------------


def connect(family, kind, address):
    with socket.socket(family, kind) as each:
        each.settimeout(SECONDS / 2)
        each.connect(address)
        for _ in range(2):  # that nobody took a datagram is told to the next
            each.send(b"from the attacker")
    return DONE


@attack("ECONNREFUSED")
def connect_to_a_server_of_the_host():
    return connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", at["tcp"]))


@attack("ECONNREFUSED|EADDRNOTAVAIL|ENETUNREACH")
def connect_to_a_server_of_the_host_by_the_new_protocol():
    return connect(socket.AF_INET6, socket.SOCK_STREAM, ("::1", at["tcp6"]))


@attack("ECONNREFUSED")
def connect_to_a_server_of_the_host_through_mapped_addresses():
    return connect(socket.AF_INET6, socket.SOCK_STREAM, ("::ffff:127.0.0.1", at["tcp"]))


@attack("ECONNREFUSED")
def ask_a_name_server_of_the_host():
    return connect(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", at["udp"]))


@attack("EMPTY")
def learn_of_a_name_server():
    return read("/etc/resolv.conf")


@attack("ECONNREFUSED")
def connect_to_an_abstract_socket_of_the_host():
    return connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + at["abstract"])


@attack("ENOENT")
def connect_to_a_socket_file_of_the_host():
    return connect(socket.AF_UNIX, socket.SOCK_STREAM, at["socket"])


@attack("0")
def see_the_unix_sockets_of_the_host():
    with open("/proc/net/unix") as file:
        return str(sum(at["abstract"] in line for line in file))


@attack("0")
def see_the_connections_of_the_host():
    port = f":{at['tcp']:04X} "
    with open("/proc/net/tcp") as file:
        return str(sum(port in line for line in file))


@attack("lo")
def find_an_interface():
    return " ".join(sorted(name for _, name in socket.if_nameindex()))


@attack("ENETUNREACH")
def find_a_way_out():
    """To connect a datagram socket only asks for the route: nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as each:
        each.connect(("192.0.2.1", 53))
    return DONE


@attack("EPERM")
def make_an_interface():
    """RTM_NEWLINK of a kind that does not exist: who may ask gets told that."""
    kind = struct.pack("=HH8s", 4 + 5, 1, b"nope\0")
    attributes = struct.pack("=HH", 4 + len(kind), 18) + kind
    body = struct.pack("=BxHiII", 0, 0, 0, 0, 0) + attributes
    return netlink(0, struct.pack("=IHHII", 16 + len(body), 16, 5 | 0x600, 1, 0) + body)


@attack("EPERM")
def add_an_address():
    body = struct.pack("=BBBBI", 2, 8, 0, 0, 999999) + struct.pack("=HH4s", 8, 2, bytes([127, 9, 9, 9]))
    return netlink(0, struct.pack("=IHHII", 16 + len(body), 20, 5 | 0x600, 1, 0) + body)


@attack("ECONNREFUSED|EPROTONOSUPPORT")
def speak_to_the_kernels_auditor():
    return netlink(9, struct.pack("=IHHII", 16, 1000, 5, 1, 0))


def netlink(protocol, message):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as each:
        each.settimeout(SECONDS / 2)
        each.sendto(message, (0, 0))
        (got,) = struct.unpack_from("=i", each.recv(4096), 16)
    if got < 0:
        raise OSError(-got, "")
    return DONE


@attack("EPERM|EAFNOSUPPORT")
def read_raw_packets():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP).close()
    return DONE


@attack("unix inet inet6 netlink")
def open_sockets_of_other_families():
    names, found = {1: "unix", 2: "inet", 10: "inet6", 16: "netlink"}, []
    for family in range(1, 48):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            try:
                socket.socket(family, kind).close()
            except OSError:
                continue
            found.append(names.get(family, str(family)))
            break
    return " ".join(found)


# -- what programs share -----------------------------------------------------------------------------


@attack("ENOENT")
def attach_shared_memory_of_the_host():
    if libc.shmget(at["shared"], 0, 0) == -1:
        raise OSError(ctypes.get_errno(), "")
    return DONE


@attack("ENOENT")
def open_a_message_queue_of_the_host():
    return call(240, 180, at["queue"].encode(), os.O_RDWR, 0, 0)


# -- processes ---------------------------------------------------------------------------------------


@attack("0")
def see_the_processes_of_the_host():
    found = 0
    for name in others():
        with open(f"/proc/{name}/cmdline", "rb") as file:
            found += at["mark"].encode() in file.read()
    return str(found)


@attack("EACCES|EPERM")
def read_the_environment_of_process_1():
    return read(f"/proc/{at['first']}/environ")


@attack("EACCES|EPERM")
def write_the_memory_of_process_1():
    return open_to_write(f"/proc/{at['first']}/mem")


@attack("EACCES|EPERM")
def take_a_descriptor_of_process_1():
    return DONE if os.listdir(f"/proc/{at['first']}/fd") else "EMPTY"


@attack("EACCES|EPERM")
def walk_through_the_root_of_process_1():
    return DONE if os.listdir(f"/proc/{at['first']}/root") else "EMPTY"


@attack("ESRCH")
def find_a_process_of_the_host():
    os.kill(at["victim"], 0)
    return DONE


@attack("ESRCH")
def end_a_process_of_the_host():
    os.kill(at["victim"], signal.SIGTERM)
    return DONE


@attack("ESRCH")
def end_a_process_group_of_the_host():
    os.killpg(at["victim"], signal.SIGCONT)
    return DONE


@attack("ESRCH|EINVAL")
def get_hold_of_a_process_of_the_host():
    return call(434, 434, at["victim"], 0)


@attack("ESRCH")
def slow_down_a_process_of_the_host():
    os.setpriority(os.PRIO_PROCESS, at["victim"], 19)
    return DONE


@attack("ESRCH")
def bind_a_process_of_the_host_to_a_processor():
    os.sched_setaffinity(at["victim"], os.sched_getaffinity(0))
    return DONE


@attack("ESRCH|ProcessLookupError")
def limit_a_process_of_the_host():
    resource.prlimit(at["victim"], resource.RLIMIT_CORE, (0, 0))
    return DONE


@attack("ESRCH")
def have_the_kernel_signal_a_process_of_the_host():
    ends = os.pipe()
    fcntl.fcntl(ends[0], fcntl.F_SETOWN, at["victim"])
    return DONE


@attack("1")
def end_process_1():
    """Both are said to have worked, and do nothing: the kernel keeps them from a process 1."""
    if at["first"] == 1:
        os.kill(1, signal.SIGKILL)
        os.kill(1, signal.SIGSTOP)
    return "1" if os.path.exists("/supervisor.py") else "NONE"


@attack("DONE", "it ends with its sandbox, as the test sees afterwards")
def stay_behind():
    if at["first"] == 1:
        stubborn = f"trap '' HUP INT TERM; exec sleep {at['daemon']}"
        os.system(f'(setsid setsid sh -c "{stubborn}" >/dev/null 2>&1 </dev/null &)')
    return DONE


# -- the kernel: what it must not even be asked ------------------------------------------------------

BAD = 1  # an address at which nothing is


def denied(name, x86, arm, *arguments, refused="EPERM"):
    def function():
        made = [make() if callable(make) else make for make in arguments]
        return call(x86, arm, *made)

    function.__name__ = f"call_{name}"
    CALLS[function.__name__] = (x86, arm, getattr(errno, refused))
    if X86 or arm is not None:
        attack(refused)(function)


def itself():
    return os.getpid()


def a_word():
    """Something to be read or written: (address, length) of 8 bytes."""
    kept.append(ctypes.create_string_buffer(8))
    return struct.pack("=QQ", ctypes.addressof(kept[-1]), 8)


kept = []
perf_attributes = struct.pack("=IIQQQQQ", 1, 112, 0, 0, 0, 0, 0x61) + bytes(64)  # software, user code only

denied("ptrace", 101, 117, 0, 0, 0, 0)
denied("syslog", 103, 116, 10, 0, 0)
denied("vhangup", 153, 58)
denied("pivot_root", 155, 41, BAD, BAD)
denied("adjtimex", 159, 171, BAD)
denied("chroot", 161, 51, BAD)
denied("acct", 163, 89, BAD)
denied("settimeofday", 164, 170, struct.pack("=qq", 0, -1), 0)
denied("mount", 165, 40, BAD, BAD, BAD, 0, 0)
denied("umount2", 166, 39, BAD, -1)
denied("swapon", 167, 224, BAD, -1)
denied("swapoff", 168, 225, BAD)
denied("reboot", 169, 142, 0, 0, 0, 0)
denied("sethostname", 170, 161, b"", -1)
denied("setdomainname", 171, 162, b"", -1)
denied("uselib", 134, None, BAD)
denied("iopl", 172, None, 4)
denied("ioperm", 173, None, 1 << 16, 1, 0)
denied("init_module", 175, 105, BAD, 0, BAD)
denied("delete_module", 176, 106, BAD, 0)
denied("quotactl", 179, 60, -1, BAD, 0, 0)
denied("lookup_dcookie", 212, 18, 0, BAD, 0)
denied("clock_settime", 227, 112, 0, BAD)
denied("kexec_load", 246, 104, 0, 1000, 0, 0xFFFF)
denied("add_key", 248, 217, BAD, 0, 0, 0, 0)
denied("request_key", 249, 218, BAD, 0, 0, 0)
denied("keyctl", 250, 219, 0, -3, 0)
denied("migrate_pages", 256, 238, 0, 1, 0, 0)
denied("unshare_user", 272, 97, 0x10000000)
denied("unshare_mount", 272, 97, 0x00020000)
denied("unshare_network", 272, 97, 0x40000000)
denied("move_pages", 279, 239, 0, 0, 0, 0, 0, 0)
denied("perf_event_open", 298, 241, perf_attributes, 0, -1, -1, 0)
denied("fanotify_init", 300, 262, 0x200, 0)
denied("name_to_handle_at", 303, 264, -100, b"/", bytes(8), bytes(8), 0)
denied("open_by_handle_at", 304, 265, -100, bytes(8), 0)
denied("clock_adjtime", 305, 266, 0, BAD)
denied("setns", 308, 268, -1, 0)
denied("process_vm_readv", 310, 270, itself, a_word, 1, a_word, 1, 0)
denied("process_vm_writev", 311, 271, itself, a_word, 1, a_word, 1, 0)
denied("kcmp", 312, 272, itself, itself, 0, 0, 0)
denied("finit_module", 313, 273, -1, b"", 0)
denied("kexec_file_load", 320, 294, -1, -1, 0, 0, 0)
denied("bpf", 321, 280, 0, bytes(128), 128)
denied("userfaultfd", 323, 282, 1)
denied("open_tree", 428, 428, -100, b"/", 0)
denied("move_mount", 429, 429, -1, b"", -1, b"", 0)
denied("fsopen", 430, 430, b"tmpfs", 0)
denied("fsconfig", 431, 431, -1, 6, 0, 0, 0)
denied("fsmount", 432, 432, -1, 0, 0)
denied("fspick", 433, 433, -100, BAD, 0)
denied("pidfd_getfd", 438, 438, -1, 0, 0)
denied("process_madvise", 440, 440, -1, 0, 0, 0, 0)
denied("mount_setattr", 442, 442, -1, BAD, -1, 0, 0)
denied("quotactl_fd", 443, 443, -1, 0, 0, 0)
denied("open_tree_attr", 467, 467, -100, b"/", 0, 0, 0)
denied("io_uring_setup", 425, 425, 1, bytes(120), refused="ENOSYS")
denied("io_uring_enter", 426, 426, -1, 0, 0, 0, 0, 0, refused="ENOSYS")
denied("io_uring_register", 427, 427, -1, 0, 0, 0, refused="ENOSYS")
denied("clone3", 435, 435, bytes(64), 0, refused="ENOSYS")
denied("io_setup", 206, 0, 1, bytes(8), refused="ENOSYS")


@attack("EPERM")
def call_clone_into_a_new_namespace():
    number = 56 if X86 else 220
    child = libc.syscall(ctypes.c_long(number), *map(word, (0x10000000 | signal.SIGCHLD, 0, 0, 0, 0)))
    if child == 0:
        os._exit(0)
    if child < 0:
        raise OSError(ctypes.get_errno(), "")
    return DONE


@attack("ENOSYS")
def call_by_the_old_door():
    """32-bit system calls have numbers of their own; this one is harmless."""
    if not X86:
        return "ENOSYS"
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\x53\xb8\x14\x00\x00\x00\xcd\x80\x5b\xc3")  # push rbx; eax = getpid; int 0x80; pop rbx; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(code))
    got = ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    return DONE if got > 0 else errno.errorcode[-got]


@attack("EPERM")
def type_into_a_terminal():
    return on_a_terminal(0x5412, b"x")


@attack("EPERM")
def paste_into_a_console():
    return on_a_terminal(0x541C, b"\x03")


def on_a_terminal(request, argument):
    os.setsid()
    _, inside = pty.openpty()
    fcntl.ioctl(inside, termios.TIOCSCTTY, 0)
    fcntl.ioctl(inside, request, argument)
    return DONE


# -- the frame ---------------------------------------------------------------------------------------


def outcome(run):
    """In a process of its own, in a folder of its own, with an end."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.chdir(tempfile.mkdtemp(dir=at["folder"]))
        signal.alarm(SECONDS)
        os.write(theirs, tried(run).encode())
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as answer:
        said = answer.read().decode()
    _, status = os.waitpid(child, 0)
    return said or f"signal {status & 127}"


def tried(run):
    try:
        return str(run())
    except OSError as error:
        return errno.errorcode.get(error.errno, type(error).__name__)
    except Exception as error:
        return type(error).__name__


def main():
    at.update(json.loads(sys.argv[1]))
    for name, each in ATTACKS.items():
        print(json.dumps({"name": name, "outcome": outcome(each.run)}), flush=True)


if __name__ == "__main__":
    main()
