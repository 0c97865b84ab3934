"""The crash scenarios are worth something: each rule that is taken out of the code is noticed by them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import crash_mutants
import pytest
from crash_explore import Explorer, place, with_a_zombie

pytestmark = pytest.mark.proof("mutants")


@pytest.fixture
def folder() -> Iterator[Path]:
    with place() as found:
        yield found


@pytest.mark.parametrize("mutant", crash_mutants.ALL, ids=lambda mutant: mutant.name)
def test_a_single_crash_is_enough_to_notice_that_it(folder: Path, mutant: crash_mutants.Mutant) -> None:
    with mutant.alive():
        found = Explorer(mutant.scenario, folder, depth=1, first_wrong=True).explore()
    assert found.wrong


@pytest.mark.parametrize("mutant", crash_mutants.OF_ZOMBIES, ids=lambda mutant: mutant.name)
def test_a_boot_taken_for_dead_is_enough_to_notice_that_it(
    folder: Path, mutant: crash_mutants.Mutant
) -> None:
    with mutant.alive():
        assert with_a_zombie(mutant.scenario, folder, first_wrong=True).wrong
