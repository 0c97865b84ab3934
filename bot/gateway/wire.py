"""One client's connection: HTTP/1.1 read strictly by h11, and answered piece by piece."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus

import h11

from bot.gateway.bounds import HEAD_BYTES, LINGER_BYTES, READ_BYTES, Deadlines, Room
from bot.gateway.refusals import Refused
from bot.gateway.words import TooLarge

Answer = Callable[["Incoming", "Outgoing"], Awaitable[None]]

_HOP_BY_HOP = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization"),
        *("te", "trailer", "transfer-encoding", "upgrade", "http2-settings", "expect"),
    }
)
_BODILESS = frozenset({204, 304})
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# A line end that is not CRLF, or one before a space (a folded header): read differently by different parsers.
_AMBIGUOUS = re.compile(rb"(?<!\r)\n|\r(?!\n)|\r\n[ \t]|\x00")
_BARE = re.compile(rb"(?<!\r)\n")
# h11 takes a length that is told twice when both are the same.
_LENGTHS = re.compile(rb"\r\ncontent-length:([^\r]*)", re.IGNORECASE)
log = logging.getLogger(__name__)


class Incoming:
    """See `bot.gateway.words.Request`. Of a header given twice the values are joined by commas."""

    def __init__(self, wire: Connection, head: h11.Request) -> None:
        self._wire = wire
        self.method = head.method.decode("ascii")
        self.target = head.target.decode("ascii")
        self.path, _, self.query = self.target.partition("?")
        self.host = _joined(head, b"host")
        self.upgrade = _joined(head, b"upgrade").lower()
        self.has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in head.headers)
        self.headers: Mapping[str, str] = _end_to_end(head)

    async def body(self) -> AsyncIterator[bytes]:
        while (piece := await self._wire.piece()) is not None:
            yield piece

    async def read(self, limit: int) -> bytes:
        """TooLarge beyond `limit` bytes, or when the turn's requests hold too much already."""
        if int(self.headers.get("content-length", 0)) > limit:
            raise TooLarge
        whole = bytearray()
        async for piece in self.body():
            if len(whole) + len(piece) > limit or not self._wire.hold(len(piece)):
                raise TooLarge
            whole += piece
        return bytes(whole)


def _joined(head: h11.Request, wanted: bytes) -> str:
    return ", ".join(value.decode("latin-1") for name, value in head.headers if name == wanted)


def _end_to_end(head: h11.Request) -> dict[str, str]:
    """Without what is about this connection only, and what its Connection header says is."""
    named = {each.strip().lower() for each in _joined(head, b"connection").split(",")}
    found: dict[str, str] = {}
    for raw, value in head.headers:
        name, text = raw.decode("ascii"), value.decode("latin-1")
        if name not in _HOP_BY_HOP and name not in named:
            found[name] = f"{found[name]}, {text}" if name in found else text
    return found


class Outgoing:
    """See `bot.gateway.words.Reply`."""

    def __init__(self, wire: Connection, method: str) -> None:
        self._wire, self._method = wire, method
        self._silent = method == "HEAD"
        self.started = False

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        self.started = True
        self._silent = self._silent or status in _BODILESS
        await self._wire.respond(status, list(_sendable(headers)))

    async def send(self, data: bytes) -> None:
        if data and not self._silent:
            await self._wire.send(h11.Data(data=data))

    async def refuse(self, status: int, code: str, text: str) -> None:
        """In the JSON that model clients show."""
        await self.json(status, {"error": {"type": "gateway_refused", "code": code, "message": text}})

    async def json(
        self, status: int, answer: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> None:
        content = json.dumps(answer).encode()
        head = {"content-type": "application/json", "content-length": str(len(content))}
        await self.start(status, {**head, **(headers or {})})
        await self.send(content)

    async def switch(self) -> bytes:
        """Say yes to a CONNECT; the bytes are the caller's from here on. Returns those that came early."""
        self.started = True
        return await self._wire.switch()


def _sendable(headers: Mapping[str, str]) -> Iterator[tuple[bytes, bytes]]:
    for name, value in headers.items():
        if name.lower() not in _HOP_BY_HOP and _NAME.fullmatch(name) and _VALUE.fullmatch(value):
            yield name.encode("ascii"), value.strip().encode("latin-1", "replace")


def _reason(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b""


class Connection:
    """Reads request after request and has each answered. The client going away ends what is being done."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        deadlines: Deadlines,
        memory: Room,
    ) -> None:
        self._reader, self._writer, self._deadlines, self._memory = reader, writer, deadlines, memory
        self._early = bytearray()  # read, and not looked at yet; at most HEAD_BYTES + READ_BYTES
        self._parser = h11.Connection(h11.SERVER, HEAD_BYTES)
        self._held = 0
        self._ended = False  # the client sends no more
        self._last = False  # no request is read after this one
        self._body_read = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    async def serve(self, answer: Answer) -> None:
        """To the end of the connection."""
        whole = False
        try:
            while await self._exchange(answer):
                pass
            whole = True
        except Refused as refused:  # of a head: no request came of it
            with suppress(OSError, h11.LocalProtocolError):
                self._last = True
                await Outgoing(self, "GET").refuse(refused.status, refused.code, refused.text)
                await self._end()
                whole = True
        except (OSError, h11.ProtocolError):
            pass  # the client is gone, or its answer could not be whole
        finally:
            await self._hang_up(whole)

    async def _exchange(self, answer: Answer) -> bool:
        """One request and its answer. Whether another may follow."""
        head = await self._head()
        if head is None:
            return False
        request, reply = Incoming(self, head), Outgoing(self, head.method.decode("ascii"))
        try:
            await self._alive(self._answered(answer, request, reply))
        finally:
            self._memory.give(self._held)
            self._held = 0
        await self._end()
        return not self._last and (self._parser.our_state, self._parser.their_state) == (h11.DONE, h11.DONE)

    async def _answered(self, answer: Answer, request: Incoming, reply: Outgoing) -> None:
        try:
            await answer(request, reply)
            if not reply.started:
                raise Refused(500, "no_answer", "The gateway has no answer to this.")
        except OSError:
            raise
        except Exception as error:  # an edge: whatever it was, the program inside gets an answer
            refused = _as_refused(error)
            if reply.started:
                raise ConnectionAbortedError from None  # an answer cut short must look like one
            await reply.refuse(refused.status, refused.code, refused.text)

    # -- reading ---------------------------------------------------------------------------------

    async def _head(self) -> h11.Request | None:
        """The next head; None when the client said nothing more. Refused when it may not be read."""
        self._parser = h11.Connection(h11.SERVER, HEAD_BYTES)  # one a request: none sees another's bytes
        self._body_read = asyncio.Event()
        try:
            async with asyncio.timeout(self._deadlines.head_seconds):
                raw = await self._raw_head()
        except TimeoutError:
            if not self._early:
                return None
            raise Refused(408, "timeout", "The request's head did not arrive in time.") from None
        if raw is None:
            return None
        self._parser.receive_data(raw)
        try:
            head = self._parser.next_event()
        except h11.RemoteProtocolError as error:
            raise _as_refused(error) from None
        if not isinstance(head, h11.Request):
            raise Refused(400, "malformed", "This is no HTTP request.")
        _check(head)
        self._after_body(self._parser.next_event())
        return head

    async def _raw_head(self) -> bytes | None:
        seen = 0
        while True:
            if self._early[:1] and self._early[0] < 0x21:
                raise Refused(400, "malformed", "This is no HTTP request.")
            end = self._early.find(b"\r\n\r\n", max(0, seen - 3))
            if _BARE.search(self._early, seen, len(self._early) if end < 0 else end):
                raise Refused(400, "malformed", "Lines of a head end with CR LF.")
            if end >= HEAD_BYTES or (end < 0 and len(self._early) > HEAD_BYTES):
                raise Refused(431, "head_too_large", f"A head has at most {HEAD_BYTES} bytes.")
            if end >= 0:
                break
            seen = len(self._early)
            if not await self._more():
                return None
        raw = bytes(self._early[: end + 4])
        del self._early[: end + 4]
        if _AMBIGUOUS.search(raw):
            raise Refused(400, "malformed", "A head has one line for each header, ended by CR LF.")
        lengths = _LENGTHS.findall(raw)
        if len(lengths) > 1 or any(b"," in each for each in lengths):
            raise Refused(400, "malformed", "A body's length is told once.")
        return raw

    async def _more(self) -> bool:
        """Wait for bytes. False when the client has sent its last."""
        data = b"" if self._ended else await self._reader.read(READ_BYTES)
        self._early += data
        self._ended = not data
        return bool(data)

    async def piece(self) -> bytes | None:
        """The next piece of the request's body; None when that was all."""
        if self._body_read.is_set():
            return None
        if self._parser.they_are_waiting_for_100_continue:
            await self.send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
        while True:
            event = self._parser.next_event()
            if isinstance(event, h11.Data):
                return bytes(event.data)
            if self._after_body(event):
                return None
            if not self._early:
                await self._more_of_the_body()
            self._parser.receive_data(bytes(self._early))  # of no bytes: the end, which h11 then objects to
            self._early.clear()

    async def _more_of_the_body(self) -> None:
        try:
            async with asyncio.timeout(self._deadlines.idle_seconds):
                await self._more()
        except TimeoutError:
            raise Refused(408, "timeout", "The rest of the body did not arrive in time.") from None

    def _after_body(self, event: object) -> bool:
        """Whether `event` ends the body; what came behind it is kept for the next request."""
        if isinstance(event, h11.EndOfMessage):
            self._early[:0] = self._parser.trailing_data[0]
            self._body_read.set()
            return True
        return False

    def hold(self, size: int) -> bool:
        """Have so many bytes more in memory until the request is answered; False when that is too much."""
        if not self._memory.take(size):
            return False
        self._held += size
        return True

    # -- while a request is being answered -------------------------------------------------------

    async def _alive(self, work: Awaitable[None]) -> None:
        """`work` to its end, or to that of the client: then it is cancelled."""
        task = asyncio.ensure_future(work)
        self._watch = asyncio.create_task(self._watch_for_the_end(task))
        try:
            await asyncio.wait({task})
        finally:
            self._watch.cancel()
            task.cancel()
            await asyncio.gather(task, self._watch, return_exceptions=True)
        if task.cancelled():
            raise ConnectionAbortedError
        task.result()

    async def _watch_for_the_end(self, task: asyncio.Future[None]) -> None:
        await self._body_read.wait()
        with suppress(OSError):
            if self._early or await self._more():
                return  # it sends ahead: so much is kept, and no more read until its turn has come
        task.cancel()

    async def switch(self) -> bytes:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await self.send(h11.Response(status_code=200, headers=[], reason=b"Connection established"))
        return bytes(self._early)

    # -- writing ---------------------------------------------------------------------------------

    async def respond(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        if not self._body_read.is_set():
            self._last = True  # what is left of the body is not read just to get at another request
        if self._last:
            headers.append((b"connection", b"close"))
        await self.send(h11.Response(status_code=status, headers=headers, reason=_reason(status)))

    async def send(self, event: h11.Event) -> None:
        """Send it now, and wait until there is room for more."""
        data = self._parser.send(event)
        if data:
            self._writer.write(data)
            async with asyncio.timeout(self._deadlines.idle_seconds):
                await self._writer.drain()

    async def _end(self) -> None:
        if self._parser.our_state is h11.SEND_BODY:
            await self.send(h11.EndOfMessage())

    async def _hang_up(self, whole: bool) -> None:
        """Close; at once when the answer is not whole, else so that it can still be read."""
        try:
            if whole:
                async with asyncio.timeout(self._deadlines.linger_seconds):
                    if self._last and not self._ended:
                        await self._linger()
                    self._writer.close()
                    await self._writer.wait_closed()
        except OSError:
            pass
        finally:
            self._writer.transport.abort()

    async def _linger(self) -> None:
        """Closing with bytes unread would throw away what was answered."""
        if self._writer.can_write_eof():
            self._writer.write_eof()
        left = LINGER_BYTES
        while left > 0 and (data := await self._reader.read(READ_BYTES)):
            left -= len(data)


def _check(head: h11.Request) -> None:
    """What h11 lets pass, and we do not."""
    names = {name for name, _ in head.headers}
    if head.http_version not in (b"1.0", b"1.1"):
        raise Refused(505, "version", "This speaks HTTP/1.1.")
    if b"transfer-encoding" in names and (b"content-length" in names or head.http_version == b"1.0"):
        raise Refused(400, "malformed", "A body has a Content-Length or chunks, never both.")
    if not all(_VALUE.fullmatch(value.decode("latin-1")) for _, value in head.headers):
        raise Refused(400, "malformed", "A header holds control characters.")


def _as_refused(error: Exception) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, TooLarge):
        return Refused(413, "too_large", "The body is larger than what is taken.")
    if isinstance(error, h11.RemoteProtocolError):
        return Refused(error.error_status_hint, "malformed", "This is no well-formed HTTP request.")
    # Where, and never what: its text may hold anything.
    place = traceback.extract_tb(error.__traceback__)[-1]
    log.error("The gateway broke: %s at %s:%s", type(error).__name__, place.filename, place.lineno)
    return Refused(500, "broken", "The gateway broke; its log says where.")
