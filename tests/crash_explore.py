"""Tries every crash: the way of a mention is walked once, and the bot dies at each of its points.

A crash is nothing but the disk and the world as they are at that moment, so both are copied there and another
bot is started on the copy. It walks on to the end, dying at each of its own points in turn. Copies that are
alike in all that matters (times, names and epochs aside) are walked from once; each counts as tried.
"""

from __future__ import annotations

import logging
import pickle
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from crash_bot import Fault
from crash_walk import Scenario, Walk
from crash_world import Outside


@dataclass
class Moment:
    """A disk and a world at one point, `path` being where the bot died each time on the way there."""

    folder: Path
    world: bytes
    path: tuple[str, ...]


@dataclass
class Found:
    """What came of it. `tried` counts crashes, `walked` the different ones that were walked from."""

    tried: int = 0
    walked: int = 0
    points: int = 0
    wrong: list[str] = field(default_factory=list)


class Explorer:
    """Walks one scenario; `depth` crashes in a row at most."""

    def __init__(self, scenario: Scenario, folder: Path, depth: int = 2, first_wrong: bool = False) -> None:
        self.scenario = scenario
        self._folder = folder
        self._depth = depth
        self._first_wrong = first_wrong
        self._seen: set[str] = set()
        self._numbers = 0
        self.found = Found()

    def explore(self) -> Found:
        beginning = self._folder / "beginning"
        beginning.mkdir(parents=True)
        level = [Moment(beginning, pickle.dumps(Outside()), ())]
        for depth in range(self._depth + 1):
            following: list[Moment] = []
            for moment in level:
                following += self._walk(moment, die=depth < self._depth)
                shutil.rmtree(moment.folder)
                if self._first_wrong and self.found.wrong:
                    return self.found
            level = following
        return self.found

    def _walk(self, moment: Moment, die: bool) -> list[Moment]:
        """One bot from here to the end, and the moments at which it would have died."""
        world: Outside = pickle.loads(moment.world)
        walk = Walk(self.scenario, moment.folder, world)
        kept: list[Moment] = []

        def here(point: str, signature: Callable[[], str]) -> None:
            self.found.points += not moment.path
            self.found.tried += 1
            name = signature()
            if name in self._seen:
                return
            self._seen.add(name)
            self._numbers += 1
            copy = self._folder / f"{self._numbers}"
            shutil.copytree(moment.folder, copy)
            kept.append(Moment(copy, pickle.dumps(world), (*moment.path, f"{walk.count} {point}")))

        if die:
            walk.here = here
        self.found.walked += 1
        for wrong in walk.to_the_end():
            dying = " and ".join(moment.path) or "no crash"
            self.found.wrong.append(f"{self.scenario.name}, {dying}: {wrong}")
        return kept


@contextmanager
def place() -> Iterator[Path]:
    """A folder to walk in, and quiet: each crash would say at its next start that something was cut off.

    In memory where there is such a place, since thousands of small files are made and deleted.
    """
    shared = Path("/dev/shm")
    logging.disable(logging.CRITICAL)
    try:
        with TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
            yield Path(name) / "walks"
    finally:
        logging.disable(logging.NOTSET)


def after_crashes(scenario: Scenario, folder: Path, *points: str) -> Aftermath:
    """The bot dies at each of these points in turn, the first of each boot whose name begins so."""
    moment = Moment(folder / "0", pickle.dumps(Outside()), ())
    moment.folder.mkdir(parents=True)
    for number, wanted in enumerate(points, 1):
        moment = _died_at(scenario, moment, wanted, folder / f"{number}")
    world: Outside = pickle.loads(moment.world)
    walk = Walk(scenario, moment.folder, world)
    return Aftermath(walk.to_the_end(), world, walk.states())


@dataclass
class Aftermath:
    """What is wrong, what the world is like, and the last state of each prompt in order."""

    wrong: list[str]
    world: Outside
    states: list[str]


def _died_at(scenario: Scenario, moment: Moment, wanted: str, copy: Path) -> Moment:
    world: Outside = pickle.loads(moment.world)
    walk = Walk(scenario, moment.folder, world)
    died: list[Moment] = []

    def here(point: str, signature: Callable[[], str]) -> None:
        if not died and point.startswith(wanted):
            shutil.copytree(moment.folder, copy)
            died.append(Moment(copy, pickle.dumps(world), (*moment.path, point)))

    walk.here = here
    walk.to_the_end()
    assert died, f"nobody ever came to {wanted!r} behind {moment.path}"
    return died[0]


def with_a_zombie(scenario: Scenario, folder: Path, first_wrong: bool = False, at: str = "") -> Found:
    """At each point (or the first named `at`) another boot takes over, while the first goes on unawares.

    As a process does that was paused until everybody took it for dead, where locks do not hold it off.
    """
    found = Found()
    points = _points(scenario, folder / "0")
    found.points = len(points)
    for number, point in enumerate(points, 1):
        if not point.startswith(at):
            continue
        here = folder / str(number)
        here.mkdir()
        walk = Walk(scenario, here, Outside())
        walk.usurped_at = number
        found.tried += 1
        found.walked += 1
        found.wrong += [f"{scenario.name}, taken over at {number} {point}: {w}" for w in walk.to_the_end()]
        shutil.rmtree(here)
        if at or (first_wrong and found.wrong):
            break
    return found


def with_faults(scenario: Scenario, folder: Path, kinds: Sequence[str]) -> Found:
    """Each call to the outside, one at a time, fails in each of these ways."""
    found = Found()
    for kind in kinds:
        number, last = 0, 1
        while number < last:
            number += 1
            here = folder / f"{kind}-{number}"
            here.mkdir(parents=True)
            walk = Walk(scenario, here, Outside())
            walk.fault = Fault(number, kind)
            wrong = walk.to_the_end() + [f"a prompt {state}" for state in walk.states() if state == "failed"]
            found.wrong += [f"{scenario.name}, call {number} {kind}: {each}" for each in wrong]
            last = max(last, walk.calls)
            found.tried += 1
            shutil.rmtree(here)
    return found


def _points(scenario: Scenario, folder: Path) -> list[str]:
    """The names of all points there are without a crash."""
    folder.mkdir(parents=True)
    found: list[str] = []
    walk = Walk(scenario, folder, Outside())
    walk.here = lambda point, signature: found.append(point)
    walk.to_the_end()
    return found
