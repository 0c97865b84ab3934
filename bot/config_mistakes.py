"""pydantic's findings as mistakes a person can act on, and never a secret among them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from bot.config_secrets import REFERENCE, looks_like_token, named_tables
from bot.errors import Mistake
from storage import Secret

SHOWN_CHARS = 40
_TELLTALE = re.compile(r"key|token|secret|passw|bearer|-----BEGIN", re.IGNORECASE)
_DENSE = re.compile(r"[A-Za-z0-9+/=_-]{20,}")  # what a key looks like, whoever issued it


def mistakes_of(error: ValidationError, model: type[BaseModel], prefix: str) -> Iterator[Mistake]:
    """One mistake per finding; `prefix` is the table the model was read from, "" for the whole file."""
    for found in error.errors(include_url=False):
        yield _mistake(found, model, prefix)


def _mistake(found: ErrorDetails, model: type[BaseModel], prefix: str) -> Mistake:
    location = found["loc"]
    key = dotted(prefix, location)
    context = found.get("ctx", {})
    if found["type"] == "extra_forbidden" or _no_table(found, model):
        return unknown_key(key, str(location[-1]), _fields(model, location[:-1]))
    field = _field(model, location)
    inner = next(_models(field.annotation), None) if field is not None else None
    if found["type"] == "missing" and inner is not None:
        needed = ", ".join(name for name, each in inner.model_fields.items() if each.is_required())
        return Mistake(key, f"a table [{key}]", "nothing", f"Add it, with {needed}.")
    if found["type"] == "missing":
        return Mistake(key, _wanted(field), "nothing", f"Add it: {_example(location, field)}")
    got = str(context["got"]) if found["type"] == "secret" else shown(found["input"])
    expected = str(context.get("expected", _expected(found["msg"])))
    return Mistake(key, expected, got, str(context.get("fix", _fix(location, field))))


def _no_table(found: ErrorDetails, model: type[BaseModel]) -> bool:
    """A plain value where only a table may be called as one likes: rather a setting that was misspelt."""
    if found["type"] != "model_type" or not found["loc"]:
        return False
    name, above = found["loc"][-1], _models_at(model, found["loc"][:-1])
    return any(named_tables(each) and name not in each.model_fields for each in above)


def unknown_key(key: str, name: str, known: Iterable[str]) -> Mistake:
    """A setting nobody reads, with the one that was probably meant."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        fix = f"Did you mean `{close[0]}`?"
    elif names:
        fix = f"Known here: {', '.join(names)}."
    else:
        fix = "Remove it."
    return Mistake(key, "a known setting", "an unknown one", fix)


def shown(value: Any) -> str:
    """A value for an error's text: its kind where the value is long, deep or could be a secret."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            text = str(value)
            return text if len(text) <= SHOWN_CHARS else "a very long number"
        case str():
            return _shown_text(value)
        case list():
            return f"a list of {len(value)}"
        case dict():
            return "a table"
        case None:
            return "nothing"
    return "something else"


def _shown_text(text: str) -> str:
    if len(text) > SHOWN_CHARS or not text.isprintable() or _suspicious(text):
        return f"text of {len(text)} characters (not shown)"
    return f'"{text}"'


def _suspicious(text: str) -> bool:
    return any((looks_like_token(text), _TELLTALE.search(text), _DENSE.search(text)))


def dotted(prefix: str, location: Iterable[int | str]) -> str:
    """`("repositories", 1, "name")` as `repositories[2].name`: people count from one."""
    key = prefix
    for part in location:
        if isinstance(part, int):
            key += f"[{part + 1}]"
        else:
            key += ("." if key else "") + shown_key(part)
    return key


def shown_key(name: str) -> str:
    """A key as it was written, unless a secret may have been written in its place."""
    plain = re.fullmatch(r"[\w./-]{1,60}", name)
    return name if plain and not looks_like_token(name) else f"(a key of {len(name)} characters)"


def _expected(message: str) -> str:
    return message.removeprefix("Input should be ").removeprefix("Value error, ")


def _wanted(field: FieldInfo | None) -> str:
    if field is not None and _holds(field.annotation, Secret):
        return REFERENCE
    return "a value"


def _fix(location: tuple[int | str, ...], field: FieldInfo | None) -> str:
    if field is None:
        return "Correct it."
    help_text = field.description or "Correct it."
    default = field.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined or default is None:
        return help_text
    return f"{help_text} The default is {_toml(default)}."


def _example(location: tuple[int | str, ...], field: FieldInfo | None) -> str:
    name = str(location[-1])
    if field is not None and _holds(field.annotation, Secret):
        variable = re.sub(r"\W", "_", "_".join(str(part) for part in location)).upper()
        return f'{name} = {{ env = "{variable}" }}'
    return f"{name} = … {field.description or '' if field else ''}".rstrip()


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float | list) else f'"{value}"'


def _holds(annotation: Any, wanted: type) -> bool:
    return annotation is wanted or any(_holds(part, wanted) for part in get_args(annotation))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _models_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[type[BaseModel]]:
    """Whichever models stand at a location; those before it when it cannot be followed."""
    models = [model]
    for part in location:
        fields = _all_fields(models)
        if part in fields:
            models = list(_models(fields[str(part)].annotation))
        elif isinstance(part, str):
            models = [inner for each in models if (inner := named_tables(each))] or models
    return models


def _all_fields(models: Iterable[type[BaseModel]]) -> dict[str, FieldInfo]:
    return {name: info for each in models for name, info in each.model_fields.items()}


def _fields(model: type[BaseModel], location: tuple[int | str, ...]) -> dict[str, FieldInfo]:
    """The fields of whichever model stands at a location."""
    return _all_fields(_models_at(model, location))


def _field(model: type[BaseModel], location: tuple[int | str, ...]) -> FieldInfo | None:
    """The innermost named field on the way to a location."""
    for end in range(len(location), 0, -1):
        found = _fields(model, location[: end - 1]).get(str(location[end - 1]))
        if found is not None:
            return found
    return None
