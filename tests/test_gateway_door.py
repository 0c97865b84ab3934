"""What leads out of a sandbox: CONNECT to listed hosts, and the session's own MCP server."""

from __future__ import annotations

import asyncio
import json

import pytest
from gateway_kit import PUBLIC, WAIT_SECONDS, World, echo, gateway, listening

RPC = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}


async def test_a_listed_host_is_reached_by_the_address_its_name_has():
    async with listening(echo) as port:
        world = World({"api.example.com": [PUBLIC]}, {(PUBLIC, 443): port})
        async with gateway(world) as house:
            inside = await house.open(egress=["api.example.com"])
            client, answer = await inside.connect("API.example.com.:443")
            assert answer.status == 200
            await client.say(b"hello")
            assert await client.reader.readexactly(5) == b"hello"
            assert (world.asked, world.reached) == (["api.example.com"], [(PUBLIC, 443)])
            assert inside.heard.denials == []


async def test_the_list_of_all_counts_as_well_as_the_repository_s():
    world = World({"a.example.com": [PUBLIC], "b.example.com": [PUBLIC]})
    async with listening(echo) as port:
        world.ports[PUBLIC, 443] = port
        async with gateway(world, egress=["a.example.com"]) as house:
            inside = await house.open(egress=["b.example.com"])
            for host in world.names:
                assert (await inside.connect(f"{host}:443"))[1].status == 200
            other = await house.open("acme/other")
            assert (await other.connect("b.example.com:443"))[1].code == "host"


async def test_a_tunnel_goes_on_one_way_when_the_other_way_has_ended():
    async def upper_case_at_the_end(reader, writer):
        writer.write((await reader.read()).upper())
        await writer.drain()

    async with listening(upper_case_at_the_end) as port:
        world = World({"api.example.com": [PUBLIC]}, {(PUBLIC, 443): port})
        async with gateway(world) as house:
            client, _ = await (await house.open(egress=["api.example.com"])).connect("api.example.com:443")
            await client.say(b"all of it")
            client.writer.write_eof()
            assert await client.ended() == b"ALL OF IT"


async def test_what_is_said_before_the_tunnel_stands_is_not_lost():
    async with listening(echo) as port:
        world = World({"api.example.com": [PUBLIC]}, {(PUBLIC, 443): port})
        async with gateway(world) as house:
            client = await (await house.open(egress=["api.example.com"])).client()
            head = "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\n\r\n"
            await client.say(head.encode() + b"early")
            assert (await client.head()).status == 200
            assert await client.reader.readexactly(5) == b"early"


async def test_a_large_answer_comes_through_whole_to_a_reader_that_takes_its_time():
    content = bytes(range(256)) * 32768  # 8 MiB, more than any buffer on the way

    async def all_of_it(reader, writer):
        writer.write(content)
        await writer.drain()

    async with listening(all_of_it) as port:
        world = World({"api.example.com": [PUBLIC]}, {(PUBLIC, 443): port})
        async with gateway(world) as house:
            client, _ = await (await house.open(egress=["api.example.com"])).connect("api.example.com:443")
            found = bytearray()
            while piece := await client.reader.read(50_000):
                found += piece
                await asyncio.sleep(0)
            assert bytes(found) == content


async def test_closing_the_door_cuts_every_tunnel_and_nothing_is_served_after():
    async with listening(echo) as port:
        world = World({"api.example.com": [PUBLIC]}, {(PUBLIC, 443): port})
        async with gateway(world) as house:
            inside = await house.open(egress=["api.example.com"])
            client, _ = await inside.connect("api.example.com:443")
            waiting = await inside.client()
            await inside.door.close()
            assert await client.ended() == await waiting.ended() == b""
            late = await inside.client()
            late.writer.write(b"POST /mcp HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await late.ended() == b""
            await inside.door.close()


async def test_closing_the_gateway_closes_its_doors():
    async with gateway() as house:
        inside = await house.open()
        client = await inside.client()
        await client.ask("/")
        await house.gateway.close()
        assert await client.ended() == b""


async def test_one_door_closed_leaves_another_open():
    async with gateway() as house:
        first, second = await house.open(), await house.open()
        await first.door.close()
        assert (await second.ask("/")).status == 404


# -- the session's own MCP server --------------------------------------------------------------------


async def test_a_message_is_handed_to_the_turn_and_its_answer_comes_back():
    async with gateway() as house:
        inside = await house.open()
        inside.heard.answer = lambda message: {"jsonrpc": "2.0", "id": message["id"], "result": {"ü": 1}}
        answer = await inside.ask("/mcp", method="POST", body=json.dumps(RPC).encode())
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        assert json.loads(answer.body) == {"jsonrpc": "2.0", "id": 1, "result": {"ü": 1}}
        assert inside.heard.messages == [RPC]


async def test_a_message_without_an_answer_is_accepted():
    async with gateway() as house:
        answer = await (await house.open()).ask("/mcp", method="POST", body=json.dumps(RPC).encode())
        assert (answer.status, answer.body) == (202, b"")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[" * 100_000, -32700),
        (b'{"jsonrpc": "2.0", "id": NaN, "method": "x"}', -32700),
        (b"9" * 5000, -32700),
        (b"[]", -32600),
        (b'[{"jsonrpc": "2.0", "id": 1, "method": "x"}]', -32600),
        (b'"text"', -32600),
        (b'{"id": 1, "method": "x"}', -32600),
        (b'{"jsonrpc": "2.0", "id": {}, "method": "x"}', -32600),
        (b'{"jsonrpc": "2.0", "id": true, "method": "x"}', -32600),
        (b'{"jsonrpc": "2.0", "id": 1, "method": 7}', -32600),
    ],
)
async def test_what_is_no_message_is_answered_as_json_rpc_does(content, code):
    async with gateway() as house:
        inside = await house.open()
        answer = await inside.ask("/mcp", method="POST", body=content)
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (400, code)
        assert inside.heard.messages == []


async def test_a_tool_that_breaks_is_an_error_that_tells_nothing():
    async with gateway() as house:
        inside = await house.open()

        def breaks(message):
            raise RuntimeError("the secret of the bot")

        inside.heard.answer = breaks
        answer = await inside.ask("/mcp", method="POST", body=json.dumps(RPC).encode())
        assert json.loads(answer.body)["error"] == {"code": -32603, "message": "The tool broke."}


async def test_a_message_too_large_is_refused_before_it_is_read():
    async with gateway() as house:
        inside = await house.open()
        client = await inside.client()
        await client.say(b"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (413, -32600)


async def test_only_messages_are_taken():
    async with gateway() as house:
        assert (await (await house.open()).ask("/mcp")).code == "method"


# -- the client going away ---------------------------------------------------------------------------


async def test_what_is_done_for_a_client_ends_when_it_leaves():
    began, ended = asyncio.Event(), asyncio.Event()
    async with gateway() as house:
        inside = await house.open()

        async def tool(message):
            began.set()
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        inside.heard.tool = tool
        client = await inside.client()
        content = json.dumps(RPC).encode()
        head = f"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
        await client.say(head.encode() + content)
        async with asyncio.timeout(WAIT_SECONDS):
            await began.wait()
            client.writer.close()
            await ended.wait()


async def test_requests_sent_ahead_are_answered_one_after_another():
    async with gateway() as house:
        inside = await house.open()
        inside.heard.answer = lambda message: {"jsonrpc": "2.0", "id": message["id"], "result": {}}
        client = await inside.client()
        for number in range(20):
            content = json.dumps(RPC | {"id": number}).encode()
            head = f"POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
            await client.say(head.encode() + content)
        assert [json.loads((await client.answer()).body)["id"] for _ in range(20)] == list(range(20))
