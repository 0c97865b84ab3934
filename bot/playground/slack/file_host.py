"""What Slack's file host does: takes uploads by their ticket, and hands files to who has the bot's token."""

from __future__ import annotations

import hmac
import re
import time
from urllib.parse import quote

from aiohttp import web

from bot.playground.settings import PlaygroundSettings
from bot.playground.slack.files import MAX_FILE_BYTES
from bot.playground.slack.messages import Json
from bot.playground.slack.workspace import Workspace

_OWNER = re.compile(r"[A-Z0-9]+-(F[A-Z0-9]+)")
_CHUNK = 1 << 16
FAULTS = ("rate_limited", "server_error", "lost_reply")
UPLOAD, DOWNLOAD = "upload", "files-pri"  # what a fault names to strike these


class FileHost:
    """Handlers of `/files-pri/` and `/upload/`."""

    def __init__(self, workspace: Workspace, settings: PlaygroundSettings) -> None:
        self._workspace = workspace
        self._settings = settings

    def routes(self) -> list[web.RouteDef]:
        """What to mount."""
        return [
            web.get("/files-pri/{owner}/{name}", self.download),
            web.get("/files-pri/{owner}/download/{name}", self.download),
            web.post("/upload/v1/{ticket}", self.upload),
        ]

    async def download(self, request: web.Request) -> web.StreamResponse:
        """A file, for the bot. Anybody else is sent to the sign-in page, as Slack does: a 302, then HTML."""
        fault = self._workspace.faults.take([DOWNLOAD], FAULTS)
        allowed = self._is_bot(request) and "files:read" in self._workspace.scopes
        found = _OWNER.fullmatch(request.match_info["owner"])
        file = self._workspace.files.get(found[1]) if found else None
        content = self._workspace.files.content(file.id) if file else None
        if broken := _broken(fault):
            return self._logged(DOWNLOAD, request, broken)
        if not allowed:
            return self._logged(DOWNLOAD, request, _sign_in(request))
        if file is None or content is None:
            return self._logged(DOWNLOAD, request, web.Response(status=404, text="<h1>File not found</h1>"))
        headers = {
            "Content-Type": file.mimetype,
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
            "X-Content-Type-Options": "nosniff",
        }
        self._logged(DOWNLOAD, request, answer := web.Response(body=content, headers=headers))
        return _cut(request) if fault == "lost_reply" else answer

    async def upload(self, request: web.Request) -> web.StreamResponse:
        """The bytes of a file, raw or as a form. No token is asked for: the ticket in the address will do."""
        fault = self._workspace.faults.take([UPLOAD], FAULTS)
        if broken := _broken(fault):
            return self._logged(UPLOAD, request, broken)
        file = self._workspace.files.uploading(request.match_info["ticket"])
        if file is None:
            return self._logged(UPLOAD, request, web.Response(status=404, text="no such upload"))
        content = await _body(request)
        if content is None or len(content) != file.size:
            wrong = web.Response(status=400, text=f"{file.size} bytes were announced")
            return self._logged(UPLOAD, request, wrong)
        self._workspace.files.fill(file.id, content)
        self._logged(UPLOAD, request, answer := web.Response(text=f"OK - {len(content)}"))
        return _cut(request) if fault == "lost_reply" else answer

    def _is_bot(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        expected = self._settings.bot_token
        given = token.strip().encode(errors="replace")
        return scheme.lower() == "bearer" and bool(expected) and hmac.compare_digest(given, expected.encode())

    def _logged(self, method: str, request: web.Request, answer: web.Response) -> web.Response:
        """In `/control/requests`, by its name; an upload's ticket is as good as a password and left out."""
        args: Json = {"path": request.path} if method == DOWNLOAD else {}
        ok = answer.status == 200
        entry = {"method": method, "at": time.time(), "args": args, "status": answer.status, "ok": ok}
        self._workspace.log_request(entry | {"error": None if ok else answer.reason, "fault": None})
        return answer


def _sign_in(request: web.Request) -> web.Response:
    where = f"/?redir={quote(request.path, safe='')}"
    body = f'<a href="{where}">Found</a>.\n\n'
    return web.Response(status=302, headers={"Location": where}, text=body, content_type="text/html")


def _broken(fault: str | None) -> web.Response | None:
    if fault == "rate_limited":
        return web.Response(status=429, headers={"Retry-After": "1"})
    return web.Response(status=500, text="internal error") if fault == "server_error" else None


async def _body(request: web.Request) -> bytes | None:
    """All of it, or of the one file of a form; None where it is longer than any file may be."""
    if request.content_type == "multipart/form-data":
        form = await request.clone(client_max_size=MAX_FILE_BYTES + _CHUNK).post()
        parts = [value for value in form.values() if isinstance(value, web.FileField)]
        return parts[0].file.read() if parts else None
    content = bytearray()
    async for chunk in request.content.iter_chunked(_CHUNK):
        content += chunk
        if len(content) > MAX_FILE_BYTES:
            return None
    return bytes(content)


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
