"""Files that people posted, fetched with the bot's token, which goes to Slack and to nobody else.

Who has no right to a file is sent by Slack to a page to sign in, in the end with 200: HTML where none was
promised is a refusal, never the file.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from urllib.parse import parse_qs, urljoin, urlsplit

import aiohttp
from slack_sdk.web.async_client import AsyncWebClient
from yarl import URL

from bot.domain import Attachment
from bot.errors import TooLarge, UserError
from bot.slack.calls import UNREACHABLE, reading, reason

_FILE_HOSTS = frozenset({"https://files.slack.com", "https://files.slack-gov.com"})
_SECONDS = 60.0  # for one file
_CHUNK = 1 << 16
_TRIES = 3
_FIRST_PAUSE_SECONDS = 0.5
_REDIRECTS = 3
_SIGN_IN = (
    "Slack asks for a sign-in instead of handing it over; the app may lack the scope files:read, or may not "
    "be in that file's channel"
)


class _Trouble(Exception):
    """It did not work, and the same may work in a moment."""


class SlackFiles:
    """`fetch` is all there is."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._ours = _FILE_HOSTS | {origin_of(client.base_url)}

    async def fetch(self, file: Attachment, most_bytes: int) -> bytes:
        """A file's content. UserError says why there is none, as the end of a sentence about it."""
        if file.size > most_bytes:
            raise _too_large(most_bytes)
        url = file.url or await self._look_up(file)
        try:
            async with asyncio.timeout(_SECONDS):
                return await self._patiently(file, url, most_bytes)
        except TimeoutError:
            raise UserError(f"Slack did not hand it over within {_SECONDS:.0f} seconds") from None

    async def _look_up(self, file: Attachment) -> str:
        """Where it is, for one whose message did not say: it was shared from another organisation."""
        try:
            found = (await reading(lambda: self._client.files_info(file=file.id))).get("file")
        except UNREACHABLE as error:
            raise UserError(f"Slack did not say where it is ({reason(error)})") from error
        url = found.get("url_private") if isinstance(found, Mapping) else None
        if not isinstance(url, str) or not url:
            raise UserError("Slack did not say where it is")
        return url

    async def _patiently(self, file: Attachment, url: str, most_bytes: int) -> bytes:
        pause = _FIRST_PAUSE_SECONDS
        for _ in range(_TRIES - 1):
            try:
                return await self._follow(file, url, most_bytes)
            except (_Trouble, aiohttp.ClientError, OSError):
                await asyncio.sleep(pause)
                pause *= 2
        try:
            return await self._follow(file, url, most_bytes)
        except _Trouble as error:
            raise UserError(str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            raise UserError(f"Slack's file server cannot be reached ({type(error).__name__})") from error

    async def _follow(self, file: Attachment, url: str, most_bytes: int) -> bytes:
        """Along redirects, as long as they stay where the token may go."""
        for _ in range(_REDIRECTS + 1):
            found = await self._get(file, url, most_bytes)
            if isinstance(found, bytes):
                return found
            url = found
        raise UserError("Slack sends from one address to the next without an end")

    async def _get(self, file: Attachment, url: str, most_bytes: int) -> bytes | str:
        """The content, or where it is instead."""
        address = self._ours_only(url)
        assert self._client.session is not None
        headers = {"Authorization": f"Bearer {self._client.token}", "Accept-Encoding": "identity"}
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with self._client.session.get(
            address, headers=headers, allow_redirects=False, timeout=timeout
        ) as answer:
            if 300 <= answer.status < 400:
                return _elsewhere(url, answer.headers.get("Location", ""))
            if answer.status == 429 or answer.status >= 500:
                raise _Trouble(f"Slack's file server has trouble (HTTP {answer.status})")
            if answer.status != 200:
                raise UserError(f"Slack has no such file any more (HTTP {answer.status})")
            content = await _read(answer, most_bytes)
            if answer.content_type == "text/html" and not _is_promised(file, content):
                raise UserError(_SIGN_IN)
            return content

    def _ours_only(self, url: str) -> URL:
        address = _address(url)
        ours = address is not None and address.user is None and address.password is None
        if address is None or not ours or str(address.origin()) not in self._ours:
            raise UserError("it does not lie with Slack, and I fetch nothing from elsewhere")
        return address


async def _read(answer: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """All of it, by what comes and not by what was said of it."""
    content = bytearray()
    async for chunk in answer.content.iter_chunked(_CHUNK):
        content += chunk
        if len(content) > most_bytes:
            raise _too_large(most_bytes)
    return bytes(content)


def _elsewhere(url: str, location: str) -> str:
    target = urljoin(url, location)
    if not location or "redir" in parse_qs(urlsplit(target).query):
        raise UserError(_SIGN_IN)
    return target


def _is_promised(file: Attachment, content: bytes) -> bool:
    """A page that was posted; one to sign in has another length."""
    kind = file.mimetype == "text/html" or file.name.lower().endswith((".html", ".htm"))
    return kind and len(content) == file.size


def origin_of(url: str) -> str:
    """Scheme, host and port, written in one way; "" for what has none."""
    address = _address(url)
    return "" if address is None else str(address.origin())


def _address(url: str) -> URL | None:
    """As it will be connected to, by the same reading; None for what names no host."""
    try:
        address = URL(url)
        return address if address.scheme and address.host else None
    except ValueError:
        return None


def _too_large(most_bytes: int) -> TooLarge:
    return TooLarge(f"it is larger than {most_bytes / (1 << 20):.3g} MiB")
