"""The power is cut while a mirror and kept work are written: what is left is whole, or not there at all.

Git flushes no folders, so names are taken to be kept in their order, as ext4, xfs and btrfs do; but what has
been promised (a commit whose push is planned, work that was called kept) is there on any disk.
"""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from cut_kit import memory
from disk_kit import Disk, Model, Op, lay_out, read_journal, recording
from git_kit import REPOSITORY, git

from bot.git import Mirrors

pytestmark = pytest.mark.proof("power")

HERE = Path(__file__).parent
MIRROR = f"{REPOSITORY}.git"


def work(tmp_path: Path) -> list[Op]:
    """What two turns do to a mirror and to kept work, each git recorded too."""
    folder, journal, program = tmp_path / "work", tmp_path / "journal", tmp_path / "git"
    root = folder / "mirrors"
    root.mkdir(parents=True)
    ours = {
        key: value for key, value in recording(root, journal).items() if key.startswith(("LD_", "RECORDER_"))
    }
    lines = [f"export {key}='{value}'" for key, value in {**ours, "RECORDER_CHILDREN": "1"}.items()]
    program.write_text("\n".join(["#!/bin/sh", *lines, 'exec git "$@"', ""]))
    program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, str(HERE / "data" / "mirror_work.py"), str(folder), str(program)],
        env={**recording(root, journal), "PYTHONPATH": f"{HERE.parent}:{HERE}"},
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return read_journal(journal)


class Cuts:
    """Cuts behind every step; `count` is how many different images were looked at."""

    def __init__(self, root: Path, images: Path) -> None:
        self._any = Disk(root)  # promises nothing but what was flushed
        self._ordered = Disk(root)
        self._images = images
        self._looked: set[str] = set()
        self._bundles: set[bytes] = set()
        self._planned: set[str] = set()
        self.count = 0

    def go(self, ops: list[Op]) -> None:
        for step, op in enumerate(ops):
            for disk in (self._any, self._ordered):
                disk.do(op)
            if op.kind == "F":
                self._ordered.flush_names()
            try:
                self._look(op)
            except AssertionError as error:
                raise AssertionError(f"step {step} ({op.kind} {op.path}): {error}") from error

    def _look(self, op: Op) -> None:
        if op.kind == "K":
            self._promised(op.data.decode().split())
        elif op.kind == "R" and "/kept/" in op.path:
            whole = self._any.left(Model.ALL, random.Random(0), "kept")
            self._bundles |= {content for content in whole.values() if content}
        if op.kind in "WTFRULMOZ" and ".scratch" not in op.path:
            for model in (Model.LEAST, Model.NAMES, Model.ALL):
                self._mirror(self._ordered.left(model, random.Random(0), MIRROR))
                self._kept(self._any.left(model, random.Random(0), "kept"))

    def _promised(self, words: list[str]) -> None:
        if words[0] == "planned":
            self._planned.add(words[1])
            self._mirror(self._any.left(Model.LEAST, random.Random(0), MIRROR), on_any_disk=True)
        elif words[0] == "kept":
            left = self._any.left(Model.LEAST, random.Random(0), "kept")
            assert any(path.endswith(f".{words[1]}.bundle") for path in left), "what was called kept is gone"

    def _kept(self, left: Mapping[str, bytes | None]) -> None:
        for path, content in left.items():
            assert not path.endswith(".bundle") or content in self._bundles, "kept work is not whole"

    def _mirror(self, left: Mapping[str, bytes | None], on_any_disk: bool = False) -> None:
        left = {path: content for path, content in left.items() if ".scratch" not in path}
        mark = f"{sorted(left.items())} {sorted(self._planned)}"
        if mark in self._looked:
            return
        self._looked.add(mark)
        self.count += 1
        folder = self._images / str(self.count)
        lay_out(left, folder)
        Mirrors(folder).sweep()
        place = folder / MIRROR
        if not place.exists():
            assert not self._planned, "the mirror with a promised commit is gone"
            return
        assert not list(place.rglob("*.lock")), "a lock nobody holds is in the way"
        if not on_any_disk:
            git(place, "fsck", "--connectivity-only", "--no-dangling")
        for commit in self._planned:
            assert git(place, "cat-file", "-t", commit) == "commit"


@pytest.fixture
def images() -> Iterator[Path]:
    with memory() as folder:
        yield folder


def test_a_mirror_is_whole_and_what_was_promised_is_in_it_wherever_the_power_is_cut(
    tmp_path: Path, images: Path, record_property: Callable[[str, object], None]
) -> None:
    cuts = Cuts(tmp_path / "work" / "mirrors", images)
    cuts.go(work(tmp_path))
    assert len(cuts._planned) == 2
    record_property("cases", cuts.count)
