"""JSON bodies and query parameters of the control and page API, checked as they are read."""

from __future__ import annotations

import base64
import re
from typing import Any

from aiohttp import web

from bot.playground.slack.arguments import whole
from bot.playground.slack.errors import ControlError
from bot.playground.slack.files import MAX_FILE_BYTES, MAX_FILES, MAX_MESSAGE_BYTES
from bot.playground.slack.messages import Json

_MIMETYPE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,100}")


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

    def texts(self, name: str) -> list[str]:
        """A list of strings."""
        value = self._values.get(name)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise ControlError(400, f"{name} must be a list of strings")
        return [whole(each) for each in value]

    def attached(self, name: str) -> list[tuple[str, bytes, str | None]]:
        """Files as (name, content, mimetype), none where absent."""
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > MAX_FILES:
            raise ControlError(400, f"{name} must be a list of at most {MAX_FILES} files")
        found = [_attached(each) for each in value]
        if sum(len(content) for _, content, _ in found) > MAX_MESSAGE_BYTES:
            raise ControlError(413, f"files of one message may have {MAX_MESSAGE_BYTES} bytes together")
        return found


def _attached(given: Any) -> tuple[str, bytes, str | None]:
    if not isinstance(given, dict):
        raise ControlError(400, "a file must be an object of name, content_base64, mimetype")
    body = Body(given)
    try:
        content = base64.b64decode(body.text("content_base64"), validate=True)
    except ValueError:
        raise ControlError(400, "content_base64 is not base64") from None
    if len(content) > MAX_FILE_BYTES:
        raise ControlError(413, f"a file may have {MAX_FILE_BYTES} bytes")
    mimetype = body.maybe("mimetype")
    if mimetype is not None and not _MIMETYPE.fullmatch(mimetype):
        raise ControlError(400, "mimetype must be like image/png")
    return body.text("name"), content, mimetype


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
