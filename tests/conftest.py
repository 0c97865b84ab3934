"""Nothing to see: what the tests share is in `bot.testing`, which ships with the bot."""

from collections.abc import Iterator

import pytest
from hypothesis import settings
from shapes import ShapeChecker

settings.register_profile("threadsmith", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("threadsmith")


@pytest.fixture
def botty_observer() -> Iterator[ShapeChecker]:
    """Everything any test with `botty` makes the playground say is held against Slack's recorded shapes."""
    checker = ShapeChecker()
    yield checker
    checker.verify()
