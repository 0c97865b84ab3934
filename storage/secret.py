"""A value that must never be seen: hidden from `repr`, logs, exceptions, pickles and f-strings."""

from __future__ import annotations

import hmac
from typing import NoReturn


class Secret:
    """Holds a secret string. `reveal()` is the only way out, so every use can be found by its name.

    `name` says where it came from (`env SLACK_BOT_TOKEN`), so that an error can name it without showing it.
    """

    __slots__ = ("_value", "name")

    def __init__(self, value: str, name: str = "secret") -> None:
        self._value = value
        self.name = name

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled or copied")
