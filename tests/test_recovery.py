"""What a start after a crash does: DESIGN's rules of recovery, a rule a test.

Its rules 4 and 5 are about a sandbox that outlives the bot. None does so far: the only provider's die with
it, as `test_sandboxes_die_with_the_bot_and_the_next_one_tidies_up` in `test_sandbox_life.py` shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import crash_scenarios as scenarios
import pytest
from crash_explore import Aftermath, after_crashes, place, with_a_zombie

pytestmark = pytest.mark.proof("recovery")

AGENT_ASKED = "after the agent is asked"


@pytest.fixture
def folder() -> Iterator[Path]:
    with place() as found:
        yield found


def final(after: Aftermath, number: int = 0) -> str:
    """The words of a final message, the first one unless told otherwise."""
    post = [post for post in after.world.posts if ":final:" in post.key][number]
    return f"{post.text} {json.dumps(post.blocks)}"


def test_1_a_new_epoch_comes_first_and_what_an_older_one_still_does_is_dropped(folder: Path) -> None:
    found = with_a_zombie(scenarios.MENTION, folder, at=AGENT_ASKED)
    assert (found.tried, found.wrong) == (1, [])


@pytest.mark.parametrize("died", ["before push", "after push", "before POST", "after POST"])
def test_2_a_push_or_pull_request_that_was_begun_is_finished_without_the_agent(
    folder: Path, died: str
) -> None:
    after = after_crashes(scenarios.MENTION, folder, died)
    assert (after.wrong, after.states) == ([], ["done"])
    assert after.world.runs == ["write a.txt"]
    assert len(after.world.pulls) == 1
    assert "restarted while this was being pushed" in final(after)


def test_2_what_somebody_closed_meanwhile_is_found_and_not_opened_again(folder: Path) -> None:
    after = after_crashes(scenarios.CLOSED, folder, "after POST")
    assert (after.wrong, [pull.state for pull in after.world.pulls]) == ([], ["closed"])


def test_3_a_sandbox_that_died_with_the_bot_is_made_anew_and_the_thread_says_so(folder: Path) -> None:
    after = after_crashes(scenarios.MENTION, folder, AGENT_ASKED)
    assert (after.wrong, after.states) == ([], ["done"])
    assert after.world.runs == ["write a.txt"] * 2
    assert "restarted in the middle of this; the work began again" in final(after)


def test_3_work_that_was_landed_before_is_in_the_new_sandbox(folder: Path) -> None:
    """The second turn is cut off; what it goes on from is the branch with the first one's commit."""
    after = after_crashes(scenarios.REPLY, folder, "after PATCH")
    assert (after.wrong, after.states) == ([], ["done", "done"])
    [pull] = after.world.pulls
    assert after.world.remote.files(after.world.head(pull.head)).keys() == {"README.md", "a.txt", "b.txt"}


def test_6_a_third_attempt_that_is_cut_off_as_well_fails_visibly_and_the_next_prompt_runs(
    folder: Path,
) -> None:
    after = after_crashes(scenarios.REPLY, folder, AGENT_ASKED, AGENT_ASKED, AGENT_ASKED)
    assert (after.wrong, after.states) == ([], ["failed", "done"])
    assert after.world.runs == ["write a.txt"] * 3 + ["write b.txt"]
    assert "cut off 3 times and is not tried again" in final(after)
    [pull] = after.world.pulls
    assert after.world.remote.files(after.world.head(pull.head)).keys() == {"README.md", "b.txt"}


def test_6_work_that_a_stop_had_kept_outlives_an_attempt_that_is_given_up(folder: Path) -> None:
    after = after_crashes(scenarios.STOP_THEN_TWO, folder, *["after the agent is asked write b"] * 3)
    assert (after.wrong, after.states) == ([], ["stopped", "failed", "done"])
    [pull] = after.world.pulls
    files = after.world.remote.files(after.world.head(pull.head)).keys()
    assert files == {"README.md", "a.txt", "c.txt"}
