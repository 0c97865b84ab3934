"""The soak, short: a demo is killed and hindered while people talk to it, and nothing said is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SOAK = Path(__file__).parent / "soak"


@pytest.mark.proof("kills")
def test_nothing_is_lost_or_doubled_while_everything_is_killed(
    record_property: Callable[[str, object], None],
) -> None:
    """`make soak` for some seconds, with a fixed seed; what it says is wrong is the failure's text."""
    how = ("--minutes", "0.15", "--seed", "3", "--threads", "2", "--pause", "0.8", "2", "--json")
    done = subprocess.run([sys.executable, str(SOAK), *how], capture_output=True, text=True, timeout=115)
    assert done.stdout, done.stderr
    result = json.loads(done.stdout)
    assert result["broken"] == [], result
    assert done.returncode == 0
    assert result["kills"] > 0
    assert result["prompts"]["prompts"] > 0
    record_property("cases", result["kills"])
