"""OpenAI's API: what may be asked, what it may cost at most, and where an answer tells its usage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.domain import Model
from bot.gateway.asked import (
    Ask,
    Declined,
    Fields,
    allowed_model,
    cap,
    extra_for_cache,
    media,
    most_input,
    one_of,
    plain_names,
    providers_tool,
    refuse_fields,
    streamed,
    whole_number,
    written,
)
from bot.gateway.seen import Reader, Seen, number, word

_OTHERS = "it would reach other models, services or prices than those allowed here"
_KEPT = "what it refers to is kept by the provider, so that nobody here knows its size"
_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            *("models", "fallbacks", "route", "plugins", "web_search_options", "search_parameters"),
            *("enable_search", "moderation", "access_programs", "api_base", "base_url", "extra_body"),
        ),
        _OTHERS,
    ),
    **dict.fromkeys(("previous_response_id", "conversation", "prompt", "continuation_id"), _KEPT),
    "background": "it would go on, and cost, when nobody waits for it any more",
    "background_options": "it would go on, and cost, when nobody waits for it any more",
    "store": "the conversation would be kept by the provider; send false",
    "audio": "only text is written here",
    "prediction": "what is predicted wrongly is billed beside the answer",
    "context_management": "the provider would read the conversation once more; let the agent shorten it",
}
_GUARDED = frozenset(_REFUSED) | {
    *("model", "n", "best_of", "stream", "stream_options", "service_tier", "modalities", "max_tokens"),
    *("max_completion_tokens", "max_output_tokens", "tools", "messages", "input", "prompt_cache_options"),
}
_TIERS = ("auto", "default", "standard")
_CLIENTS_TOOLS = frozenset({"function", "custom", "local_shell", "apply_patch", "shell", "namespace"})
# OpenAI itself takes `max_tokens` no more for models that reason; most servers that are only compatible
# know nothing else.
_NEWER = ("api.openai.com", ".openai.azure.com")


class ChatReader:
    """Chat completions. The usage comes behind all choices, or with the last words of the last of them."""

    def __init__(self) -> None:
        self.seen = Seen()
        self._finished = False

    def event(self, data: dict[str, Any]) -> None:
        if data.get("error"):
            error = data["error"] if isinstance(data["error"], dict) else {}
            self.seen.trouble = word(error.get("code") or error.get("type"))
        choices = data.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._finished = self._finished or bool(choice.get("finish_reason"))
                said = choice.get("delta", choice.get("message"))
                self.seen.wrote = self.seen.wrote or _says(said)
        if isinstance(data.get("usage"), dict):
            self.seen.usage = _usage(data["usage"], "prompt", "completion")
            self.seen.final = self._finished

    def done(self) -> None:
        self.seen.final = True

    def whole(self, data: dict[str, Any]) -> None:
        self.event(data)
        self.seen.final = True


class ResponsesReader:
    """Responses. The usage comes with the last event, which holds the whole answer once more."""

    _LAST = ("response.completed", "response.incomplete", "response.failed", "response.cancelled")

    def __init__(self) -> None:
        self.seen = Seen()

    def event(self, data: dict[str, Any]) -> None:
        kind = data.get("type")
        if kind == "error":
            self.seen.trouble = word(data.get("code"))
        elif kind in self._LAST and isinstance(data.get("response"), dict):
            self.whole(data["response"])

    def done(self) -> None: ...

    def whole(self, data: dict[str, Any]) -> None:
        if isinstance(data.get("error"), dict):
            self.seen.trouble = word(data["error"].get("code"))
        self.seen.wrote = bool(data.get("output"))
        if isinstance(data.get("usage"), dict):
            self.seen.usage, self.seen.final = _usage(data["usage"], "input", "output"), True


def _says(said: Any) -> bool:
    return isinstance(said, dict) and any(value for name, value in said.items() if name != "role")


def _usage(told: dict[str, Any], read: str, write: str) -> tuple[int, int, int, int] | None:
    details = told.get(f"{read}_tokens_details")
    details = details if isinstance(details, dict) else {}
    by_age = details.get("cache_write_tokens_details")
    long = number(by_age.get("ttl_12h_tokens")) if isinstance(by_age, dict) else 0
    cached, kept = number(details.get("cached_tokens")), number(details.get("cache_write_tokens"))
    into, out = number(told.get(f"{read}_tokens")), number(told.get(f"{write}_tokens"))
    if into is None or out is None or cached is None or kept is None or long is None:
        return None
    return into, cached, out, extra_for_cache(max(0, kept - long), long)


class OpenAIShape:
    """See `bot.gateway.model_route.Shape`."""

    query = ""

    def __init__(self, host: str) -> None:
        newer = host == _NEWER[0] or host.endswith(_NEWER[1])
        self._maximum = "max_completion_tokens" if newer else "max_tokens"
        self.asking: Mapping[str, Callable[[Fields, Mapping[str, Model]], tuple[Ask, Reader]]] = {
            "/chat/completions": self._chat,
            "/responses": self._responses,
        }
        self.free: frozenset[str] = frozenset()
        self.list_path = "/models"

    def headers(self, given: Mapping[str, str], model: Model) -> dict[str, str]:
        return {}

    def error(self, status: int, code: str, text: str) -> Mapping[str, Any]:
        kind = "insufficient_quota" if status == 402 else "invalid_request_error"
        kind = "server_error" if status >= 500 else kind
        return {"error": {"message": text, "type": kind, "param": None, "code": code}}

    def broken(self, text: str) -> bytes:
        """An event that ends a stream with an error, for either API."""
        return b"data: " + written(
            {"type": "error", "code": "upstream", "message": text, "param": None}
            | {"error": {"message": text, "type": "server_error", "code": "upstream"}}
        )

    def model(self, model: Model) -> Mapping[str, Any]:
        return {"id": model.name, "object": "model", "created": 0, "owned_by": model.route}

    def models(self, models: Sequence[Model]) -> Mapping[str, Any]:
        return {"object": "list", "data": [self.model(model) for model in models]}

    # -- what may be asked -----------------------------------------------------------------------

    def _chat(self, fields: Fields, models: Mapping[str, Model]) -> tuple[Ask, Reader]:
        model = self._common(fields, models)
        for name in ("n", "best_of"):
            if (whole_number(fields, name, 1) or 1) > 1:
                raise Declined(400, "unsupported_field", f"`{name}` may be 1 here: each answer is paid for.")
        if fields.get("modalities") not in (None, ["text"]):
            raise Declined(400, "unsupported_field", "`modalities` may be only text here.")
        most = cap(fields, ("max_tokens", "max_completion_tokens"), self._maximum, model.output_tokens)
        if streamed(fields):
            fields["stream_options"] = {**_options(fields), "include_usage": True}
        return self._asked(fields, model, fields.get("messages"), most), ChatReader()

    def _responses(self, fields: Fields, models: Mapping[str, Model]) -> tuple[Ask, Reader]:
        model = self._common(fields, models)
        fields["store"] = False  # left out it would mean true
        most = cap(fields, ("max_output_tokens",), "max_output_tokens", model.output_tokens)
        said = fields.get("input")
        for item in said if isinstance(said, list) else ():
            # Of an item with nothing but an id the provider has the content.
            if isinstance(item, dict) and not {"type", "role"} & item.keys():
                raise Declined(400, "unsupported_content", f"An item of `input` is only named: {_KEPT}.")
            if isinstance(item, dict):
                _tools(item.get("tools"))
        return self._asked(fields, model, said, most), ResponsesReader()

    def _common(self, fields: Fields, models: Mapping[str, Model]) -> Model:
        plain_names(fields, _GUARDED)
        model = allowed_model(fields, models)
        refuse_fields(fields, _REFUSED)
        one_of(fields, "service_tier", _TIERS, "others have other prices")
        _tools(fields.get("tools"))
        return model

    def _asked(self, fields: Fields, model: Model, conversation: Any, most: int) -> Ask:
        body = written(fields)
        read = most_input(model, body, media(conversation))
        options = fields.get("prompt_cache_options")
        long = isinstance(options, dict) and options.get("ttl") not in (None, "30m")
        # Newer models cache, and bill for that, whether they are asked to or not.
        extra = extra_for_cache(0 if long else read, read if long else 0)
        return Ask(model, body, read, most, extra, streamed(fields))


def _options(fields: Fields) -> Fields:
    given = fields.get("stream_options")
    if given is not None and not isinstance(given, dict):
        raise Declined(400, "invalid_field", "`stream_options` has to be an object.")
    return {name: value for name, value in (given or {}).items() if name == "include_obfuscation"}


def _tools(tools: Any) -> None:
    """Only tools that the agent runs itself."""
    left = list(tools) if isinstance(tools, list) else [] if tools is None else [tools]
    while left:
        tool = left.pop()
        kind = tool.get("type") if isinstance(tool, dict) else None
        clients = isinstance(kind, str) and kind in _CLIENTS_TOOLS
        clients = clients or (kind == "tool_search" and tool.get("execution") == "client")
        if not clients or (kind == "shell" and not _local(tool.get("environment"))):
            raise providers_tool(kind)
        if kind == "namespace":
            left.extend(tool["tools"] if isinstance(tool.get("tools"), list) else [None])


def _local(environment: Any) -> bool:
    return isinstance(environment, dict) and environment.get("type") == "local"
