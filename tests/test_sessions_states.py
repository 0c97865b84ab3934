"""The decisions of a session's life."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.sessions.states import Way, branch_number, title_of, way_of

PUSH, STOP, POST = {"kind": "git.push"}, {"kind": "turn.stop"}, {"kind": "thread.post"}


@pytest.mark.parametrize(
    ("attempt", "effects", "way"),
    [
        (1, [], Way.RUN),
        (3, [POST], Way.RUN),
        (4, [], Way.GIVE_UP),
        (1, [STOP], Way.STOP),
        (4, [STOP], Way.STOP),
        (1, [PUSH], Way.LAND),
        (6, [STOP, PUSH], Way.LAND),
        (7, [PUSH], Way.GIVE_UP),
    ],
)
def test_which_way_a_claimed_prompt_goes(attempt: int, effects: list[dict[str, str]], way: Way) -> None:
    """A begun push is always finished; a stop is heard before another try; three tries are enough."""
    assert way_of(attempt, 3, effects) is way


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("fix it", "fix it"),
        ("\n\n  fix   it  \nand more", "fix it"),
        ("repo=acme/ledger fix it", "fix it"),
        ("fix it repo=ledger now", "fix it now"),
        ("norepo=x stays", "norepo=x stays"),
        ("", ""),
        ("word " * 30, "word " * 13 + "word…"),
        ("y" * 100, "y" * 71 + "…"),
    ],
)
def test_a_title_is_the_first_line_cut_at_a_word(text: str, title: str) -> None:
    assert title_of(text) == title


@given(st.text(), st.integers(5, 100))
def test_a_title_is_one_line_within_its_limit(text: str, limit: int) -> None:
    title = title_of(text, limit)
    assert len(title) <= limit
    assert len(title.splitlines()) <= 1


@pytest.mark.parametrize(
    ("current", "branch", "state", "number"),
    [
        (1, None, None, 1),
        (1, "threadsmith/x", None, 1),
        (1, "threadsmith/x", "open", 1),
        (1, "threadsmith/x", "merged", 2),
        (2, "threadsmith/x-2", "closed", 3),
        (1, None, "merged", 1),
    ],
)
def test_an_ended_pull_request_ends_its_branch(
    current: int, branch: str | None, state: str | None, number: int
) -> None:
    assert branch_number(current, branch, state) == number
