"""Which hosts may be reached: the list, the ways to write a host, and the addresses behind a name."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading

import pytest
from gateway_kit import PUBLIC, WAIT_SECONDS, World, echo, gateway, listening
from hypothesis import given
from hypothesis import strategies as st

from bot.gateway.hosts import AllowList, Destination, destination, is_public
from bot.gateway.outside import Internet
from bot.gateway.paths import allowed, normal

LABELS = st.from_regex(r"[a-z0-9](?:[a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
TOPS = st.from_regex(r"[a-z][a-z0-9]{1,5}", fullmatch=True).filter(lambda top: not top.startswith("0x"))
HOSTS = st.builds(
    lambda labels, top: ".".join([*labels, top]), st.lists(LABELS, min_size=1, max_size=4), TOPS
)
PORTS = st.integers(1, 65535)


# -- names and the list ------------------------------------------------------------------------------


@given(HOSTS, PORTS, st.booleans(), st.booleans())
def test_a_host_is_the_same_in_capitals_and_with_a_dot_behind_it(host, port, capitals, dot):
    written = (host.upper() if capitals else host) + "." * dot
    assert destination(f"{written}:{port}") == Destination(host, port)


@given(HOSTS, HOSTS, PORTS, PORTS)
def test_an_entry_lets_its_own_host_through_and_no_other(listed, asked, listed_port, asked_port):
    kept = AllowList([f"{listed}:{listed_port}"])
    assert kept.allows(Destination(listed, listed_port))
    assert kept.allows(Destination(asked, asked_port)) == ((asked, asked_port) == (listed, listed_port))


@given(HOSTS, st.lists(LABELS, min_size=1, max_size=3), LABELS)
def test_a_star_stands_for_what_is_below_a_host_and_for_nothing_else(host, below, glued):
    kept = AllowList([f"*.{host}"])
    assert kept.allows(Destination(".".join([*below, host]), 443))
    assert not kept.allows(Destination(host, 443))
    assert not kept.allows(Destination(f"{glued}{host}", 443))
    assert not kept.allows(Destination(f"{host}.{glued}", 443))
    assert not kept.allows(Destination(".".join([*below, host]), 80))


def test_no_port_means_443():
    kept = AllowList(["a.example.com", "b.example.com:8443", "*.c.example.com:80"])
    assert kept.allows(Destination("a.example.com", 443)) and not kept.allows(
        Destination("a.example.com", 80)
    )
    assert kept.allows(Destination("b.example.com", 8443))
    assert not kept.allows(Destination("b.example.com", 443))
    assert kept.allows(Destination("x.c.example.com", 80))


@given(HOSTS, PORTS)
def test_an_empty_list_lets_nothing_through(host, port):
    assert not AllowList().allows(Destination(host, port))


@given(HOSTS, PORTS)
def test_what_an_admin_is_told_to_write_lets_it_through(host, port):
    wanted = Destination(host, port)
    assert AllowList([wanted.entry]).allows(wanted)


NO_HOSTS = [
    "127.0.0.1:443",
    "127.1:443",
    "127.0.1:443",
    "2130706433:443",
    "0x7f000001:443",
    "0x7f.1:443",
    "0X7F.0x1:443",
    "0177.0.0.1:443",
    "017700000001:443",
    "127.0.0.0x1:443",
    "example.com.0x7f:443",
    "1.1.1.1.:443",
    "0:443",
    "[::1]:443",
    "[::ffff:127.0.0.1]:443",
    "[fe80::1%eth0]:443",
    "[fe80::1%25eth0]:443",
    "::1:443",
    "[v1.fe80]:443",
    "[api.example.com]:443",
    "127.0.0.1.:443",
    "⑯⑨。254.169.254:443",
    "１２７.0.0.1:443",
    "ｅxample.com:443",
    "example。com:443",
    "examp\u212ae.com:443",
    "bücher.example.com:443",
    "exa\u00admple.com:443",
    "api.example.com",
    "api.example.com:",
    "api.example.com:0",
    "api.example.com:0443",
    "api.example.com:65536",
    "api.example.com:4433333",
    "api.example.com:-1",
    "api.example.com:+443",
    "api.example.com:٤٤٣",
    "api.example.com:443:443",
    "api.example.com:443/",
    "api.example.com:443@other.example.com:443",
    "me@api.example.com:443",
    "me:me@api.example.com:443",
    "https://api.example.com:443",
    "//api.example.com:443",
    "/api.example.com:443",
    "api.example.com%00.other.example.com:443",
    "api.example.com\x00:443",
    "api.example.com#:443",
    "api.example.com?:443",
    "api.example.com\\:443",
    "api.example.com .:443",
    "api.example.com..:443",
    ".api.example.com:443",
    "api..example.com:443",
    "*.example.com:443",
    "-api.example.com:443",
    "api-.example.com:443",
    "a" * 64 + ".example.com:443",
    ".".join(["abcdefgh"] * 30) + ":443",
    ":443",
    "",
    ":",
]


@pytest.mark.proof("gateway")
@pytest.mark.parametrize("written", NO_HOSTS)
def test_what_is_no_plain_name_and_port_is_no_host(written):
    assert destination(written) is None


@given(st.text(max_size=40) | st.from_regex(r"[0-9a-fx.:\[\]%@/]{1,30}"))
def test_whatever_is_taken_for_a_host_is_no_address_in_any_notation(written):
    found = destination(f"{written}:443")
    if found is not None:
        with pytest.raises(OSError):
            socket.inet_aton(found.host)  # takes decimal, octal, hex and short forms
        with pytest.raises(ValueError):
            ipaddress.ip_address(found.host)


@given(st.ip_addresses())
def test_an_address_is_never_a_host(address):
    assert destination(f"{address}:443") is None
    assert destination(f"[{address}]:443") is None


# -- addresses ---------------------------------------------------------------------------------------

PRIVATE = [
    address
    for row in (
        "0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 127.0.0.1 127.255.255.254",
        "169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192",
        "192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1",
        "239.255.255.250 240.0.0.1 255.255.255.255 168.63.129.16 :: ::1 ::127.0.0.1 ::ffff:127.0.0.1",
        "::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:8.8.8.8 64:ff9b::127.0.0.1 64:ff9b::10.0.0.1",
        "64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 2001:0:7f00:1::1 2001:10::1 2001:20::1",
        "2001:db8::1 2002:7f00:1::1 2002:a00:1::1 2002:808:808::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254",
        "fd20:ce::254 fe80::1 fe80::1%eth0 fe80::1%1 2606:4700::1%eth0 fec0::1 ff02::1 ff0e::1 4000::1",
    )
    for address in row.split()
]


@pytest.mark.proof("gateway")
@pytest.mark.parametrize("address", PRIVATE)
def test_an_address_that_is_not_on_the_internet_is_known_as_such(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1", "64:ff9b::8.8.8.8", "2a00::1"],
)
def test_an_address_of_the_internet_is_known_as_such(address):
    assert is_public(address)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6, network="2000::/3"))
def test_nothing_that_python_holds_for_private_is_taken_for_public(address):
    if is_public(str(address)):
        assert address.is_global and not address.is_multicast and not address.is_reserved


@given(st.text(max_size=20))
def test_what_is_no_address_is_not_public(text):
    if is_public(text):
        ipaddress.ip_address(text)


@pytest.mark.proof("gateway")
@pytest.mark.parametrize("address", PRIVATE)
async def test_a_listed_name_that_leads_to_such_an_address_is_refused_and_told(address):
    """Even when it is one of several: whoever answers for the name is not to be trusted."""
    for found in ([address], [PUBLIC, address]):
        world = World({"rebind.example.com": found})
        async with gateway(world) as house:
            inside = await house.open(egress=["rebind.example.com"])
            _, answer = await inside.connect("rebind.example.com:443")
            assert (answer.status, answer.code) == (403, "private_address")
            assert inside.heard.where == ["rebind.example.com:443"]
            assert address not in str(inside.heard.denials) and world.reached == []


@pytest.mark.proof("gateway")
async def test_a_name_that_changes_its_mind_is_asked_once():
    async with listening(echo) as port:
        world = World(ports={(PUBLIC, 443): port})
        answers = iter([[PUBLIC], ["169.254.169.254"]])

        async def resolve(host, _):
            return next(answers)

        world.resolve = resolve
        async with gateway(world) as house:
            inside = await house.open(egress=["rebind.example.com"])
            assert (await inside.connect("rebind.example.com:443"))[1].status == 200
            assert world.reached == [(PUBLIC, 443)]
            assert (await inside.connect("rebind.example.com:443"))[1].code == "private_address"
            assert world.reached == [(PUBLIC, 443)]


async def test_the_next_address_is_tried_when_one_does_not_answer():
    async with listening(echo) as port:
        world = World({"api.example.com": ["1.1.1.1", PUBLIC]}, {(PUBLIC, 443): port})
        async with gateway(world) as house:
            inside = await house.open(egress=["api.example.com"])
            assert (await inside.connect("api.example.com:443"))[1].status == 200
            assert world.reached == [("1.1.1.1", 443), (PUBLIC, 443)]


@pytest.mark.parametrize(
    ("found", "code"), [([], "unknown_host"), (None, "unknown_host"), (["1.1.1.1"], "unreachable")]
)
async def test_a_host_that_is_not_there_is_an_answer_and_no_denial(found, code):
    world = World({} if found is None else {"api.example.com": found})
    async with gateway(world) as house:
        inside = await house.open(egress=["api.example.com"])
        _, answer = await inside.connect("api.example.com:443")
        assert (answer.status, answer.code, inside.heard.denials) == (502, code, [])


# -- the real outside --------------------------------------------------------------------------------


async def test_the_real_outside_resolves_and_refuses_this_machine_itself():
    outside = Internet()
    try:
        async with listening(echo) as port:
            assert "127.0.0.1" in await outside.resolve("localhost", port)
            with pytest.raises(ConnectionRefusedError):
                await outside.connect("127.0.0.1", port)
        with pytest.raises(OSError):
            await outside.resolve("nowhere.invalid", 443)
    finally:
        outside.close()


async def test_a_name_server_that_never_answers_does_not_hold_up_the_bot_s_own_threads(monkeypatch):
    asked, let_go = threading.Event(), threading.Event()

    def getaddrinfo(*_, **__):
        asked.set()
        let_go.wait()
        raise OSError

    outside = Internet()
    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        waiting = [asyncio.create_task(outside.resolve("slow.example.com", 443)) for _ in range(100)]
        assert await asyncio.wait_for(asyncio.to_thread(asked.wait, WAIT_SECONDS), WAIT_SECONDS)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    finally:
        let_go.set()
        outside.close()


# -- paths of routes ---------------------------------------------------------------------------------

SEGMENTS = st.text(st.sampled_from("abz09-_~.%2eEfF5cC;@/\\ü"), max_size=12)


@given(st.lists(SEGMENTS, max_size=6))
def test_a_path_once_normal_stays_as_it_is_and_names_one_thing(segments):
    """Whatever reading a service gives it, it stays below where it was compared."""
    found = normal("/" + "/".join(segments))
    if found is not None:
        assert normal(found) == found
        assert "//" not in found and "\\" not in found and "%5C" not in found and "%25" not in found
        parts = found.replace("%2E", ".").replace("%2F", "/").split("/")
        assert not {".", ".."} & {part.partition(";")[0] for part in parts}
        assert allowed(found, ["/*"])


@given(st.lists(SEGMENTS, max_size=6), st.sampled_from(["/simple/*", "/a*", "/@a/*"]))
def test_a_path_that_matches_lies_below_its_pattern(segments, pattern):
    found = normal("/" + "/".join(segments))
    if found is not None and allowed(found, [pattern]):
        assert found.replace("%2F", "/").startswith(pattern[:-1])


@given(st.from_regex(r"(/[A-Za-z0-9_-][A-Za-z0-9._~-]{0,8}){0,4}/?", fullmatch=True))
def test_a_usual_path_is_let_through_as_it_is(path):
    if path.startswith("/"):
        assert normal(path) == path
