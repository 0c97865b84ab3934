"""Files that a turn posts into its thread, each once.

Slack takes one in three steps: an address and an id, the bytes, and the completion, which posts it. By
Slack's own rule a completion works once. So the id is on the disk before a completion is asked for, and after
a crash or a lost answer the same one is completed again: it is posted now, or it was before. Only what Slack
knows nothing of is uploaded anew. What cannot be posted is refused, and then a line in its place says so.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import re
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from yarl import URL

from bot.slack.calls import UNREACHABLE, advice, answer_of, reason, worth_repeating
from bot.slack.files import origin_of
from bot.slack.looking import Message, posted
from bot.slack.text import shorten, visible
from storage import Ledger

log = logging.getLogger(__name__)

FILE = "thread.file"
FOLDER = "files"  # of the data folder; below it one for each session
MOST_BYTES = 16 << 20
_TRIES = 5  # to get the bytes to where Slack wants them
_UPLOAD_SECONDS = 120.0
_TITLE_LIMIT = 200
_UNKNOWN = "file_not_found"
_PLACE = re.compile(rf"{FOLDER}/([A-Za-z0-9]{{3,64}})/([A-Za-z0-9][A-Za-z0-9._-]{{0,127}})")
# Nothing works with such a token: it is waited for, as with all that is said.
_TOKENS = frozenset({"account_inactive", "invalid_auth", "not_authed", "token_expired", "token_revoked"})


class _Refused(Exception):
    """It will not be posted; the text says why."""


class Uploads:
    """`send` does, `forget` takes the content away once it is no more needed."""

    def __init__(self, client: AsyncWebClient, data: Path) -> None:
        self._client = client
        self._data = data

    async def send(
        self, file: Ledger, session: Mapping[str, Any], row: dict[str, Any]
    ) -> dict[str, Any] | None:
        """Post it; returns what is known of the post. None: refused, and `expected` says why.

        Raises NotLooked, or one of UNREACHABLE, where it is to be tried again.
        """
        if (row["expected"] or {}).get("refused"):
            return None
        try:
            return await self._sent(file, session, row)
        except _Refused as refused:
            why = str(refused)
        except SlackApiError as error:
            if worth_repeating(error) or reason(error) in _TOKENS:
                raise
            why = f"Slack says {reason(error)}. {advice(error)}"
        log.error("%s is not posted: %s", row["key"], why)
        await file.effect_expect(row["id"], {**(row["expected"] or {}), "refused": why}, state="pending")
        return None

    async def _sent(self, file: Ledger, session: Mapping[str, Any], row: dict[str, Any]) -> dict[str, Any]:
        known = row["expected"] or {}
        if known.get("uploaded") and (result := await self._again(file, session, row, known["file"])):
            return result
        content = await asyncio.to_thread(self._content, session, row)
        tries = int(known.get("tries", 0)) + 1
        if tries > _TRIES:
            raise _Refused("Slack's file server did not take it")
        await file.effect_sending(row["id"])
        name = _line(row["intent"].get("name"))
        asked = await answer_of(
            lambda: self._client.files_getUploadURLExternal(filename=name, length=len(content))
        )
        known = {"tries": tries, "file": str(asked["file_id"])}
        await file.effect_expect(row["id"], known)
        await self._upload(str(asked["upload_url"]), content)
        await file.effect_expect(row["id"], {**known, "uploaded": True})
        return await self._complete(session, row, str(known["file"]))

    async def _again(
        self, file: Ledger, session: Mapping[str, Any], row: dict[str, Any], known: str
    ) -> dict[str, Any] | None:
        """After a try whose end is not known. None: Slack has nothing of it, so it is to be uploaded anew."""

        def is_it(message: Message) -> bool:
            return any(each.get("id") == known for each in message.get("files") or ())

        if row["state"] == "sending" and (ts := await posted(self._client, session, row, is_it)):
            return {"file": known, "ts": ts}
        await file.effect_sending(row["id"])
        try:
            return await self._complete(session, row, known)
        except SlackApiError as error:
            if worth_repeating(error) or reason(error) in _TOKENS:
                raise
            if await self._is_there(known):  # so it was completed: else that would have worked now
                return {"file": known}
            if reason(error) == _UNKNOWN:
                return None
            raise

    async def _is_there(self, known: str) -> bool:
        try:
            await answer_of(lambda: self._client.files_info(file=known))
        except SlackApiError as error:
            if reason(error) == _UNKNOWN:
                return False
            raise
        return True

    async def _complete(
        self, session: Mapping[str, Any], row: Mapping[str, Any], file_id: str
    ) -> dict[str, Any]:
        intent = row["intent"]
        title = _line(intent.get("title") or intent.get("name"))
        await answer_of(
            lambda: self._client.files_completeUploadExternal(
                files=[{"id": file_id, "title": title}],
                channel_id=session["channel"],
                thread_ts=session["thread_ts"],
            )
        )
        return {"file": file_id}

    async def _upload(self, url: str, content: bytes) -> None:
        """To where Slack said. The address is as good as a password, so no error may carry it."""
        address = URL(url)
        if address.scheme != "https" and origin_of(url) != origin_of(self._client.base_url):
            raise _Refused("Slack named an address for it that is not safe")
        assert self._client.session is not None
        timeout = aiohttp.ClientTimeout(total=_UPLOAD_SECONDS)
        try:
            async with self._client.session.post(
                address, data=io.BytesIO(content), timeout=timeout, allow_redirects=False
            ) as answer:
                status = answer.status
        except UNREACHABLE as error:
            raise ConnectionError(f"the upload broke off ({type(error).__name__})") from None
        if status != 200:
            raise ConnectionError(f"the upload was answered with HTTP {status}")

    # -- what was stored -------------------------------------------------------------------------

    def _content(self, session: Mapping[str, Any], row: Mapping[str, Any]) -> bytes:
        path = self._path(session["id"], row)
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise _Refused("what was stored of it is gone") from error
        with os.fdopen(handle, "rb") as stored:
            content = stored.read(MOST_BYTES + 1)
        if not content:
            raise _Refused("it is empty")
        if len(content) > MOST_BYTES:
            raise _Refused(f"it is larger than {MOST_BYTES >> 20} MiB")
        return content

    def _path(self, session: str, row: Mapping[str, Any]) -> Path:
        """Of this session alone, whatever the row says."""
        below = str(row["intent"].get("path"))
        place = _PLACE.fullmatch(below)
        if place is None or place[1] != session:
            raise _Refused("it was stored where nothing of this thread lies")
        return self._data / below

    async def forget(self, file: Ledger, row: Mapping[str, Any]) -> None:
        """Its content is not needed any more, unless the same is to be posted again, or was stored again."""
        owed = await file.effects({"pending", "sending"}, FILE)
        if any(other["intent"].get("path") == row["intent"].get("path") for other in owed):
            return
        try:
            path = self._path(file.name, row)
            if path.stat().st_mtime <= row["created_at"]:
                path.unlink()
        except FileNotFoundError:
            return
        except (_Refused, OSError):
            log.warning("what was stored for %s cannot be removed", row["key"], exc_info=True)

    def sweep(self, owing: Collection[str]) -> None:
        """Before anything is posted: what a crash left of sessions that owe nothing; blocking."""
        for folder in (self._data / FOLDER).glob("*"):
            if folder.name not in owing:
                shutil.rmtree(folder, ignore_errors=True)


def _line(text: object) -> str:
    """A name or a title, as it looks, on one line."""
    whole = str(text or "").encode(errors="replace").decode()  # without the halves of pairs
    return shorten(" ".join(visible(whole).split()), _TITLE_LIMIT) or "file"
