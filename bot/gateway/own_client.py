"""One request of our own to a model's service, by the `openai` client. Imported late: it takes a second.

What comes back is untrusted, and read here by hand: its size, its form and its numbers. No error that leaves
here carries the request, whose headers hold the key, nor anything that the service wrote.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import openai

from bot.config_gateway import RouteSettings
from bot.errors import ModelError

ANSWER_BYTES = 1024 * 1024
_ERROR_CHARS = 2000
_LOGGERS = ("openai", "httpx2", "httpcore2")  # they write whole requests and addresses


@dataclass(frozen=True, slots=True)
class Used:
    """What the service says that a call took, in tokens."""

    read: int
    cached: int
    written: int


@dataclass(frozen=True, slots=True)
class Said:
    """An answer. `cut`: it ended at the most it might have. `used` is None where it does not say."""

    text: str
    refused: bool
    cut: bool
    used: Used | None


class NotBegun(ModelError):
    """The call certainly cost nothing: the service was not reached, or did not take the request."""


class NotTaken(NotBegun):
    """The service did not take the request as it was asked; `limit_name` means it wants another for that."""

    def __init__(self, text: str, limit_name: bool) -> None:
        self.limit_name = limit_name
        super().__init__(text)


class OwnClient:
    """For one route. `complete` may be called by many at a time."""

    def __init__(self, route: RouteSettings) -> None:
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            logger.setLevel(max(logging.WARNING, logging.getLogger().level))
        self._name = route.name
        # A redirect would carry the key elsewhere, a proxy of the environment is none that was configured.
        self._http = httpx2.AsyncClient(transport=_Bounded(), follow_redirects=False, trust_env=False)
        self._openai = openai.AsyncOpenAI(
            api_key="none",
            base_url=route.upstream,
            max_retries=0,
            http_client=self._http,
        )
        self._headers = _headers(route)

    async def close(self) -> None:
        await self._http.aclose()

    async def complete(
        self,
        model: str,
        messages: Sequence[Mapping[str, str]],
        limits: Mapping[str, int],
        response_format: Mapping[str, Any] | None,
        seconds: float,
    ) -> Said:
        """The model's answer. Raises ModelError; NotBegun where nothing can have been charged."""
        body: dict[str, Any] = {"model": model, "messages": list(messages), **limits}
        if response_format is not None:
            body["response_format"] = response_format
        try:
            answer = await self._openai.chat.completions.with_raw_response.create(
                **body, timeout=seconds, extra_headers=self._headers
            )
        except openai.APIStatusError as error:
            raise self._refused(error) from None
        except openai.APITimeoutError:
            raise ModelError(f"The model's service `{self._name}` did not answer in time.") from None
        except openai.APIConnectionError as error:
            raise self._unreached(error) from None
        except Exception as error:  # a key that is no header's value is shown by whatever complains of it
            text = f"The model's service `{self._name}` could not be asked ({type(error).__name__})."
            raise ModelError(text) from None
        said = _read(answer.http_response.content)
        if said is None:
            raise ModelError(f"The model's service `{self._name}` answered with something that is no answer.")
        return said

    def _refused(self, error: openai.APIStatusError) -> ModelError:
        """Only the number of what it answered is told: its words may repeat what it was sent."""
        status, where = error.status_code, f"The model's service `{self._name}`"
        if status in (400, 422):
            words = error.response.text[:_ERROR_CHARS]
            return NotTaken(f"{where} did not take the request ({status}).", "max_completion_tokens" in words)
        fix = _FIXES.get(status, "")
        text = f"{where} answered {status}.{fix}"
        return NotBegun(text) if status < 500 else ModelError(text)

    def _unreached(self, error: openai.APIConnectionError) -> ModelError:
        if isinstance(error.__cause__, httpx2.ConnectError):
            return NotBegun(f"The model's service `{self._name}` cannot be reached. Check its `upstream`.")
        return ModelError(f"The connection to the model's service `{self._name}` broke.")


_FIXES = {
    401: " Check the `secret` of its route.",
    403: " Check the `secret` of its route, and what it allows.",
    404: " Check the `upstream` of its route and the name of the model.",
    429: " It asks to be left alone for a while, or the account is used up.",
}


def _headers(route: RouteSettings) -> dict[str, Any]:
    """The key as its route says, and in no other place."""
    headers: dict[str, Any] = {
        "Authorization": openai.Omit(),
        "OpenAI-Organization": openai.Omit(),
        "OpenAI-Project": openai.Omit(),
        "Accept-Encoding": "identity",
    }
    for header, value in route.key_header().items():
        ours = {name for name in headers if name.lower() == header.lower()}
        headers[next(iter(ours), header)] = value
    return headers


class _Bounded(httpx2.AsyncHTTPTransport):
    """Hands over no more of an answer than it may have, and nothing that would grow when unpacked."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            await response.aclose()
            raise httpx2.ReadError("a packed answer, which nobody asked for")
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        response.stream = _BoundedStream(stream)
        return response


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            size += len(chunk)
            if size > ANSWER_BYTES:
                raise httpx2.ReadError("an answer beyond its bound")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


# -- what was answered ---------------------------------------------------------------------------


def _read(body: bytes) -> Said | None:
    try:
        answer = json.loads(body)
        choice = answer["choices"][0]
        message = choice["message"]
        text, refusal = message.get("content"), message.get("refusal")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return None
    if not isinstance(text, str | None):
        return None
    return Said(
        text=_clean(text or ""),
        refused=bool(refusal) or choice.get("finish_reason") == "content_filter",
        cut=choice.get("finish_reason") == "length",
        used=_used(answer.get("usage")),
    )


def _used(usage: object) -> Used | None:
    if not isinstance(usage, Mapping):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, Mapping) else 0
    read, written = _tokens(usage.get("prompt_tokens")), _tokens(usage.get("completion_tokens"))
    cached = _tokens(0 if cached is None else cached)
    return None if read is None or written is None or cached is None else Used(read, cached, written)


def _tokens(value: object) -> int | None:
    """Whether it can be true is for the meter to say."""
    return value if isinstance(value, int) else None


def _clean(text: str) -> str:
    """What can be written down: half a character cannot."""
    return text.encode("utf-8", "replace").decode()
