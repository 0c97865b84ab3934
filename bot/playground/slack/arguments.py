"""The arguments of a Web API call, whichever of the five encodings they came in."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from bot.playground.slack.errors import SlackError
from bot.playground.slack.messages import Json

_TRUE = frozenset({"1", "true", "t", "yes"})


async def read(request: web.Request) -> Arguments:
    """Arguments from the query and from a JSON, form or multipart body; the body wins."""
    values: Json = dict(request.query)
    if request.method == "POST" and request.can_read_body:
        values |= await _body(request)
    return Arguments(values)


async def _body(request: web.Request) -> Json:
    if request.content_type == "application/json":
        return _json_body(await request.read())
    if request.content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        form = await request.post()
        return {key: value for key, value in form.items() if isinstance(value, str)}
    if request.content_type == "application/octet-stream":
        raise SlackError("invalid_post_type")
    return {}


def _json_body(body: bytes) -> Json:
    if not body:
        return {}
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise SlackError("invalid_json") from None
    if not isinstance(data, dict):
        raise SlackError("json_not_object")
    return data


class Arguments:
    """Typed access to the values; what is of the wrong type or missing raises Slack's error."""

    def __init__(self, values: Json) -> None:
        self.values = values

    def text(self, name: str) -> str | None:
        """A string, or None where absent or null."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return whole(str(value))
        raise SlackError("invalid_arguments", f"[ERROR] must be a string [json-pointer:/{name}]")

    def need(self, name: str) -> str:
        """A string that must be there."""
        value = self.text(name)
        if not value:
            raise SlackError("invalid_arguments", f"[ERROR] missing required field: {name}")
        return value

    def flag(self, name: str) -> bool:
        """A boolean, false where absent."""
        value = self.values.get(name)
        return value if isinstance(value, bool) else str(value).lower() in _TRUE

    def number(self, name: str, default: int, most: int) -> int:
        """A whole number from 1 to `most`; Slack clamps what is above."""
        value = self.values.get(name)
        if value in (None, "", 0, "0"):
            return default
        try:
            number = int(str(value))
        except ValueError:
            raise SlackError("invalid_limit") from None
        if number < 0:
            raise SlackError("invalid_limit")
        return min(number, most)

    def data(self, name: str, error: str) -> Any:
        """A JSON value, given as such or as a string of JSON; `error` where it is not JSON."""
        value = self.values.get(name)
        if not isinstance(value, str):
            return value
        if value.strip() == "":
            return None
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            raise SlackError(error) from None

    def without_token(self) -> Json:
        """All values but the token, for the request log."""
        return {key: value for key, value in self.values.items() if key != "token"}


def whole(text: str) -> str:
    """The text without half characters, which JSON can express but nothing can store."""
    return text.encode(errors="replace").decode()
