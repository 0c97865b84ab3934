"""The part of JSON Schema that our own calls use, and reading an object that keeps to it out of a text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

_OPENINGS = 20  # that are tried in one text


def read_object(text: str, schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first object in `text` that keeps to `schema`: bare, in a fence, among words; None without one."""
    decoder = json.JSONDecoder()
    at = -1
    for _ in range(_OPENINGS):
        at = text.find("{", at + 1)
        if at < 0:
            return None
        try:
            found, _end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            continue
        if fits(found, schema):
            return dict(found)
    return None


def fits(value: object, schema: Mapping[str, Any]) -> bool:
    """Whether a value read from JSON keeps to the schema; a kind that is not known here fits nothing."""
    kinds = {
        "object": lambda: _object_fits(value, schema),
        "array": lambda: isinstance(value, list) and all(fits(each, schema["items"]) for each in value),
        "string": lambda: isinstance(value, str) and _writable(value),
        "number": lambda: isinstance(value, int | float) and not isinstance(value, bool) and _finite(value),
        "integer": lambda: isinstance(value, int) and not isinstance(value, bool),
        "boolean": lambda: isinstance(value, bool),
    }
    check = kinds.get(str(schema.get("type")))
    return check is not None and check() and ("enum" not in schema or value in schema["enum"])


def _object_fits(value: object, schema: Mapping[str, Any]) -> bool:
    if not isinstance(value, dict):
        return False
    known = schema["properties"]
    if not set(schema.get("required", known)) <= value.keys() <= known.keys():
        return False
    return all(fits(each, known[name]) for name, each in value.items())


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


def _writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
