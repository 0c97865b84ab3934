"""The kinds of values that settings are made of, and how a wrong one is refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints
from pydantic_core import PydanticCustomError

Count = Annotated[int, Field(gt=0, le=2**31)]
Seconds = Annotated[int, Field(gt=0, le=366 * 24 * 3600)]
Word = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]+(/[^\s]*)?$", max_length=500)]

# A host's name, in small letters. The last label begins with a letter: what ends in a number (10.1, 0x7f.0x1,
# 2130706433) is an address in some notation.
HOST_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
HOST_TOP = r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"


def refuse(expected: str, fix: str) -> PydanticCustomError:
    """What a validator raises, so that the mistake says what was expected and how to fix it."""
    return PydanticCustomError("setting", "{expected}", {"expected": expected, "fix": fix})
