"""HTTP as a sandbox may send it: read in one way only, bounded, and answered or cut."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from gateway_kit import PUBLIC, WAIT_SECONDS, Heard, World, echo, gateway, listening, plain
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.gateway import Watcher, bounds
from bot.gateway.bounds import Deadlines

CALL = b'{"jsonrpc": "2.0", "id": 1, "method": "x"}'
LENGTH = b"Content-Length: %d\r\n" % len(CALL)
POST = b"POST /mcp HTTP/1.1\r\nHost: x\r\n"
SMUGGLED = b"POST /mcp HTTP/1.1\r\nHost: x\r\n" + LENGTH + b"\r\n" + CALL

MALFORMED = {
    "no request": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "an empty line first": b"\r\n" + SMUGGLED,
    "SSH": b"SSH-2.0-x\r\n\r\n",
    "HTTP/0.9": b"GET /mcp\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/3.7": b"GET / HTTP/3.7\r\nHost: x\r\n\r\n",
    "two spaces": b"GET  /mcp HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tab": b"GET\t/mcp HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "the same host twice": b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
    "length and chunks": POST + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\n" + LENGTH + b"\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": POST + LENGTH + b"Content-Length: 0\r\n\r\n" + CALL,
    "the same length twice": POST + LENGTH + LENGTH + b"\r\n" + CALL,
    "a list of lengths": POST + b"Content-Length: 42, 42\r\n\r\n" + CALL,
    "a signed length": POST + b"Content-Length: +42\r\n\r\n" + CALL,
    "a negative length": POST + b"Content-Length: -1\r\n\r\n" + CALL,
    "a hex length": POST + b"Content-Length: 0x2a\r\n\r\n" + CALL,
    "a spaced length": POST + b"Content-Length: 4 2\r\n\r\n" + CALL,
    "an endless length": POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n" + CALL,
    "another coding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a disguised coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a quoted coding": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "two codings": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /mcp HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a folded header": POST + b"X: a\r\n b\r\n" + LENGTH + b"\r\n" + CALL,
    "a folded length": POST + b"Content-Length:\r\n 42\r\n\r\n" + CALL,
    "a header folded at once": b"POST /mcp HTTP/1.1\r\n Host: x\r\n\r\n",
    "a space before the colon": POST + b"Content-Length : 42\r\n\r\n" + CALL,
    "a space in a name": POST + b"Content Length: 42\r\n\r\n" + CALL,
    "a name with a NUL": POST + b"Content-Length\x00: 42\r\n\r\n" + CALL,
    "a value with a NUL": POST + b"X: a\x00b\r\n\r\n",
    "a value with a bell": POST + b"X: a\x07b\r\n\r\n",
    "line feeds alone": POST.replace(b"\r\n", b"\n") + b"\n",
    "one line feed alone": POST + b"X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "one return alone": POST + b"X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no colon": POST + b"X\r\n\r\n",
    "no name": POST + b": x\r\n\r\n",
}
BAD_BODIES = {
    "no number": b"zz\r\nabc\r\n0\r\n\r\n",
    "a negative number": b"-1\r\nabc\r\n0\r\n\r\n",
    "a number too large": b"f" * 30 + b"\r\nabc\r\n0\r\n\r\n",
    "0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "longer than told": b"3\r\nabcdef\r\n0\r\n\r\n",
    "no line end": b"3\r\nabc0\r\n\r\n",
    "a line feed alone": b"3\nabc\n0\n\n" + b"x" * 40_000,
    "a chunk line without end": b"3;" + b"x" * 40_000,
    "trailers without end": b"0\r\n" + b"X: y\r\n" * 10_000,
}


@pytest.mark.proof("gateway")
@pytest.mark.parametrize("said", MALFORMED.values(), ids=MALFORMED)
async def test_a_request_that_two_programs_might_read_differently_is_refused_and_ends_the_connection(said):
    async with gateway() as house:
        inside = await house.open()
        client = await inside.client()
        await client.say(said)
        answer = await client.answer()
        assert answer.status in (400, 501, 505)
        assert answer.code in ("malformed", "version")
        assert answer.headers["connection"] == "close"
        assert await client.ended() == b""
        assert inside.heard.messages == []


@pytest.mark.proof("gateway")
@pytest.mark.parametrize("said", BAD_BODIES.values(), ids=BAD_BODIES)
async def test_a_body_in_bad_chunks_is_refused_and_ends_the_connection(said):
    async with gateway() as house:
        inside = await house.open()
        client = await inside.client()
        await client.say(POST + b"Transfer-Encoding: chunked\r\n\r\n" + said)
        answer = await client.answer()
        assert answer.status in (400, 431)
        assert await client.ended() == b""
        assert inside.heard.messages == []


@pytest.mark.proof("gateway")
@pytest.mark.parametrize(
    "bomb",
    [
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"a" * 4_000_000,
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"G" * 40_000,
    ],
    ids=["line", "endless line", "header", "headers", "method"],
)
async def test_a_head_too_large_is_refused_without_being_kept(bomb):
    async with gateway() as house:
        client = await (await house.open()).client()
        client.writer.write(bomb)  # and not drained: it need not be taken
        assert (await client.answer()).code == "head_too_large"


@pytest.mark.proof("gateway")
async def test_a_head_that_comes_drop_by_drop_is_refused_at_its_deadline():
    async with gateway(deadlines=Deadlines(head_seconds=0.2)) as house:
        client = await (await house.open()).client()
        await client.say(b"GET / HTTP/1.1\r\nHo")
        answer = await client.answer()
        assert (answer.status, answer.code) == (408, "timeout")
        assert await client.ended() == b""


async def test_a_client_refused_in_the_middle_of_its_body_can_still_read_why():
    async with gateway() as house:
        client = await (await house.open()).client()
        body = b"x" * 900_000
        await client.say(b"PUT /routes/none/ HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n\r\n" + body)
        answer = await client.answer()
        assert (answer.code, answer.headers["connection"]) == ("route", "close")
        assert await client.reader.read() == b""  # and no reset


async def test_a_refusal_of_a_head_has_no_body():
    async with gateway() as house:
        client = await (await house.open()).client()
        for _ in range(2):
            assert (await client.ask("/routes/none/", method="HEAD")).status == 403


@pytest.mark.parametrize("begun", [False, True])
async def test_when_the_gateway_itself_breaks_the_client_gets_an_answer_that_tells_nothing_or_none(
    begun, caplog
):
    async def breaks(route, request, reply, spender, watcher):
        if begun:
            await reply.start(200, {})
            await reply.send(b"begun")
        raise RuntimeError("the secret")

    async with gateway(routes=[plain("index", 1)]) as house:
        house.gateway._ground = replace(house.gateway._ground, serve_route=breaks)
        inside = await house.open()
        if begun:
            with pytest.raises(asyncio.IncompleteReadError):
                await inside.ask("/routes/index/")
        else:
            answer = await inside.ask("/routes/index/")
            assert (answer.status, answer.code) == (500, "broken")
            assert b"the secret" not in answer.body
        assert "RuntimeError at " in caplog.text and "the secret" not in caplog.text


async def test_a_client_that_says_nothing_is_let_go_without_a_word():
    async with gateway(deadlines=Deadlines(head_seconds=0.1)) as house:
        client = await (await house.open()).client()
        assert await client.ended() == b""


async def test_a_body_that_does_not_come_is_refused_at_its_deadline():
    async with gateway(deadlines=Deadlines(idle_seconds=0.2)) as house:
        client = await (await house.open()).client()
        await client.say(POST + LENGTH + b"\r\n{")
        assert (await client.answer()).code == "timeout"


@pytest.mark.proof("gateway")
async def test_a_tunnel_in_which_nothing_moves_is_cut():
    async with listening(echo) as port:
        world = World({"api.example.com": [PUBLIC]}, {(PUBLIC, 443): port})
        async with gateway(world, Deadlines(idle_seconds=0.2)) as house:
            inside = await house.open(egress=["api.example.com"])
            client, answer = await inside.connect("api.example.com:443")
            assert answer.status == 200
            assert await client.ended() == b""


@pytest.mark.proof("gateway")
async def test_a_reader_that_takes_nothing_is_cut():
    async def floods(reader, writer):
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    async with listening(floods) as port:
        world = World({"api.example.com": [PUBLIC]}, {(PUBLIC, 443): port})
        async with gateway(world, Deadlines(idle_seconds=0.3)) as house:
            inside = await house.open(egress=["api.example.com"])
            await inside.connect("api.example.com:443")  # and reads no more
            await inside.open_connections(0)


@pytest.mark.proof("gateway")
async def test_five_hundred_connections_are_bounded_and_harm_no_other_door(record_property):
    record_property("cases", 500)
    async with gateway() as house:
        hostile, other = await house.open(), await house.open()
        clients = [await hostile.client() for _ in range(500)]
        for client in clients:
            client.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        heads = [await client.head() for client in clients[bounds.CONNECTIONS :]]
        assert {head.status for head in heads} == {503}
        assert (await other.ask("/")).status == 404
        assert (await other.ask("/mcp", method="POST", body=CALL)).status == 202
        await clients[0].say(b"\r\n")
        assert (await clients[0].answer()).status == 404
        for client in clients[: bounds.CONNECTIONS]:
            client.writer.close()
        await hostile.open_connections(0)
        assert (await hostile.ask("/")).status == 404


async def test_all_doors_together_are_bounded_too(monkeypatch):
    monkeypatch.setattr("bot.gateway.gateway.ALL_CONNECTIONS", 3)
    async with gateway() as house:
        first, second = await house.open(), await house.open()
        clients = [await first.client() for _ in range(3)]
        for client in clients:
            assert (await client.ask("/")).status == 404  # and stays connected
        assert (await (await second.client()).head()).status == 503
        await first.door.close()
        assert (await second.ask("/")).status == 404


@pytest.mark.proof("gateway")
async def test_what_a_turn_holds_in_memory_is_bounded_over_all_its_requests(monkeypatch):
    monkeypatch.setattr("bot.gateway.door.BUFFERED_BYTES", 3 * 65536)
    async with gateway() as house:
        inside = await house.open()
        holding = [await inside.client() for _ in range(2)]
        for client in holding:
            await client.say(POST + b"Content-Length: 98305\r\n\r\n" + b" " * 98304)
        answers = [asyncio.create_task(client.answer()) for client in holding]
        async with asyncio.timeout(WAIT_SECONDS):
            while inside.door._memory.take():  # until the two hold all there is
                inside.door._memory.give()
                await asyncio.sleep(0)
        third = await inside.ask("/mcp", method="POST", body=b" " * 98304)
        assert third.status == 413
        for client in holding:
            client.writer.close()
        await asyncio.gather(*answers, return_exceptions=True)
        await inside.open_connections(0)
        assert (await inside.ask("/mcp", method="POST", body=CALL)).status == 202


# -- requests of other kinds -------------------------------------------------------------------------


@pytest.mark.proof("gateway")
@pytest.mark.parametrize(
    ("line", "headers", "where"),
    [
        ("GET http://listed.example.com/ HTTP/1.1", "Host: listed.example.com", "listed.example.com"),
        ("GET http://me:me@listed.example.com:80/x HTTP/1.1", "Host: x", "listed.example.com:80"),
        ("GET http://127.0.0.1:3128/mcp HTTP/1.1", "Host: x", "127.0.0.1:3128"),
        ("GET http://169.254.169.254/latest/meta-data HTTP/1.1", "Host: x", "169.254.169.254"),
        ("POST https://listed.example.com/ HTTP/1.1", "Host: listed.example.com", "listed.example.com"),
        ("GET listed.example.com:443 HTTP/1.1", "Host: listed.example.com", "listed.example.com:443"),
        ("OPTIONS * HTTP/1.1", "Host: listed.example.com", "*"),
        ("GET /mcp#x HTTP/1.1", "Host: x", "/mcp#x"),
        ("TRACE / HTTP/1.1", "Host: x", "/"),
        ("GET / HTTP/1.1", "Host: x\r\nConnection: Upgrade\r\nUpgrade: websocket", "/"),
        ("GET /mcp HTTP/1.1", "Host: x\r\nUpgrade: TLS/1.0", "/mcp"),
        ("CONNECT 93.184.216.34:443 HTTP/1.1", "Host: listed.example.com", "93.184.216.34:443"),
        ("CONNECT [2606:4700::1]:443 HTTP/1.1", "Host: listed.example.com", "[2606:4700::1]:443"),
        ("CONNECT http://listed.example.com:443 HTTP/1.1", "Host: x", "http://listed.example.com:443"),
        ("CONNECT /routes/index HTTP/1.1", "Host: x", "/routes/index"),
        ("CONNECT other.example.com:443 HTTP/1.1", "Host: other.example.com", "other.example.com:443"),
        ("CONNECT listed.example.com:80 HTTP/1.1", "Host: listed.example.com", "listed.example.com:80"),
        (
            "CONNECT x.listed.example.com:443 HTTP/1.1",
            "Host: x.listed.example.com",
            "x.listed.example.com:443",
        ),
        ("CONNECT localhost:22 HTTP/1.1", "Host: localhost:22", "localhost:22"),
    ],
)
async def test_what_leads_elsewhere_is_refused_with_a_reason_and_told_once(line, headers, where):
    world = World({"listed.example.com": [PUBLIC], "x.listed.example.com": [PUBLIC]})
    async with gateway(world) as house:
        inside = await house.open(egress=["listed.example.com"])
        for _ in range(2):
            client = await inside.client()
            await client.say(f"{line}\r\n{headers}\r\n\r\n".encode())
            answer = await client.answer()
            assert answer.status in (403, 405)
            assert json.loads(answer.body)["error"]["message"]
        assert inside.heard.where == [where]
        assert inside.heard.denials[0].reason
        assert (world.asked, world.reached) == ([], [])


async def test_who_offers_h2c_gets_an_answer_in_http_1():
    async with gateway() as house:
        headers = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ")
        assert (await (await house.open()).ask("/", *headers)).status == 404


@pytest.mark.proof("gateway")
@pytest.mark.parametrize(
    "headers",
    [
        ["Host: other.example.com"],
        ["Host: listed.example.com.other.example.com:443"],
        ["Host: listed.example.com", "Content-Length: 5"],
        ["Host: listed.example.com", "Transfer-Encoding: chunked"],
    ],
)
async def test_a_connect_that_says_two_things_is_refused(headers):
    world = World({"listed.example.com": [PUBLIC]})
    async with gateway(world) as house:
        inside = await house.open(egress=["listed.example.com"])
        _, answer = await inside.connect("listed.example.com:443", *headers)
        assert (answer.status, world.asked) == (400, [])


@pytest.mark.proof("gateway")
async def test_the_host_header_chooses_nothing():
    """Neither a host to reach nor a route: it is the target alone that counts."""
    asked = []

    async def service(reader, writer):
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()

    world = World({"listed.example.com": [PUBLIC]})
    async with listening(service) as port, gateway(world, routes=[plain("index", port)]) as house:
        client = await (await house.open(egress=["listed.example.com"])).client()
        await client.say(b"GET /routes/index/ HTTP/1.1\r\nHost: listed.example.com\r\n\r\n")
        assert (await client.answer()).status == 204
        assert b"listed" not in asked[0] and b"Host: 127.0.0.1:%d" % port in asked[0]
        assert world.asked == []


@pytest.mark.proof("gateway")
async def test_a_door_is_known_by_its_socket_whatever_a_header_claims():
    async def service(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()

    async with listening(service) as port:
        routes = [plain("theirs", port, repositories=["acme/api"])]
        async with gateway(routes=routes) as house:
            mine, theirs = await house.open("acme/web"), await house.open("acme/api")
            claims = [
                *("X-Session: session-2", "X-Lease: session-2", "X-Repository: acme/api", "X-Turn: 2"),
                *("Authorization: Bearer session-2", "Cookie: session=session-2", "Forwarded: for=session-2"),
                *("X-Forwarded-For: 127.0.0.1", "Proxy-Authorization: Basic c2Vzc2lvbi0y"),
            ]
            assert (await mine.ask("/routes/theirs/", *claims)).code == "route"
            assert (await theirs.ask("/routes/theirs/")).status == 204
            await mine.ask("/mcp", *claims, method="POST", body=CALL)
            assert (len(mine.heard.messages), len(theirs.heard.messages)) == (1, 0)
            assert (len(mine.heard.denials), len(theirs.heard.denials)) == (1, 0)


# -- what the turn hears of it -----------------------------------------------------------------------


async def test_a_refused_host_is_told_with_what_an_admin_would_add():
    async with gateway() as house:
        inside = await house.open("acme/web")
        await inside.connect("api.example.com:443")
        await inside.connect("api.example.com:8443")
        fixes = [denial.fix for denial in inside.heard.denials]
        assert inside.heard.where == ["api.example.com:443", "api.example.com:8443"]
        assert fixes[0] == 'egress = ["api.example.com"] under [[repositories]] acme/web or [gateway]'
        assert fixes[1].startswith('egress = ["api.example.com:8443"] ')


@pytest.mark.proof("gateway")
async def test_a_flood_of_refusals_is_told_in_part_and_counted():
    async with gateway() as house:
        inside = await house.open()
        client = await inside.client()
        for number in range(50):
            await client.say(
                b"CONNECT h%d.example.com:443 HTTP/1.1\r\nHost: h%d.example.com\r\n\r\n" % ((number,) * 2)
            )
            assert (await client.answer()).status == 403
        assert inside.heard.where == [f"h{number}.example.com:443" for number in range(bounds.TOLD_DENIALS)]
        assert inside.door.untold == 50 - bounds.TOLD_DENIALS


async def test_where_it_was_to_go_is_told_short():
    async with gateway() as house:
        inside = await house.open()
        await inside.connect("a" * 5000, "Host: x")
        assert inside.heard.where == ["a" * bounds.WHERE_CHARS]


async def test_a_turn_that_cannot_be_told_changes_nothing_for_the_client():
    async with gateway() as house:
        inside = await house.open()

        async def breaks(denial):
            raise RuntimeError("a secret")

        inside.heard.denied = breaks
        assert (await inside.connect("api.example.com:443"))[1].code == "host"


# -- whatever is sent --------------------------------------------------------------------------------

PIECES = st.sampled_from(
    [
        *(b"GET / HTTP/1.1\r\n", b"POST /mcp HTTP/1.1\r\n", b"CONNECT h.example.com:443 HTTP/1.1\r\n"),
        *(
            b"Host: x\r\n",
            b"Content-Length: 3\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Connection: close\r\n",
        ),
        *(
            b"Upgrade: x\r\n",
            b"Expect: 100-continue\r\n",
            b"\r\n",
            b"\n",
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
            b"abc",
        ),
        *(b" x\r\n", b"\x00", b"\xff", CALL),
    ]
)


@given(st.lists(PIECES | st.binary(max_size=8), max_size=12).map(b"".join))
@settings(max_examples=400)
def test_any_bytes_whatever_are_answered_or_cut_and_nothing_breaks(said):
    async def tried() -> None:
        async with gateway() as house:
            inside = await house.open()
            client = await inside.client()
            client.writer.write(said)
            client.writer.write_eof()
            rest = await client.ended()
            assert not rest or rest.startswith(b"HTTP/1.1 ")
            assert b'"broken"' not in rest
            assert house.world.reached == []

    asyncio.run(tried())


def test_the_stand_in_turn_hears_as_the_real_one_does():
    heard: Watcher = Heard()
    assert all(callable(getattr(heard, name)) for name in ("denied", "used", "warned", "exceeded", "tool"))
