"""Finds a mark wherever a secret could have gone, in every form it could have there.

The standard library alone: the tests use it on the host, and the same file is run inside of sandboxes, as

    python3 leak_scan.py DISGUISED_MARK START > report.json

where the mark is disguised, since it must not be brought in by those who look for it. START is in seconds
since the epoch: a file that was last changed before the secrets were made cannot hold one.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

MOST_BYTES = 64 << 20
PROC_FILES = (
    *("environ", "cmdline", "comm", "maps", "mountinfo", "mounts", "status", "stat", "cgroup", "limits"),
    *("wchan", "auxv", "numa_maps", "smaps", "personality", "syscall", "stack", "attr/current"),
)
KERNEL_FILES = (
    "keys",
    "key-users",
    "cmdline",
    "mounts",
    "net/unix",
    "net/tcp",
    "net/tcp6",
    "net/route",
    "locks",
)
_MASK = 0x5A


def disguised(mark: str) -> str:
    return bytes(byte ^ _MASK for byte in mark.encode()).hex()


def revealed(text: str) -> str:
    return bytes(byte ^ _MASK for byte in bytes.fromhex(text)).decode()


def forms(mark: str) -> dict[str, bytes]:
    """Every way the mark may be written, by the name of that way."""
    plain = mark.encode()
    found = {
        "plain": plain,
        "upper case": plain.upper(),
        "lower case": plain.lower(),
        "reversed": plain[::-1],
        "hex": plain.hex().encode(),
        "HEX": plain.hex().upper().encode(),
        "hex with spaces": plain.hex(" ").encode(),
        "UTF-16, little": mark.encode("utf-16-le"),
        "UTF-16, big": mark.encode("utf-16-be"),
        "JSON": "".join(f"\\u{ord(c):04x}" for c in mark).encode(),
        "JSON, upper case": "".join(f"\\u{ord(c):04X}" for c in mark).encode(),
        "Python": "".join(f"\\x{ord(c):02x}" for c in mark).encode(),
        "HTML": "".join(f"&#{ord(c)};" for c in mark).encode(),
        "HTML, hex": "".join(f"&#x{ord(c):x};" for c in mark).encode(),
        "URL": "".join(f"%{ord(c):02X}" for c in mark).encode(),
        "URL, lower case": "".join(f"%{ord(c):02x}" for c in mark).encode(),
        "URL, twice": "".join(f"%25{ord(c):02X}" for c in mark).encode(),
    }
    for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
        for shift in range(3):  # what comes before decides how the bits fall
            whole = encode(b"\0" * shift + plain)
            first = -(-shift * 8 // 6)  # characters that what is before has a share in
            found[f"{name}, shifted {shift}"] = whole[first : len(whole.rstrip(b"=")) - 1]
    return found


class Scanner:
    """Counts the places it looked at and names those where it found something, never with the mark itself."""

    def __init__(self, mark: str, start: float = 0.0) -> None:
        self._forms = {form: name for name, form in forms(mark).items()}
        self._start = start
        self.places = 0
        self.hits: list[str] = []

    def look(self, where: str, content: bytes | str) -> None:
        """One place, and what is packed into it."""
        self.places += 1
        data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        for how, layer in _layers(data):
            for form, name in self._forms.items():
                if form in layer:
                    self.hits.append(f"{where}: {name}{how}")

    def file(self, path: Path, where: str = "") -> None:
        """A regular file, unless it is older than the secrets; its name is a place as well."""
        try:
            status = path.lstat()
            if stat.S_ISLNK(status.st_mode):
                self.look(f"link {where or path}", os.fsencode(os.readlink(path)))
            if not stat.S_ISREG(status.st_mode) or status.st_ctime < self._start:
                return
            self.look(f"name of {where or path}", os.fsencode(path))
            with path.open("rb") as file:
                self.look(where or str(path), file.read(MOST_BYTES))
        except OSError:
            return

    def tree(self, root: Path, skip: Callable[[Path], bool] = lambda path: False) -> None:
        for folder, names, files in os.walk(root):
            here = Path(folder)
            names[:] = [name for name in names if not skip(here / name)]
            for name in [*files, *names]:
                if not skip(here / name):
                    self.file(here / name)

    def process(self, pid: int | str, files: tuple[str, ...] = PROC_FILES) -> None:
        """What one process shows of itself: files of /proc, and what is behind its descriptors."""
        for name in files:
            try:
                content = Path(f"/proc/{pid}/{name}").read_bytes()
            except OSError:
                continue
            self.look(f"/proc/{pid}/{name}", content)
        try:
            numbers = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            return
        for number in numbers:
            link = f"/proc/{pid}/fd/{number}"
            try:
                self.look(link, os.fsencode(os.readlink(link)))
                if stat.S_ISREG(os.stat(link).st_mode):
                    self.look(link, Path(link).read_bytes()[:MOST_BYTES])
            except OSError:
                continue

    def git(self, folder: Path, where: str = "") -> None:
        """Every object of a repository, unpacked, and its configuration."""
        for command in (
            ["cat-file", "--batch-all-objects", "--batch", "--buffer"],
            ["for-each-ref"],
            ["config", "--list", "--show-origin"],
        ):
            run = ["git", "-c", "safe.directory=*", f"--git-dir={folder}", *command]
            done = subprocess.run(run, capture_output=True)
            self.look(f"git {command[0]} of {where or folder}", done.stdout + done.stderr)

    def report(self) -> str:
        return json.dumps({"places": self.places, "hits": sorted(set(self.hits))})


def _layers(data: bytes, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    yield "", data
    if depth < 3:
        for kind, unpack in _UNPACK.items():
            try:
                inner = unpack(data)
            except Exception:  # whatever a strange file does to these libraries, it is not of that kind
                continue
            for how, layer in _layers(inner, depth + 1):
                yield f" in {kind}{how}", layer


def _unzipped(data: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return b"\n".join(archive.read(name) for name in archive.namelist())


def _untarred(data: bytes) -> bytes:
    if data[257:262] != b"ustar":
        raise ValueError
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = (archive.extractfile(member) for member in archive if member.isreg())
        return b"\n".join(file.read() for file in files if file)


def _inflated(data: bytes) -> bytes:
    if data[:1] != b"\x78":
        raise ValueError
    return zlib.decompressobj().decompress(data, MOST_BYTES)


def _gunzipped(data: bytes) -> bytes:
    if data[:2] != b"\x1f\x8b":
        raise ValueError
    return gzip.decompress(data)


_UNPACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": _gunzipped,
    "zlib": _inflated,
    "zip": _unzipped,
    "tar": _untarred,
}


def changed_since(start: float) -> list[Path]:
    """Everything outside of /proc that has changed since, by `find`: Python would need seconds for /usr."""
    command = ["find", "/", "-path", "/proc", "-prune", "-o", "-newerct", f"@{start}", "-print0"]
    found = subprocess.run(command, capture_output=True).stdout
    return [Path(os.fsdecode(name)) for name in found.split(b"\0") if name]


def main(mark: str, start: float) -> None:
    """Everything a program in a sandbox can read."""
    scanner = Scanner(revealed(mark), start)
    scanner.look("environment", json.dumps(dict(os.environ)))
    scanner.look("host name", os.uname().nodename)
    repositories = set()
    for path in changed_since(start):
        scanner.file(path)
        repositories |= {folder for folder in path.parents if folder.name == ".git"}
    for name in KERNEL_FILES:
        scanner.file(Path("/proc", name))
        try:
            scanner.look(f"/proc/{name}", Path("/proc", name).read_bytes())
        except OSError:
            continue
    for pid in filter(str.isdigit, os.listdir("/proc")):
        scanner.process(pid)
    for folder in repositories:
        scanner.git(folder)
    sys.stdout.write(scanner.report())


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
