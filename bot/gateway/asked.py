"""What a client asks a model, read so that no one behind us can read it in another way, and bounded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bot.domain import Model

BODY_BYTES = 32 * 1024 * 1024
PARTS = 2_000_000  # brackets, braces and commas: each may become a value that takes far more memory

# What a provider puts around a conversation: marks between messages, its own words about tools.
FRAME_TOKENS = 2048
# More than any provider counts for one picture, however large; they scale it down first.
IMAGE_TOKENS = 50_000

Fields = dict[str, Any]


class Declined(Exception):
    """The request is not passed on. `text` says what to change, for whoever reads the agent's log."""

    def __init__(self, status: int, code: str, text: str) -> None:
        self.status, self.code, self.text = status, code, text
        super().__init__(text)


class UnknownModel(Declined):
    def __init__(self, name: str, text: str) -> None:
        self.name = name
        super().__init__(404, "model_not_found", text)


@dataclass(frozen=True, slots=True)
class Ask:
    """A checked request: what is sent, to which model, and the most it can use."""

    model: Model
    body: bytes
    input_tokens: int
    output_tokens: int
    extra_input_tokens: int = 0  # billed for what is written to a cache
    streamed: bool = False


# -- reading -----------------------------------------------------------------------------------------


def read_fields(raw: bytes) -> Fields:
    """A JSON object, every name in it said once. Raises Declined."""
    if raw.count(b"[") + raw.count(b"{") + raw.count(b",") > PARTS:
        raise Declined(413, "too_large", "The body has too many parts.")
    try:
        found = json.loads(raw.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError:
        raise Declined(400, "invalid_json", "The body is nested too deeply.") from None
    except ValueError as error:
        reason = str(error) if isinstance(error, _Odd) else "it is not JSON in UTF-8"
        raise Declined(400, "invalid_json", f"The body is not taken: {reason}.") from None
    if not isinstance(found, dict):
        raise Declined(400, "invalid_json", "The body has to be a JSON object.")
    return found


class _Odd(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> Fields:
    """Of a name said twice some parsers take the first and some the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Odd("a name stands twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise _Odd(f"{name} is not JSON")


def written(fields: Fields) -> bytes:
    """The same as JSON again: what is sent is what was checked, and not what the client wrote."""
    try:
        text = json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which only JSON can write
        return json.dumps(fields, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        raise Declined(400, "invalid_json", "The body has numbers or depths that JSON has not.") from None


def plain_names(fields: Fields, known: Collection[str]) -> None:
    """Some servers take a name in any spelling of its letters, so that another spelling would pass unseen."""
    times = Counter(name.casefold() for name in fields)
    for name in fields:
        fold = name.casefold()
        if (fold in known and name != fold) or times[fold] > 1:
            raise Declined(400, "invalid_field", f"Write the name {fold[:64]!r} once, and in small letters.")


# -- the model and the length of its answer -----------------------------------------------------------


def allowed_model(fields: Fields, models: Mapping[str, Model]) -> Model:
    name = fields.get("model")
    if not isinstance(name, str):
        raise Declined(400, "invalid_field", "`model` has to be the name of a model.")
    if name not in models:
        raise UnknownModel(name, f"This model is not allowed here. Allowed: {', '.join(models)}.")
    return models[name]


def whole_number(fields: Fields, name: str, least: int) -> int | None:
    """None when it is not said. A number in quotes, with a point or `true` is none."""
    value = fields.get(name)
    if value is None:
        return None
    if type(value) is not int or value < least:
        raise Declined(400, "invalid_field", f"`{name}` has to be a whole number of at least {least}.")
    return value


def cap(fields: Fields, names: Sequence[str], default: str, most: int) -> int:
    """Force a maximum on the answer: by the names the client used, or by `default` when it used none."""
    used = {name: number for name in names if (number := whole_number(fields, name, 1)) is not None}
    for name in names:
        fields.pop(name, None)  # a null asks for no maximum
    capped = {name: min(number, most) for name, number in used.items()} or {default: most}
    fields.update(capped)
    return max(capped.values())


def refuse_fields(fields: Fields, refused: Mapping[str, str]) -> None:
    """Refuse what is said under these names, unless it says no: null, false, nothing."""
    for name, why in refused.items():
        if fields.get(name) not in (None, False, [], {}, ""):
            raise Declined(400, "unsupported_field", f"`{name}` is not passed on: {why}.")
        fields.pop(name, None)


def one_of(fields: Fields, name: str, allowed: Sequence[str], why: str) -> None:
    value = fields.get(name)
    if value is not None and value not in allowed:
        raise Declined(400, "unsupported_field", f"`{name}` may be {' or '.join(allowed)} here: {why}.")


def streamed(fields: Fields) -> bool:
    value = fields.get("stream")
    if value not in (None, True, False) or type(value) is int:
        raise Declined(400, "invalid_field", "`stream` is true or false.")
    return bool(value)


def providers_tool(kind: Any) -> Declined:
    name = kind[:64] if isinstance(kind, str) else "?"
    return Declined(
        400,
        "unsupported_tool",
        f"The tool {name!r} is run by the provider, at its price and past the list of hosts. "
        "Turn it off in the agent's settings; the agent's own tools are fine.",
    )


def extra_for_cache(short: int, long: int) -> int:
    """What is written to a cache costs a quarter more than what is only read, and twice as much for hours."""
    return -(short // -4) + long


# -- what is in the conversation ----------------------------------------------------------------------


def objects(node: Any) -> Iterator[Fields]:
    """All objects in it; not those that a model or a tool made up, which stand for nothing."""
    left = [node]
    while left:
        each = left.pop()
        if isinstance(each, list):
            left.extend(each)
        elif isinstance(each, dict):
            yield each
            made_up = "input" if each.get("type") in ("tool_use", "server_tool_use") else "arguments"
            left.extend(value for name, value in each.items() if name != made_up)


_ELSEWHERE = "it names something the gateway cannot see; send the content itself"
_NAMING = ("file_id", "file_url", "container_id", "connector_id", "server_url")
# Parts that are priced otherwise than text and pictures, or bring in what was said elsewhere.
_FOREIGN = frozenset(
    {"input_audio", "audio", "audio_url", "video", "input_video", "video_url", "container_upload"}
    | {"item_reference", "compaction_trigger", "additional_tools"}
)
_PICTURES = frozenset({"image_url", "input_image", "image", "computer_screenshot", "image_generation_call"})
_DOCUMENTS = frozenset({"file", "input_file", "document"})


@dataclass(frozen=True, slots=True)
class Media:
    pictures: int = 0
    documents: bool = False


def media(conversation: Any) -> Media:
    """What there is besides text. Whatever a provider would have to fetch is refused: it would be a way
    past the list of hosts, and nobody knows its size."""
    pictures, documents = 0, False
    for each in objects(conversation):
        kind = each.get("type")
        if isinstance(kind, str):
            if kind in _FOREIGN:
                raise Declined(400, "unsupported_content", f"`{kind}` is not passed on: {_ELSEWHERE}.")
            pictures += kind in _PICTURES
            documents = documents or kind in _DOCUMENTS
        for name, value in each.items():
            _refuse_elsewhere(name, value)
    return Media(pictures, documents)


def _refuse_elsewhere(name: str, value: Any) -> None:
    if value is None:
        return
    source = name == "source" and isinstance(value, dict)
    if source and value.get("type") not in ("base64", "text", "content"):
        raise Declined(400, "unsupported_content", f"This `source` is not passed on: {_ELSEWHERE}.")
    fetched = name in _NAMING
    if name.endswith("_url") and not fetched:
        url = value.get("url") if isinstance(value, dict) else value
        fetched = not isinstance(url, str) or not url.startswith("data:")
    if fetched:
        raise Declined(400, "unsupported_content", f"`{name}` is not passed on: {_ELSEWHERE}.")


def most_input(model: Model, body: bytes, found: Media) -> int:
    """The most tokens it can be read as. A token stands for at least one byte of text, and no more than the
    context fits; pictures and documents have their own count, which bytes say nothing of."""
    if found.documents:
        return model.context_tokens
    return min(model.context_tokens, len(body) + FRAME_TOKENS + found.pictures * IMAGE_TOKENS)
