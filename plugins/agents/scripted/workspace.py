"""The files the scripted agent may touch: those of its working directory, and no other."""

from __future__ import annotations

import difflib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

MAX_FILE_BYTES = 5 * 1024 * 1024
MAX_FILES = 20_000
GIT_SECONDS = 20
_LEFT_OUT = {".git", "node_modules", "__pycache__", ".venv"}


class StepError(Exception):
    """A step cannot be done: what is wrong, and what to do. `output`: what a command printed before."""

    def __init__(self, problem: str, advice: str = "", output: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.advice = advice
        self.output = output


class Workspace:
    """Every path goes through `place` or `existing`, which refuse what leads out."""

    def __init__(self, root: str) -> None:
        self.root = Path(root).resolve()

    def place(self, path: str, *, follow: bool = True) -> Path:
        """The absolute path; raises StepError for one outside. `follow` False: a link itself is meant."""
        full = self.root.joinpath(*self._parts(path))
        real = full.resolve() if follow else full.parent.resolve() / full.name
        if self.root not in real.parents:
            raise StepError(
                f"{path} leads out of the repository through a link.", "Name a file that lies in it."
            )
        _refuse_git(path, real.relative_to(self.root).parts)
        return full

    def existing(self, path: str, *, follow: bool = True) -> Path:
        """As `place`, for something that is there; otherwise says what has a similar name."""
        full = self.place(path, follow=follow)
        if os.path.lexists(full):
            return full
        raise StepError(f"There is no file {path}.", self._did_you_mean(path))

    def read(self, path: str) -> bytes:
        full = self.existing(path)
        if full.is_dir():
            raise StepError(f"{path} is a directory.", self._inside(path))
        if not full.is_file():
            raise StepError(f"{path} is no regular file.", "Name one that is.")
        if full.stat().st_size > MAX_FILE_BYTES:
            raise StepError(
                f"{path} is larger than the {MAX_FILE_BYTES} bytes I read.", "Name a smaller file."
            )
        return full.read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """Overwrite in place, so that the file's mode stays."""
        self.place(path).write_bytes(data)

    def files(self) -> list[str]:
        """Tracked and new files, without ignored ones; as git tells, or by walking where there is no git."""
        found = self._from_git()
        return sorted(found if found is not None else self._walked())[:MAX_FILES]

    def text_files(self) -> list[tuple[str, bytes]]:
        """Regular text files with what is in them."""
        regular = [path for path in self.files() if self._is_readable(self.root / path)]
        found = [(path, (self.root / path).read_bytes()) for path in regular]
        return [(path, data) for path, data in found if is_text(data)]

    # -- inside ----------------------------------------------------------------------------------

    def _parts(self, path: str) -> list[str]:
        if not path or len(path) > 1000 or any(ord(char) < 32 for char in path):
            raise StepError(
                "A path is empty, too long or holds control characters.", "Name a file, such as README.md."
            )
        if path.startswith(("/", "~")):
            raise StepError(f"{path} is outside of the repository.", self._relative_advice(path))
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if ".." in parts:
            raise StepError(f"{path} leads out of the repository.", "Name paths from its top, without `..`.")
        if not parts:
            raise StepError(f"{path} is the whole repository.", "Name a file in it.")
        _refuse_git(path, parts)
        return parts

    def _relative_advice(self, path: str) -> str:
        if path.startswith(f"{self.root}/"):
            return f"Name it from the top of the repository: {path[len(str(self.root)) + 1 :]}"
        return "Name paths from the top of the repository, such as src/header.js."

    def _did_you_mean(self, path: str) -> str:
        files = self.files()
        name = Path(path).name.lower()
        same_name = [file for file in files if Path(file).name.lower() == name]
        near = (
            same_name or difflib.get_close_matches(path, files, n=3, cutoff=0.5) or _near_names(name, files)
        )
        if near:
            return f"Did you mean {' or '.join(near[:3])}?"
        return "Say `list files` to see what there is."

    @staticmethod
    def _is_readable(full: Path) -> bool:
        return full.is_file() and not full.is_symlink() and full.stat().st_size <= MAX_FILE_BYTES

    def _inside(self, path: str) -> str:
        inside = [file for file in self.files() if file.startswith(path.rstrip("/") + "/")]
        return f"Name a file in it, such as {inside[0]}." if inside else "Name a file."

    def _from_git(self) -> list[str] | None:
        command = [
            "git",
            "-c",
            f"safe.directory={self.root}",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ]
        try:
            done = subprocess.run(
                command,
                cwd=self.root,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=GIT_SECONDS,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        names = done.stdout.decode("utf-8", "surrogateescape").split("\0")
        return [name for name in dict.fromkeys(names) if name and os.path.lexists(self.root / name)]

    def _walked(self) -> list[str]:
        found: list[str] = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(set(folders) - _LEFT_OUT)
            found += [str((Path(folder) / name).relative_to(self.root)) for name in names]
            if len(found) > MAX_FILES:
                break
        return found


def is_text(data: bytes) -> bool:
    if b"\0" in data[:8192]:
        return False
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _refuse_git(path: str, parts: Sequence[str]) -> None:
    if any(part.casefold() == ".git" for part in parts):
        raise StepError(
            f"{path} belongs to git itself, which I do not touch.", "Name a file of the repository."
        )


def _near_names(name: str, files: list[str]) -> list[str]:
    by_name = {Path(file).name.lower(): file for file in files}
    return [by_name[near] for near in difflib.get_close_matches(name, by_name, n=3, cutoff=0.6)]
