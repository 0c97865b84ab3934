"""Anthropic's API: what may be asked, what it may cost at most, and where an answer tells its usage."""

from __future__ import annotations

import re
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
    objects,
    one_of,
    plain_names,
    providers_tool,
    refuse_fields,
    streamed,
    written,
)
from bot.gateway.seen import Reader, Seen, number, word

_OTHERS = "it would reach other models, services or prices than those allowed here"
_REFUSED: Mapping[str, str] = {
    **dict.fromkeys(("mcp_servers", "container", "fallbacks", "workspace_id"), _OTHERS),
    "thread": "what it refers to is kept by the provider, so that nobody here knows its size",
    "compaction": "the provider would read the conversation once more; let the agent shorten it",
}
_GUARDED = frozenset(_REFUSED) | {
    *("model", "max_tokens", "messages", "system", "tools", "stream", "service_tier", "speed"),
    *("inference_geo", "context_management"),
}
_CLIENTS_TOOLS = re.compile(r"custom|(?:bash|text_editor|computer|memory)_[0-9]{8}")
_BETAS = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_LONG_CONTEXT = "context-1m"  # beyond so many tokens all cost more
_USUAL_CONTEXT = 200_000


class MessagesReader:
    """Messages. What was read is told first, what was written with the last words, in sums so far."""

    def __init__(self, long_cache: bool) -> None:
        self.seen = Seen()
        self._long_cache = long_cache
        self._told: dict[str, Any] = {}

    def event(self, data: dict[str, Any]) -> None:
        kind = data.get("type")
        if kind == "message_start" and isinstance(data.get("message"), dict):
            self._tell(data["message"].get("usage"))
        elif kind == "message_delta":
            self._tell(data.get("usage"))
            delta = data.get("delta")
            self.seen.final = isinstance(delta, dict) and bool(delta.get("stop_reason"))
        elif kind == "content_block_delta":
            self.seen.wrote = True
        elif kind == "error":
            error = data.get("error")
            self.seen.trouble = word(error.get("type") if isinstance(error, dict) else None)

    def done(self) -> None: ...

    def whole(self, data: dict[str, Any]) -> None:
        self._tell(data.get("usage"))
        self.seen.wrote, self.seen.final = bool(data.get("content")), True

    def _tell(self, usage: Any) -> None:
        if isinstance(usage, dict):
            self._told |= {name: value for name, value in usage.items() if value is not None}
            self.seen.usage = self._usage()

    def _usage(self) -> tuple[int, int, int, int] | None:
        told = self._told
        fresh, out = number(told.get("input_tokens")), number(told.get("output_tokens"))
        kept, cached = (
            number(told.get("cache_creation_input_tokens")),
            number(told.get("cache_read_input_tokens")),
        )
        by_age = told.get("cache_creation")
        long = number(by_age.get("ephemeral_1h_input_tokens")) if isinstance(by_age, dict) else None
        if fresh is None or out is None or kept is None or cached is None:
            return None
        if long is None:
            long = kept if self._long_cache else 0
        return fresh + kept + cached, cached, out, extra_for_cache(max(0, kept - long), min(kept, long))


class AnthropicShape:
    """See `bot.gateway.model_route.Shape`."""

    query = "beta=true"  # what its client adds for some features; nothing else is passed on

    def __init__(self) -> None:
        self.asking: Mapping[str, Callable[[Fields, Mapping[str, Model]], tuple[Ask, Reader]]] = {
            "/v1/messages": self._messages,
            "/v1/messages/count_tokens": self._count,
        }
        self.free = frozenset({"/v1/messages/count_tokens"})
        self.list_path = "/v1/models"

    def headers(self, given: Mapping[str, str], model: Model) -> dict[str, str]:
        version = given.get("anthropic-version", "")
        found = {"anthropic-version": version if re.fullmatch(r"[0-9-]{10}", version) else "2023-06-01"}
        betas = [each.strip() for each in given.get("anthropic-beta", "").split(",")]
        wanted = [
            beta
            for beta in betas
            if _BETAS.fullmatch(beta)
            and (model.context_tokens > _USUAL_CONTEXT or not beta.startswith(_LONG_CONTEXT))
        ]
        return found | ({"anthropic-beta": ",".join(wanted[:50])} if wanted else {})

    def error(self, status: int, code: str, text: str) -> Mapping[str, Any]:
        kinds = {402: "billing_error", 404: "not_found_error", 413: "request_too_large"}
        kinds |= {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
        usual = "api_error" if status >= 500 else "invalid_request_error"
        return {"type": "error", "error": {"type": kinds.get(status, usual), "message": text}}

    def broken(self, text: str) -> bytes:
        return b"event: error\ndata: " + written(dict(self.error(502, "upstream", text)))

    def model(self, model: Model) -> Mapping[str, Any]:
        made = "1970-01-01T00:00:00Z"
        return {"type": "model", "id": model.name, "display_name": model.name, "created_at": made}

    def models(self, models: Sequence[Model]) -> Mapping[str, Any]:
        data = [self.model(model) for model in models]
        first, last = (data[0]["id"], data[-1]["id"]) if data else (None, None)
        return {"data": data, "has_more": False, "first_id": first, "last_id": last}

    # -- what may be asked -----------------------------------------------------------------------

    def _messages(self, fields: Fields, models: Mapping[str, Model]) -> tuple[Ask, Reader]:
        model = self._common(fields, models)
        most = cap(fields, ("max_tokens",), "max_tokens", model.output_tokens)
        thinking = fields.get("thinking")
        if isinstance(thinking, dict) and type(thinking.get("budget_tokens")) is int:
            # It has to be less than the whole answer, whose maximum may just have become smaller.
            thinking["budget_tokens"] = min(thinking["budget_tokens"], most - 1)
        body = written(fields)
        read = most_input(model, body, media([fields.get("messages"), fields.get("system")]))
        short, long = _caches(fields)
        extra = extra_for_cache(read if short and not long else 0, read if long else 0)
        return Ask(model, body, read, most, extra, streamed(fields)), MessagesReader(long)

    def _count(self, fields: Fields, models: Mapping[str, Model]) -> tuple[Ask, Reader]:
        model = self._common(fields, models)
        media([fields.get("messages"), fields.get("system")])
        return Ask(model, written(fields), 0, 0), MessagesReader(False)

    def _common(self, fields: Fields, models: Mapping[str, Model]) -> Model:
        plain_names(fields, _GUARDED)
        model = allowed_model(fields, models)
        refuse_fields(fields, _REFUSED)
        one_of(fields, "service_tier", ("auto", "standard_only"), "others have other prices")
        one_of(fields, "speed", ("standard",), "others have other prices")
        one_of(fields, "inference_geo", ("global",), "others have other prices")
        _tools(fields.get("tools"))
        _edits(fields.get("context_management"))
        return model


def _caches(fields: Fields) -> tuple[bool, bool]:
    """Whether anything is to be kept in the cache, and whether for an hour."""
    marks = [each["cache_control"] for each in objects(fields) if each.get("cache_control") is not None]
    long = any(not isinstance(mark, dict) or mark.get("ttl") not in (None, "5m") for mark in marks)
    return bool(marks), long


def _tools(tools: Any) -> None:
    """Only tools that the agent runs itself."""
    for tool in tools if isinstance(tools, list) else [] if tools is None else [tools]:
        kind = tool.get("type", "custom") if isinstance(tool, dict) else None
        if not isinstance(kind, str) or not _CLIENTS_TOOLS.fullmatch(kind):
            raise providers_tool(kind)


def _edits(management: Any) -> None:
    """What is left out of the conversation makes it cheaper; a summary of it is one more call."""
    edits = management.get("edits") if isinstance(management, dict) else None
    for edit in edits if isinstance(edits, list) else ():
        kind = edit.get("type") if isinstance(edit, dict) else None
        if not isinstance(kind, str) or not kind.startswith("clear_"):
            raise Declined(400, "unsupported_field", f"`context_management`: {_REFUSED['compaction']}.")
