"""JSON bodies and query parameters of the control and page API, checked as they are read."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from bot.playground.slack.arguments import whole
from bot.playground.slack.errors import ControlError
from bot.playground.slack.messages import Json


class Body:
    """Named values; what is missing or of the wrong type is a 400 that names it."""

    def __init__(self, values: Json) -> None:
        self._values = values

    def text(self, name: str) -> str:
        """A string that must be there."""
        value = self._values.get(name)
        if not isinstance(value, str) or not value:
            raise ControlError(400, f"{name} must be a non-empty string")
        return whole(value)

    def maybe(self, name: str) -> str | None:
        """A string or nothing."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            raise ControlError(400, f"{name} must be a string")
        return whole(value) if value else None

    def flag(self, name: str) -> bool:
        """A boolean, false where absent."""
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise ControlError(400, f"{name} must be true or false")
        return value

    def number(self, name: str, default: int | None = None) -> int:
        """A whole number, `default` where absent."""
        value = self._values.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ControlError(400, f"{name} must be a whole number")
        return value

    def files(self, name: str) -> dict[str, str | None]:
        """Paths with their contents, null for those that are to be deleted."""
        value: Any = self._values.get(name)
        if not isinstance(value, dict) or not value:
            raise ControlError(400, f"{name} must be an object of path: content, null deletes")
        if not all(content is None or isinstance(content, str) for content in value.values()):
            raise ControlError(400, f"{name} must have strings or null as contents")
        return value


async def read(request: web.Request) -> Body:
    """The body of a POST, which must be a JSON object sent as application/json."""
    if request.content_type != "application/json":
        raise ControlError(415, "send the body as Content-Type: application/json")
    try:
        data = await request.json()
    except (ValueError, LookupError, RecursionError):  # not JSON, in no charset we know, or too deep to read
        raise ControlError(400, "the body is not JSON") from None
    if not isinstance(data, dict):
        raise ControlError(400, "the body must be a JSON object")
    return Body(data)


def query(request: web.Request) -> Body:
    """The parameters of a GET."""
    return Body(dict(request.query))
