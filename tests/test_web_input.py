"""Bad requests to the bot's own server: refused, logged without a traceback, and nobody else waits."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from session_kit import until

from bot.testing import Botty

pytestmark = pytest.mark.proof("input")

HOST = b"Host: 127.0.0.1\r\n"
CLOSE = b"Connection: close\r\n\r\n"
MALFORMED = [
    *(
        b"\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /live\r\n\r\n",
        b"\xff\xfe\r\n\r\n",
    ),
    *(b"GET /live HTTP/9.9\r\n\r\n", b"GET live HTTP/1.1\r\n\r\n", b"get /live http/1.1\r\n\r\n"),
    b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + HOST + CLOSE,
    b"GET /live?" + b"a=1&" * 10_000 + b" HTTP/1.1\r\n" + HOST + CLOSE,
    b"GET /live HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n" + CLOSE,
    b"GET /live HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(5_000)) + CLOSE,
    b"GET /live HTTP/1.1\r\nContent-Length: -1\r\n" + CLOSE,
    b"GET /live HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n" + CLOSE,
    b"POST /live HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"abc",
    b"POST /live HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"zz\r\nabc",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200 + b"\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /live HTTP/1.1\r\nHo\0st: x\r\n" + CLOSE,
    b"GET /live\x0b HTTP/1.1\r\n" + HOST + CLOSE,
]
UNKNOWN = [
    *(
        b"/",
        b"/lives",
        b"/live/",
        b"//live",
        b"/live/..",
        b"/%2e%2e/etc/passwd",
        b"/../../etc/passwd",
        b"/live%00",
    ),
    *(
        b"/%ff%fe",
        b"/%",
        b"/%zz",
        b"/api/sessions",
        b"/metrics",
        b"/openapi.json",
        b"/webhooks/github",
        b"/*",
    ),
    *(
        b"/ready?x=%00",
        b"/\xe2\x80\xae",
        b"/ready#x",
        b"/admin",
        b"/.git/config",
        b"http://evil.example/live",
    ),
]
METHODS = [b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT", b"BREW", b"X" * 300]


async def exchange(botty: Botty, request: bytes, seconds: float = 30) -> bytes:
    """The beginning of what comes back; nothing, when the server hangs up or waits for more of it."""
    where = urlsplit(botty.bot.web.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(65536), seconds)
    except (ConnectionError, TimeoutError):
        return b""
    finally:
        writer.close()


def status_of(answer: bytes) -> int:
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.") else 0


async def test_requests_that_are_none_are_refused_and_leave_the_server_well(
    botty: Botty, record_property: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Malformed, endless, smuggled; unknown paths and methods get JSON errors. Many at once."""
    await until(botty, botty.bot.slack.connected)
    requests = [b"GET " + path + b" HTTP/1.1\r\n" + HOST + CLOSE for path in UNKNOWN]
    requests += [method + b" /live HTTP/1.1\r\n" + HOST + CLOSE for method in METHODS]
    answers = await asyncio.gather(*(exchange(botty, request) for request in requests))
    answers += await asyncio.gather(*(exchange(botty, request, 1) for request in MALFORMED))
    for request, answer in zip([*requests, *MALFORMED], answers, strict=True):
        assert status_of(answer) < 500, (request[:60], answer[:80])
        assert b"Traceback" not in answer, request[:60]
        assert str(botty.home.folder).encode() not in answer, request[:60]
    for request, answer in zip(requests, answers, strict=False):
        if status_of(answer) in (404, 405):
            said = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert set(said) == {"error", "detail"}, request
    assert status_of(await exchange(botty, b"GET /live HTTP/1.1\r\n" + HOST + CLOSE)) == 200
    record_property("cases", len(answers))
    assert not [record for record in caplog.records if record.exc_info]


async def test_who_says_nothing_or_half_a_request_holds_up_nobody(botty: Botty, record_property: Any) -> None:
    """Two hundred connections that never finish, and the server answers all the same."""
    where = urlsplit(botty.bot.web.url)
    half = [await asyncio.open_connection(where.hostname, where.port) for _ in range(200)]
    for number, (_, writer) in enumerate(half):
        writer.write(b"GET /live HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"[: number % 50])
    assert status_of(await exchange(botty, b"GET /live HTTP/1.1\r\n" + HOST + CLOSE)) == 200
    for _, writer in half:
        writer.close()
    record_property("cases", len(half))
