"""Holds what the playground says against what Slack was recorded to say: unknown keys and wrong types fail.

Attach a checker to a workspace and ask it at the end:

    shapes = ShapeChecker()
    side.workspace.observers.append(shapes)   # the playground's Slack side, before or after its start
    ...
    shapes.verify()                           # AssertionError naming each deviation
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data" / "slack-shapes.json"
OPEN = "…"
# Slack sends null for these outside an enterprise.
NULLABLE = frozenset({"enterprise", "enterprise_id"})
TYPES: dict[str, type] = {"str": str, "int": int, "bool": bool}


@cache
def load() -> dict[str, Any]:
    """All shapes: `api/METHOD`, `event/TYPE_OR_SUBTYPE`, `interactive/TYPE`, `slash_commands`, `error`.

    `file` is the shape of a file wherever one is met, named there as `@file`.
    """
    data = json.loads(DATA.read_text())
    return {**data["recorded"], **data["derived"]}


def deviations(value: Any, shape: Any, path: str = "") -> list[str]:
    """Unknown keys and wrong types in `value`, each with its path; missing keys are fine."""
    if shape == OPEN or shape in ({}, []):
        return []
    if isinstance(shape, str) and shape.startswith("@"):
        shape = load()[shape[1:]]
    if isinstance(shape, dict):
        return _object_deviations(value, shape, path)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{path}: expected a list, got {_short(value)}"]
        return [d for i, item in enumerate(value) for d in deviations(item, shape[0], f"{path}[{i}]")]
    if type(value) is not TYPES[shape]:
        return [f"{path}: expected {shape}, got {_short(value)}"]
    return []


def _object_deviations(value: Any, shape: dict[str, Any], path: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{path}: expected an object, got {_short(value)}"]
    found: list[str] = []
    for key, item in value.items():
        here = f"{path}.{key}" if path else key
        if key not in shape:
            found.append(f"{here}: unknown key")
        elif item is not None or key not in NULLABLE:
            found += deviations(item, shape[key], here)
    return found


def _short(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"[:80]


class ShapeChecker:
    """An observer of the workspace that remembers every deviation; `seen` counts by shape name."""

    def __init__(self) -> None:
        self._shapes = load()
        self.seen: dict[str, int] = {}
        self.found: list[str] = []

    def __call__(self, kind: str, name: str, payload: dict[str, Any]) -> None:
        shape_name = _shape_name(kind, name, payload)
        self.seen[shape_name] = self.seen.get(shape_name, 0) + 1
        shape = self._shapes.get(shape_name)
        if shape is None:
            self.found.append(f"{shape_name}: no such shape is recorded")
            return
        # What goes over the wire is JSON, so that is what is compared.
        wire = json.loads(json.dumps(payload))
        self.found += [f"{shape_name}: {deviation}" for deviation in deviations(wire, shape)]

    def verify(self) -> None:
        """AssertionError if anything deviated."""
        assert not self.found, "not as Slack would say it:\n" + "\n".join(dict.fromkeys(self.found))


def _shape_name(kind: str, name: str, payload: dict[str, Any]) -> str:
    if kind == "slash_commands":
        return kind
    if kind == "api" and payload.get("ok") is not True and name != "api.test":
        return "error"
    return f"{kind}/{name}"
