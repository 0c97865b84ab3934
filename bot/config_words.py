"""The kinds of values that settings are made of, and how a wrong one is refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints
from pydantic_core import PydanticCustomError

Count = Annotated[int, Field(gt=0, le=2**31)]
Seconds = Annotated[int, Field(gt=0, le=366 * 24 * 3600)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+(/[^\s]*)?$", max_length=500)]


def refuse(expected: str, fix: str) -> PydanticCustomError:
    """What a validator raises, so that the mistake says what was expected and how to fix it."""
    return PydanticCustomError("setting", "{expected}", {"expected": expected, "fix": fix})
