"""Plain routes: a service behind a path, whose key stays with us."""

from __future__ import annotations

import asyncio
import base64
import gzip
import logging
import socket

import pytest
from gateway_kit import KEY, WAIT_SECONDS, Client, gateway, listening, plain, self_signed

from bot.gateway.bounds import Deadlines


class Service:
    """A service that remembers what it was asked, byte by byte, and answers with what it is given."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine") -> None:
        self.answer = answer
        self.asked: list[bytes] = []
        self.bodies: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        body = b""
        if b"content-length:" in head.lower():
            body = await reader.readexactly(int(self.header("content-length")))
        elif b"chunked" in head.lower():
            body = await reader.readuntil(b"0\r\n\r\n")
        self.bodies.append(body)
        writer.write(self.answer)
        await writer.drain()

    @property
    def line(self) -> str:
        return self.asked[-1].decode().split("\r\n")[0]

    def headers(self) -> dict[str, str]:
        lines = self.asked[-1].decode("latin-1").strip().split("\r\n")[1:]
        return {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}

    def header(self, name: str) -> str:
        return self.headers()[name]


# -- the way there -----------------------------------------------------------------------------------


async def test_the_service_is_asked_with_its_key_and_answers_through_the_route():
    service = Service()
    async with listening(service) as port, gateway(routes=[plain("index", port)]) as house:
        answer = await (await house.open()).ask("/routes/index/simple/x/?q=a%20b&c=1")
        assert (answer.status, answer.body) == (200, b"fine")
        assert service.line == "GET /base/simple/x/?q=a%20b&c=1 HTTP/1.1"
        assert service.header("authorization") == f"Bearer {KEY}"
        assert service.header("host") == f"127.0.0.1:{port}"


async def test_the_route_alone_is_the_service_s_root():
    service = Service()
    async with listening(service) as port, gateway(routes=[plain("index", port)]) as house:
        inside = await house.open()
        for target in ("/routes/index", "/routes/index/"):
            await inside.ask(target)
            assert service.line == "GET /base/ HTTP/1.1"


async def test_the_key_goes_where_the_route_says_and_how():
    service = Service()
    route = {"header": "X-Token", "format": "token={};v=1"}
    async with listening(service) as port, gateway(routes=[plain("index", port, **route)]) as house:
        await (await house.open()).ask("/routes/index/", "x-token: mine", "X_Token: mine")
        assert service.header("x-token") == f"token={KEY};v=1"
        assert "mine" not in str(service.asked)


async def test_a_service_without_a_key_gets_none():
    service = Service()
    async with listening(service) as port, gateway(routes=[plain("index", port, None)]) as house:
        await (await house.open()).ask("/routes/index/", "Authorization: Bearer of-the-sandbox")
        assert "authorization" not in service.headers()


@pytest.mark.parametrize(
    "header",
    [
        "Authorization: Basic me",
        "Proxy-Authorization: Basic me",
        "Proxy-Connection: me",
        "Cookie: session=me",
        "X-Api-Key: me",
        "X_Api_Key: me",
        "Api-Key: me",
        "Forwarded: for=me",
        "X-Forwarded-For: me",
        "X-Forwarded-Host: me",
        "X_Forwarded_Host: me",
        "X-Real-IP: me",
        "Via: me",
        "X-HTTP-Method-Override: me",
        "X-Original-URL: /me",
        "X-Rewrite-URL: /me",
        "TE: me",
        "Connection: X-Own\r\nX-Own: me",
        "Keep-Alive: me",
    ],
)
async def test_what_a_client_says_of_itself_does_not_reach_the_service(header):
    service = Service()
    async with listening(service) as port, gateway(routes=[plain("index", port)]) as house:
        answer = await (await house.open()).ask("/routes/index/", header, "Accept: text/html")
        assert answer.status == 200
        assert "me" not in [value.rpartition("=")[2] for value in service.headers().values()]
        assert "/me" not in str(service.asked)
        assert service.header("accept") == "text/html"


async def test_nothing_is_said_to_the_service_that_the_client_did_not_say():
    service = Service()
    async with listening(service) as port, gateway(routes=[plain("index", port)]) as house:
        await (await house.open()).ask("/routes/index/")
        assert service.headers().keys() == {"host", "authorization"}


@pytest.mark.proof("gateway")
async def test_a_cookie_of_one_turn_is_not_sent_for_another():
    service = Service(b"HTTP/1.1 200 OK\r\nSet-Cookie: who=first; Path=/\r\nContent-Length: 0\r\n\r\n")
    async with listening(service) as port:
        route = plain("index", port, upstream=f"http://localhost:{port}/")
        async with gateway(routes=[route]) as house:
            for _ in range(2):
                assert (await (await house.open()).ask("/routes/index/")).status == 200
            assert len(service.asked) == 2 and "cookie" not in service.headers()


async def test_the_bot_s_own_proxy_is_not_the_sandboxes(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    service = Service()
    async with listening(service) as port, gateway(routes=[plain("index", port)]) as house:
        assert (await (await house.open()).ask("/routes/index/")).status == 200


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_goes_through_in_the_form_it_came(chunked):
    service = Service()
    route = {"methods": ["POST"]}
    async with listening(service) as port, gateway(routes=[plain("index", port, **route)]) as house:
        client = await (await house.open()).client()
        head = b"POST /routes/index/ HTTP/1.1\r\nHost: x\r\n"
        if chunked:
            await client.say(head + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        else:
            await client.say(head + b"Content-Length: 3\r\n\r\nabc")
        assert (await client.answer()).status == 200
        assert service.bodies == [b"3\r\nabc\r\n0\r\n\r\n" if chunked else b"abc"]
        assert ("content-length" in service.headers()) != chunked


async def test_a_client_that_waits_to_be_told_to_go_on_is_told():
    service = Service()
    route = {"methods": ["POST"]}
    async with listening(service) as port, gateway(routes=[plain("index", port, **route)]) as house:
        client = await (await house.open()).client()
        await client.say(
            b"POST /routes/index/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        )
        assert (await client.head()).status == 100
        await client.say(b"abc")
        assert (await client.answer()).status == 200
        assert service.bodies == [b"abc"]


async def test_a_body_that_breaks_off_never_looks_whole_to_the_service():
    whole = asyncio.get_running_loop().create_future()

    async def service(reader, writer):
        await reader.readuntil(b"abc\r\n")
        whole.set_result(b"0\r\n\r\n" in await reader.read())

    route = {"methods": ["POST"]}
    async with listening(service) as port, gateway(routes=[plain("index", port, **route)]) as house:
        client = await (await house.open()).client()
        await client.say(
            b"POST /routes/index/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
        )
        await client.say(b"no chunk\r\n")
        assert (await client.answer()).code == "malformed"
        assert not await asyncio.wait_for(whole, WAIT_SECONDS)


# -- the way back ------------------------------------------------------------------------------------


async def test_each_piece_of_an_answer_is_there_before_the_next_is_sent():
    """The service sends a piece only after the client has seen the one before."""
    seen = [asyncio.Event() for _ in range(3)]

    async def service(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for number, event in enumerate(seen):
            writer.write(b"data: %d\n\n" % number)
            await asyncio.wait_for(event.wait(), WAIT_SECONDS)

    async with listening(service) as port, gateway(routes=[plain("events", port)]) as house:
        client = await (await house.open()).client()
        await client.say(b"GET /routes/events/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await client.head()).headers["content-type"] == "text/event-stream"
        for number, event in enumerate(seen):
            assert await client.chunk() == b"data: %d\n\n" % number
            event.set()
        assert await client.chunk() == b""


async def test_each_piece_of_a_body_is_there_before_the_next_is_sent():
    seen = [asyncio.Event() for _ in range(3)]

    async def service(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        for number, event in enumerate(seen):
            await reader.readuntil(b"piece %d" % number)
            event.set()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    route = {"methods": ["PUT"]}
    async with listening(service) as port, gateway(routes=[plain("store", port, **route)]) as house:
        client = await (await house.open()).client()
        await client.say(b"PUT /routes/store/ HTTP/1.1\r\nHost: x\r\nContent-Length: 21\r\n\r\n")
        for number, event in enumerate(seen):
            await client.say(b"piece %d" % number)
            await asyncio.wait_for(event.wait(), WAIT_SECONDS)
        assert (await client.answer()).status == 200


async def test_a_compressed_answer_stays_as_it_is():
    packed = gzip.compress(b"text " * 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with listening(Service(head + packed)) as port, gateway(routes=[plain("index", port)]) as house:
        answer = await (await house.open()).ask("/routes/index/")
        assert (answer.headers["content-encoding"], answer.body) == ("gzip", packed)


@pytest.mark.parametrize("status", [200, 204, 304, 404, 429, 500, 599])
async def test_the_service_s_own_words_reach_the_client(status):
    said = (
        b"HTTP/1.1 %d Own words\r\nContent-Length: 0\r\nRetry-After: 7\r\nVary: a\r\nVary: b\r\n\r\n" % status
    )
    async with listening(Service(said)) as port, gateway(routes=[plain("index", port)]) as house:
        inside = await house.open()
        answer = await inside.ask("/routes/index/")
        assert (answer.status, answer.headers["retry-after"]) == (status, "7")
        assert answer.headers["vary"] == "a, b"
        assert inside.heard.denials == []


async def test_a_head_is_answered_without_a_body():
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n"
    async with listening(Service(said)) as port, gateway(routes=[plain("index", port)]) as house:
        client = await (await house.open()).client()
        for _ in range(2):
            answer = await client.ask("/routes/index/", method="HEAD")
            assert (answer.status, answer.headers["content-length"]) == (200, "1234")


@pytest.mark.proof("gateway")
@pytest.mark.parametrize(
    "header",
    [
        f"X-Echo: {KEY}",
        f"X-Echo: Bearer {KEY}",
        f"X-Echo: {base64.b64encode(KEY.encode()).decode()}",
        f"X-Echo: {KEY.encode().hex()}",
        f"X-{KEY}: 1",
        f"WWW-Authenticate: Bearer error={KEY}",
        f"Set-Cookie: session={KEY}",
        "Set-Cookie: session=other",
        "Alt-Svc: h3=:443",
        "Content-Location: http://elsewhere.example.com/",
        f"Link: <http://127.0.0.1/?token={KEY}>; rel=next",
    ],
)
async def test_no_header_brings_a_key_or_a_cookie_back(header):
    said = f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Fine: yes\r\n{header}\r\n\r\n".encode()
    async with listening(Service(said)) as port, gateway(routes=[plain("index", port)]) as house:
        answer = await (await house.open()).ask("/routes/index/")
        assert answer.headers == {"content-length": "0", "x-fine": "yes"}


@pytest.mark.parametrize(
    ("location", "seen"),
    [
        ("/base/next?x=1", "/routes/index/next?x=1"),
        ("next", "/routes/index/a/next"),
        ("../next", "/routes/index/next"),
        ("http://127.0.0.1:{port}/base/next", "/routes/index/next"),
        ("//127.0.0.1:{port}/base/next#part", "/routes/index/next"),
    ],
)
async def test_a_redirect_within_the_service_is_told_as_the_route_s(location, seen):
    service = Service()
    async with listening(service) as port, gateway(routes=[plain("index", port)]) as house:
        said = f"HTTP/1.1 302 Found\r\nLocation: {location.format(port=port)}\r\nContent-Length: 0\r\n\r\n"
        service.answer = said.encode()
        answer = await (await house.open()).ask("/routes/index/a/b")
        assert (answer.status, answer.headers["location"]) == (302, seen)
        assert len(service.asked) == 1


@pytest.mark.proof("gateway")
@pytest.mark.parametrize(
    "location",
    [
        "http://elsewhere.example.com/base/",
        "https://127.0.0.1:{port}/base/",
        "http://127.0.0.1:1/base/",
        "http://169.254.169.254/base/",
        "//elsewhere.example.com/base/",
        "http://me@127.0.0.1:{port}/base/",
        "http://127.0.0.1:{port}@elsewhere.example.com/base/",
        "http://127.0.0.1:{port}\\@elsewhere.example.com/base/",
        "/admin",
        "/basement",
        "/base/../admin",
        "/base/%2e%2e/admin",
        "/base//elsewhere.example.com/",
        "file:///etc/passwd",
        "http://[::1/",
        "http://127.0.0.1:99999/base/",
        f"/base/next?token={KEY}",
    ],
)
async def test_a_redirect_to_elsewhere_is_refused_and_followed_by_nobody(location):
    service = Service()
    async with listening(service) as port, gateway(routes=[plain("index", port)]) as house:
        said = f"HTTP/1.1 307 Moved\r\nLocation: {location.format(port=port)}\r\nContent-Length: 0\r\n\r\n"
        service.answer = said.encode()
        inside = await house.open()
        answer = await inside.ask("/routes/index/")
        assert (answer.status, answer.code) == (502, "redirect")
        assert "location" not in answer.headers and KEY.encode() not in answer.body
        assert len(inside.heard.denials) == 1 and KEY not in str(inside.heard.denials)
        assert len(service.asked) == 1


async def test_where_a_redirect_leads_is_told_in_plain_characters():
    said = "HTTP/1.1 302 Found\r\nLocation: http://ex\u202eam.example.com/\r\nContent-Length: 0\r\n\r\n"
    async with listening(Service(said.encode())) as port, gateway(routes=[plain("index", port)]) as house:
        inside = await house.open()
        assert (await inside.ask("/routes/index/")).code == "redirect"
        assert inside.heard.where == ["ex?am.example.com:80"]


# -- what may be asked for ---------------------------------------------------------------------------


async def test_a_method_that_is_not_listed_is_refused_and_told():
    service = Service()
    async with listening(service) as port, gateway(routes=[plain("index", port)]) as house:
        inside = await house.open()
        answer = await inside.ask("/routes/index/x", method="DELETE")
        assert (answer.status, answer.code) == (405, "method")
        (denial,) = inside.heard.denials
        assert denial.where == "/routes/index/x"
        assert 'methods = ["GET", "HEAD", "DELETE"] under [[gateway.routes]] name = "index"' in denial.fix
        assert service.asked == []


async def test_only_the_listed_paths_are_asked_for():
    service = Service()
    route = {"paths": ["/simple/*", "/health"]}
    async with listening(service) as port, gateway(routes=[plain("index", port, **route)]) as house:
        inside = await house.open()
        for path in ("/simple/", "/simple/x/y", "/health", "/%73imple/x"):
            assert (await inside.ask(f"/routes/index{path}")).status == 200
        assert service.line == "GET /base/simple/x HTTP/1.1"
        for path in ("/", "/simple", "/simplex", "/healthy", "/health/", "/admin"):
            assert (await inside.ask(f"/routes/index{path}")).code == "path"
        assert len(service.asked) == 4
        assert "/routes/index/admin" in inside.heard.where


async def test_a_scoped_package_is_asked_for_as_npm_does_and_held_to_its_path():
    service = Service()
    route = {"paths": ["/@acme/*"]}
    async with listening(service) as port, gateway(routes=[plain("npm", port, **route)]) as house:
        inside = await house.open()
        assert (await inside.ask("/routes/npm/@acme%2fweb")).status == 200
        assert service.line == "GET /base/@acme%2Fweb HTTP/1.1"
        assert (await inside.ask("/routes/npm/@other%2fweb")).code == "path"


@pytest.mark.proof("gateway")
@pytest.mark.parametrize(
    "path",
    [
        "/simple/../admin",
        "/simple/..",
        "/simple/./admin",
        "/simple/%2e%2e/admin",
        "/simple/%2E./admin",
        "/simple/.%2e/admin",
        "/simple/%252e%252e/admin",
        "/simple/..%2fadmin",
        "/simple/..%5cadmin",
        "/simple/..\\admin",
        "/simple/..;/admin",
        "/simple/..;x=1/admin",
        "/simple/%2e%2e;/admin",
        "/simple//admin",
        "//admin",
        "/simple/%2f/admin",
        "/simple/x%2Fadmin",
        "/simple/%c0%ae%c0%ae/admin",
        "/simple/%e0%80%ae/admin",
        "/simple/%ef%bc%8e%ef%bc%8e/admin",
        "/simple/%ef%bc%8fadmin",
        "/simple/%00admin",
        "/simple/%0d%0aX-Own:%20me",
        "/simple/%",
        "/simple/%zz",
        "/simple/%2",
        "/simple/a|b",
        '/simple/"',
        "/simple/<x>",
        "/simple/@acme%2f..",
        "/simple/@acme%2f%2e%2e%2fadmin",
        "/simple/@..%2fadmin",
    ],
)
async def test_a_path_that_could_be_read_in_two_ways_is_refused(path):
    service = Service()
    route = {"paths": ["/simple/*"]}
    async with listening(service) as port, gateway(routes=[plain("index", port, **route)]) as house:
        answer = await (await house.open()).ask(f"/routes/index{path}")
        assert answer.status in (400, 403)
        assert service.asked == []


@pytest.mark.proof("gateway")
async def test_a_route_of_another_repository_is_refused_like_one_that_is_not_there():
    service = Service()
    async with listening(service) as port:
        routes = [plain("theirs", port, repositories=["acme/api"]), plain("all", port)]
        async with gateway(routes=routes) as house:
            inside = await house.open("acme/web")
            theirs, none = await inside.ask("/routes/theirs/x"), await inside.ask("/routes/none/x")
            assert theirs.status == none.status == 403
            assert theirs.body.replace(b"theirs", b"none") == none.body
            assert inside.heard.where == ["/routes/theirs", "/routes/none"]
            assert "acme/web" in inside.heard.denials[0].fix
            assert service.asked == []
            assert (await inside.ask("/routes/all/x")).status == 200
            assert (await (await house.open("acme/api")).ask("/routes/theirs/x")).status == 200


# -- when the service does not do well ---------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


async def _code(house, caplog) -> str:
    answer = await (await house.open()).ask("/routes/index/")
    assert answer.status in (502, 504)
    assert KEY not in answer.body.decode() + caplog.text
    assert "Traceback" not in answer.body.decode() + caplog.text
    return answer.code


async def test_a_service_that_is_not_there_is_named(caplog):
    async with gateway(routes=[plain("index", _free_port())]) as house:
        assert await _code(house, caplog) == "unreachable"


async def test_a_service_whose_name_leads_nowhere_is_named(caplog):
    upstream = "http://nowhere.invalid/"
    async with gateway(routes=[plain("index", 0, upstream=upstream)]) as house:
        assert await _code(house, caplog) == "unknown_host"


async def test_a_service_that_does_not_speak_tls_is_named(caplog):
    async def service(reader, writer):
        await reader.read(100)
        writer.write(b"no tls, whatever it is you say")

    async with listening(service) as port:
        route = plain("index", port, upstream=f"https://127.0.0.1:{port}/")
        async with gateway(routes=[route]) as house:
            assert await _code(house, caplog) == "tls"


@pytest.mark.proof("gateway")
async def test_a_service_that_cannot_prove_its_name_never_gets_the_key(tmp_path, caplog):
    service = Service()
    async with listening(service, self_signed(tmp_path)) as port:
        route = plain("index", port, upstream=f"https://localhost:{port}/")
        async with gateway(routes=[route]) as house:
            assert await _code(house, caplog) == "tls"
            assert service.asked == []


async def test_a_service_that_says_nothing_is_named(caplog):
    async def service(reader, writer):
        await reader.read()

    deadlines = Deadlines(answer_seconds=0.2)
    async with listening(service) as port, gateway(None, deadlines, routes=[plain("index", port)]) as house:
        assert await _code(house, caplog) == "timeout"


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n"]
)
async def test_a_service_that_says_no_http_is_named(said, caplog):
    async with listening(Service(said)) as port, gateway(routes=[plain("index", port)]) as house:
        assert await _code(house, caplog) == "broken_off"


@pytest.mark.parametrize("framing", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
async def test_an_answer_cut_short_does_not_look_whole(framing):
    said = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n4\r\nfine\r\n"
    async with listening(Service(said)) as port, gateway(routes=[plain("index", port)]) as house:
        inside = await house.open()
        with pytest.raises(asyncio.IncompleteReadError):
            await inside.ask("/routes/index/")


async def test_a_service_that_falls_silent_in_mid_answer_is_cut():
    async def service(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
        await reader.read()

    deadlines = Deadlines(idle_seconds=0.2)
    async with listening(service) as port, gateway(None, deadlines, routes=[plain("index", port)]) as house:
        inside = await house.open()
        with pytest.raises(asyncio.IncompleteReadError):
            await inside.ask("/routes/index/")


async def test_the_service_is_let_go_when_the_client_leaves():
    began, let_go = asyncio.Event(), asyncio.Event()

    async def service(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        began.set()
        await reader.read()
        let_go.set()

    async with listening(service) as port, gateway(routes=[plain("index", port)]) as house:
        client: Client = await (await house.open()).client()
        await client.say(b"GET /routes/index/ HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(WAIT_SECONDS):
            await began.wait()
            client.writer.close()
            await let_go.wait()


@pytest.mark.proof("gateway")
async def test_no_log_line_and_no_answer_ever_holds_the_key(caplog):
    caplog.set_level(logging.DEBUG)
    ways = [b"", b"junk\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"]
    async with listening(service := Service()) as port, gateway(routes=[plain("index", port)]) as house:
        inside = await house.open()
        for service.answer in ways:
            client = await inside.client()
            await client.say(b"GET /routes/index/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert KEY.encode() not in await client.ended()
    assert len(service.asked) >= len(ways)
    assert KEY not in caplog.text
