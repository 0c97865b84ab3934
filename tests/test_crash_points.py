"""Every crash on the way of a mention, single and double: nothing is lost, nothing is done twice.

The code is the bot's own, from Bolt's dispatch to PyGithub's requests, and so are its files; outside of it
is the world of `crash_world`. `tests/test_sessions_crash.py` and `make soak` kill processes over real wires.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import crash_scenarios as scenarios
import pytest
from crash_explore import Explorer, after_crashes, place, with_a_zombie, with_faults
from crash_walk import Scenario

Record = Callable[[str, object], None]
pytestmark = pytest.mark.proof("crash")


@pytest.fixture
def folder() -> Iterator[Path]:
    with place() as found:
        yield found


def _name(scenario: Scenario) -> str:
    return scenario.name


@pytest.mark.parametrize(
    ("scenario", "states", "pulls"),
    [
        (scenarios.MENTION, ["done"], [["a.txt"]]),
        (scenarios.REPLY, ["done", "done"], [["a.txt", "b.txt"]]),
        (scenarios.PICKER, ["done"], [["a.txt"]]),
        (scenarios.QUESTION, ["done", "done"], [["a.txt", "b.txt"]]),
        (scenarios.STOP, ["stopped", "done"], [["a.txt", "b.txt"]]),
        (scenarios.STOP_AND_GO_ON, ["stopped", "done"], [["a.txt", "b.txt"]]),
        (scenarios.MERGED, ["done", "done"], [["a.txt"], ["a.txt", "b.txt"]]),
        (scenarios.SECOND_THOUGHTS, ["done", "done", "removed"], [["a.txt", "d.txt"]]),
        (scenarios.TWO_THREADS, ["done", "done"], [["a.txt"], ["b.txt"]]),
        (scenarios.GAP, ["done", "done"], [["a.txt", "b.txt"]]),
        (scenarios.CLOSED, ["done"], [["a.txt"]]),
        (scenarios.ONE_TRY, ["done"], [["a.txt"]]),
        (scenarios.MOVED, ["done"], [["a.txt"]]),
        (scenarios.MOVED_AT_WORK, ["stopped", "done"], [["a.txt", "b.txt"]]),
    ],
    ids=lambda value: value.name if isinstance(value, Scenario) else "",
)
def test_without_a_crash_the_scenario_is_what_it_says(
    folder: Path, scenario: Scenario, states: list[str], pulls: list[list[str]]
) -> None:
    after = after_crashes(scenario, folder)
    assert (after.wrong, after.states) == ([], states)
    remote = after.world.remote
    found = [sorted(remote.files(after.world.head(p.head)).keys() - {"README.md"}) for p in after.world.pulls]
    assert sorted(found) == pulls


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=_name)
def test_a_crash_at_any_point_loses_nothing_and_doubles_nothing(
    folder: Path, scenario: Scenario, record_property: Record
) -> None:
    found = Explorer(scenario, folder, depth=1).explore()
    assert found.wrong == []
    assert found.tried >= 70
    record_property("cases", found.tried)


def test_two_crashes_at_any_two_points_lose_nothing_and_double_nothing(
    folder: Path, record_property: Record
) -> None:
    found = Explorer(scenarios.MENTION, folder, depth=2).explore()
    assert found.wrong == []
    assert found.tried >= 1500
    record_property("cases", found.tried - found.points)  # the single ones are counted above


@pytest.mark.proof("outside")
@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(each, marks=() if each in (scenarios.MENTION, scenarios.STOP) else pytest.mark.soak)
        for each in scenarios.ALL
    ],
    ids=_name,
)
def test_any_one_call_outside_may_fail_in_any_way_and_all_is_done_once(
    folder: Path, scenario: Scenario, record_property: Record
) -> None:
    """With a 5xx, with a 429, or with its answer lost, whether it reads or writes: only time is lost."""
    found = with_faults(scenario, folder, ("refused", "limited", "lost"))
    assert found.wrong == []
    record_property("cases", found.tried)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "scenario", [each for each in scenarios.ALL if each is not scenarios.MENTION], ids=_name
)
def test_two_crashes_in_every_other_scenario_lose_nothing_and_double_nothing(
    folder: Path, scenario: Scenario, record_property: Record
) -> None:
    found = Explorer(scenario, folder, depth=2).explore()
    assert found.wrong == []
    record_property("cases", found.tried - found.points)


def test_a_bot_that_was_taken_for_dead_and_goes_on_changes_nothing(
    folder: Path, record_property: Record
) -> None:
    """Another boot takes over at any point, while the first one goes on unawares."""
    found = with_a_zombie(scenarios.MENTION, folder)
    assert found.wrong == []
    record_property("cases", found.tried)


def test_what_remains_is_a_post_that_is_still_inside_slack_when_the_thread_is_read(folder: Path) -> None:
    """The one window there is: it shows later, and then stands there twice. Nothing else is doubled."""
    after = after_crashes(scenarios.LATE_POST, folder, "after chat.postMessage")
    keys = [post.key for post in after.world.posts if post.key]
    assert after.wrong == [f"{keys[0]} was posted 2 times"]
    assert after.states == ["done"]
