"""`[gateway]`: what cannot mean what was meant is refused, and no key is shown."""

from __future__ import annotations

from typing import Any

import pytest
from test_config import MINIMAL, checked, mistakes

from bot.errors import Mistake


def gateway_mistakes(route: dict[str, Any], **more: Any) -> dict[str, Mistake]:
    """Those of a route that is right in all but this."""
    right = {"name": "index", "kind": "plain", "upstream": "https://index.example.com/simple"}
    return mistakes(MINIMAL | {"gateway": {"routes": [right | route]}}, **more)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "localhost",
            "example",
            "*",
            "*.com.",
            "*.com",
            "*.*.com",
            "a.*.com",
            "ex*.com",
            "https://example.com",
            "a.com/x",
        ),
        *(
            "127.0.0.1",
            "127.1",
            "1.2.3.4:80",
            "0x7f.1",
            "127.0.0x1",
            "a.0x7f",
            "a.1",
            "10.in-addr.10",
            "[::1]:443",
        ),
        *(
            "::1",
            "example.com:0",
            "example.com:65536",
            "example.com:0443",
            "example.com:",
            "example.com:443:443",
        ),
        *(
            "bücher.example.com",
            "examp\u212ae.com",
            "example.com\n",
            " example.com",
            "-a.example.com",
            "a..com",
        ),
        *("a" * 64 + ".com", ".".join(["abcdefgh"] * 30), "me@example.com", ""),
    ],
)
def test_a_host_to_be_reached_is_a_name_and_never_an_address(host):
    assert mistakes(MINIMAL | {"gateway": {"egress": [host]}}).keys() == {"gateway.egress[1]"}


@pytest.mark.parametrize(
    "host",
    ["Example.COM", "a-b.example.com:8443", "*.example.com", "*.example.com:80", "xn--bcher-kva.example"],
)
def test_a_usual_host_to_be_reached_is_fine(host):
    assert checked(MINIMAL | {"gateway": {"egress": [host]}}).gateway.egress == [host.lower()]


@pytest.mark.parametrize(
    "upstream",
    [
        *(
            "https://me:word@index.example.com/",
            "https://key@index.example.com/",
            "https://index.example.com/?key=1",
        ),
        *("https://index.example.com/#x", "https://index.example.com:0/", "https://index.example.com:99999/"),
        *(
            "https://index.example.com/../x",
            "https://index.example.com/%2e%2e/x",
            "https://index.example.com//x",
        ),
        *("https://:443/", "https://[::1/", "ftp://index.example.com/", "https://bücher.example.com/"),
    ],
)
def test_a_service_s_address_holds_no_key_and_means_one_thing(upstream):
    found = gateway_mistakes({"upstream": upstream})
    assert found.keys() == {"gateway.routes[1].upstream"}
    assert "word" not in str(found) and "key@" not in str(found) and "key=1" not in str(found)


@pytest.mark.parametrize(
    "upstream",
    ["http://10.0.0.1:8080", "http://[::1]:11434/v1", "https://index.example.com/a/b/", "http://ollama"],
)
def test_a_service_may_be_in_one_s_own_network(upstream):
    route = {"name": "index", "kind": "plain", "upstream": upstream}
    assert checked(MINIMAL | {"gateway": {"routes": [route]}}).gateway.routes[0].upstream == upstream


@pytest.mark.parametrize(
    "path",
    [
        "",
        "simple",
        "/a/../b",
        "/./a",
        "/..",
        "/a//b",
        "/a/..;x/*",
        "/a*b",
        "/*/a",
        "/%61",
        "/ü",
        "/a b",
        "/a?b",
    ],
)
def test_a_route_s_path_is_written_plainly(path):
    assert gateway_mistakes({"paths": [path]}).keys() == {"gateway.routes[1].paths[1]"}


@pytest.mark.parametrize(
    "header", ["Host", "content-length", "Transfer-Encoding", "Connection", "a b", "X\r\nY", ""]
)
def test_a_secret_goes_into_a_header_of_its_own(header):
    assert gateway_mistakes({"header": header}).keys() == {"gateway.routes[1].header"}


@pytest.mark.parametrize("text", ["Bearer", "{} {}", "Bearer {}\n", "Bärer {}"])
def test_a_header_s_form_has_one_place_for_the_secret(text):
    assert gateway_mistakes({"format": text}).keys() == {"gateway.routes[1].format"}


@pytest.mark.parametrize("value", ["first\r\nX-Other: second", "kéy-of-the-service", "a\x07bcdefgh"])
def test_a_secret_that_fits_into_no_header_is_refused_and_not_shown(tmp_path, value):
    path = tmp_path / "key.txt"
    path.write_bytes(value.encode())
    path.chmod(0o600)
    found = gateway_mistakes({"secret": {"file": str(path)}}, folder=tmp_path)
    assert value[:6] not in str(found) and str(path) in str(found)


def test_a_route_for_a_repository_that_is_not_there_is_a_mistake():
    route = {"name": "index", "kind": "plain", "upstream": "http://10.0.0.1", "repositories": ["acme/wep"]}
    table = MINIMAL | {"repositories": [{"name": "acme/web"}], "gateway": {"routes": [route]}}
    assert "acme/wep" in str(mistakes(table)["repositories"])
