"""Secrets in settings are named, never written: `{ env = "NAME" }` or `{ file = "path" }`."""

from __future__ import annotations

import os
import re
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from storage import Secret

MAX_SECRET_BYTES = 64 * 1024
REFERENCE = 'a secret named by reference: { env = "NAME" } or { file = "path" }'
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(
    r"xox[a-z]+-|xapp-|gh[a-z]_|github_pat_|\bsk-|(?=[A-Za-z]*[0-9])[A-Za-z0-9+=]{20,}", re.IGNORECASE
)
_PRIVATE = stat.S_IRWXG | stat.S_IRWXO  # what nobody but the owner may have


def _with_references(node: Any) -> Any:
    """Put the resolver wherever pydantic would only have asked "is it a Secret?", however deep."""
    if isinstance(node, dict):
        if node.get("type") == "is-instance" and node.get("cls") is Secret:
            return core_schema.with_info_plain_validator_function(_resolve)
        return {key: _with_references(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return type(node)(_with_references(value) for value in node)
    return node


class Section(BaseModel):
    """The base of every settings model, the core's and a plugin's: strict, complete, unchangeable.

    A field of type `Secret` is given in config.toml as `{ env = "NAME" }` or `{ file = "path" }`.
    A default and `Field(description=…)` are what `threadsmith check` and config.example.toml show.
    Tables under names of people's own choice: `extra="allow"` and a type for `__pydantic_extra__`.
    """

    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, arbitrary_types_allowed=True, hide_input_in_errors=True
    )

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: CoreSchema = _with_references(handler(source))
        return schema


def named_tables(model: type[BaseModel]) -> type[BaseModel] | None:
    """What a table is that stands in a section under a name of people's own choice; None where none may."""
    if model.model_config.get("extra") != "allow":
        return None
    inner = get_args(get_type_hints(model).get("__pydantic_extra__"))[-1:]
    return inner[0] if inner and isinstance(inner[0], type) and issubclass(inner[0], BaseModel) else None


def _resolve(value: Any, info: ValidationInfo) -> Secret:
    if isinstance(value, Secret):
        return value
    if not isinstance(info.context, References):
        raise _refused("a Secret", "something else", "Give it a Secret.")
    return info.context.resolve(value)


def _refused(expected: str, got: str, fix: str) -> PydanticCustomError:
    """`got` says what kind of thing was found; the value itself must never come near it."""
    return PydanticCustomError("secret", "{expected}", {"expected": expected, "got": got, "fix": fix})


@dataclass(frozen=True, slots=True)
class References:
    """Where secret references lead. `folder` is what a relative `file` is relative to."""

    folder: Path
    environment: Mapping[str, str]

    def resolve(self, value: Any) -> Secret:
        """The secret behind a reference; PydanticCustomError of type `secret` when there is none."""
        match value:
            case {"env": str(name), **rest} if not rest:
                return self._from_environment(name)
            case {"file": str(name), **rest} if not rest:
                return self._from_file(name)
            case str():
                got = "a value written into the file (not shown)"
            case _:
                got = "something else (not shown)"
        fix = "Put the value into an environment variable or a file of its own, and name that."
        raise _refused(REFERENCE, got, fix)

    def _from_environment(self, name: str) -> Secret:
        if not _VARIABLE.fullmatch(name) or looks_like_token(name):
            fix = 'Write the name of a variable, as in { env = "SLACK_BOT_TOKEN" }, never the value.'
            raise _refused("the name of an environment variable", "no such name (not shown)", fix)
        value = self.environment.get(name, "").strip()
        if not value:
            got = "an empty variable" if name in self.environment else "no such variable"
            raise _refused(
                f"environment variable {name} to be set", got, f"Set it before starting: export {name}=…"
            )
        return Secret(value, f"env {name}")

    def _from_file(self, name: str) -> Secret:
        try:
            path = self.folder / Path(name).expanduser()
        except RuntimeError:  # ~someone who does not exist
            path = self.folder / name
        if looks_like_token(name) and not _is_there(path):  # folders made by programs look like tokens, too
            fix = 'Write the path of a file, as in { file = "slack.txt" }, never the value.'
            raise _refused("the path of a file", "no such path (not shown)", fix)
        expected = f"a private file {path}"
        try:
            value = _read_private(path)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "unreadable"
            fix = f"Make it and keep it private: chmod 600 {shlex.quote(str(path))}"
            raise _refused(expected, reason.lower(), fix) from None
        if not value:
            raise _refused(expected, "an empty file", "Put the secret into it.")
        return Secret(value, f"file {path}")


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a NUL: no path at all
        return False


def looks_like_token(text: str) -> bool:
    """Is this rather a key itself than the name of something? Then it must not be shown."""
    return _TOKEN.search(text) is not None


def _read_private(path: Path) -> str:
    """The text of a regular file that only its owner can touch. OSError says why not."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a FIFO must not make us wait
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "not a regular file")
        if status.st_mode & _PRIVATE:
            raise OSError(0, f"a file that others can touch (mode {stat.S_IMODE(status.st_mode):04o})")
        if status.st_size > MAX_SECRET_BYTES:
            raise OSError(0, f"more than {MAX_SECRET_BYTES} bytes")
        return file.read(MAX_SECRET_BYTES).decode().strip()
