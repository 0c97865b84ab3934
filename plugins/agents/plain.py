"""Texts that may go into a sandbox: no secret, no reference to one, no placeholder that nobody fills."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, StringConstraints
from pydantic_core import PydanticCustomError

NO_KEY = "not-a-key"  # what a program gets that will not start without one
PLACEHOLDERS = frozenset({"model", "model_url", "gateway", "folder", "no_key"})
OF_MODELS = frozenset({"model", "model_url"})

_SECRET_NAME = re.compile(
    r"(?:^|_)(?:api)?(?:key|token|secret|passw(?:or)?d|pwd|credential|auth|cookie)s?(?:_|$)", re.IGNORECASE
)
_SECRET_VALUE = re.compile(
    r"\bsk-[\w-]{8}|\bgh[a-z]_\w{8}|\bgithub_pat_\w|\bxox[a-z]+-\w|\bxapp-\w|\bAKIA[A-Z0-9]{8}|\bglpat-\w"
    r"|-----BEGIN|\bBearer\s+(?!\{no_key\})\S|\w://[^\s/:@]+:[^\s/@]+@"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
# Not a shell's, and nothing that JSON or TOML has; in doubled braces a word is meant as it is.
_PLACEHOLDER = re.compile(r"\{(?P<plain>\{[a-z_]+\})\}|(?<!\$)\{(?P<name>[a-z_]+)\}")
_PATH = re.compile(r"[A-Za-z0-9._@+-]+(?:/[A-Za-z0-9._@+-]+)*")
_FIX = "A sandbox never holds a secret: leave it out; the gateway adds keys on the way out."


def refused(expected: str, got: str, fix: str) -> PydanticCustomError:
    """Of the type "secret", so that the value is not shown."""
    return PydanticCustomError("secret", "{expected}", {"expected": expected, "got": got, "fix": fix})


def used(text: str) -> set[str]:
    """The placeholders in a text."""
    return {found["name"] for found in _PLACEHOLDER.finditer(text) if found["name"]}


def fill(text: str, values: Mapping[str, str]) -> str:
    """A text with its placeholders' values."""
    return _PLACEHOLDER.sub(lambda found: found["plain"] or values[found["name"]], text)


def _no_reference(value: object) -> object:
    """`{ env = "X" }` and `{ file = "x" }` name secrets elsewhere in the configuration."""
    if isinstance(value, dict):
        raise refused("a plain text", "a reference to a secret", _FIX)
    return value


def _no_secret(value: str) -> str:
    if _SECRET_VALUE.search(value):
        raise refused("a plain text", "what looks like a secret (not shown)", _FIX)
    return value


def _known_placeholders(value: str) -> str:
    if used(value) - PLACEHOLDERS:
        known = ", ".join(f"{{{name}}}" for name in sorted(PLACEHOLDERS))
        fix = f"Known are {known}; a word that is to stay in braces is written as {{{{word}}}}."
        raise refused("only placeholders that are known", "another word in braces", fix)
    return value


def _variables(env: dict[str, str]) -> dict[str, str]:
    for name, value in env.items():
        if not _VARIABLE.fullmatch(name):
            fix = "Use letters, digits and _."
            raise refused("the names of environment variables", "something else", fix)
        if _SECRET_NAME.search(name) and value != "{no_key}":
            shown = "one of them" if _SECRET_VALUE.search(name) else name
            fix = f'{_FIX} Where a program will not start without one: {shown} = "{{no_key}}".'
            raise refused("variables that are no secret", f"{shown}, which is named like one", fix)
    return env


def _paths(files: dict[str, str]) -> dict[str, str]:
    for path in files:
        if not _PATH.fullmatch(path) or len(path) > 200 or {".", ".."} & set(path.split("/")):
            fix = 'Write them from the home folder on, as in ".config/agent/settings.json".'
            raise refused("paths of files in the home of a sandbox", "another path", fix)
    return files


Plain = Annotated[
    str,
    StringConstraints(max_length=65536),
    BeforeValidator(_no_reference),
    AfterValidator(_no_secret),
    AfterValidator(_known_placeholders),
]
Variables = Annotated[dict[str, Plain], AfterValidator(_variables)]
Files = Annotated[dict[str, Plain], AfterValidator(_paths)]
