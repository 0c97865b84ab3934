"""Reading JSON that may hold anything: what has the wrong shape counts as not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ID_LIMIT = 256


def mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def string(value: object) -> str:
    return value if isinstance(value, str) else ""


def number(value: object) -> int | float | None:
    """A finite count that JSON readers elsewhere hold exactly; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < 2**53 else None


def usable_id(value: object) -> bool:
    """An id that can be stored, shown and sent back as it came: short and printable."""
    return isinstance(value, str) and 0 < len(value) <= ID_LIMIT and value.isprintable()
