"""Strangers at the playground: other pages, other hosts, other users of this machine. Nothing gives way."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiohttp import web
from page_kit import LOGINS, browser, rows, settings, visit
from playground_fixtures import ADA, APP_TOKEN, PAGES, TOKEN, WEB, Slack
from playwright.async_api import Browser, expect
from yarl import URL

from bot.playground.app import Playground
from bot.playground.settings import PlaygroundSettings
from bot.playground.slack.control import MAX_SAID_BYTES
from bot.playground.slack.server import MAX_BODY

pytestmark = pytest.mark.proof("playground")
__all__ = ["browser"]

REFUSED = {400, 401, 403, 404, 405, 413, 415, 431}
STOREFRONT = "acme/storefront"
Json = dict[str, Any]
Record = Any


@dataclass
class Place:
    """A whole playground with one pull request in it, and what a stranger may know: its addresses."""

    both: Playground
    http: aiohttp.ClientSession
    tried: int = 0
    got: list[str] = field(default_factory=list)

    @property
    def slack(self) -> str:
        return self.both.slack_url

    @property
    def github(self) -> str:
        return self.both.github_url

    @property
    def cookie(self) -> str:
        return f"playground_pages_{urlsplit(self.github).port}={PAGES}"

    async def attack(
        self, method: str, url: str, what: str, allowed: set[int] = REFUSED, **how: Any
    ) -> tuple[int, str]:
        """One try; whatever is not refused is noted."""
        self.tried += 1
        async with self.http.request(method, url, allow_redirects=False, **how) as response:
            text = await response.text(errors="replace")
            if response.status not in allowed:
                self.got.append(f"{what}: {method} {url} -> {response.status} {text[:80]!r}")
            shared = [name for name in response.headers if name.lower().startswith("access-control-")]
            if shared:
                self.got.append(f"{what}: {url} lets other pages read it: {shared}")
            return response.status, text

    async def truth(self) -> list[Any]:
        """All that could have been changed, as its owner sees it."""
        headers = {"X-Playground-Token": TOKEN}
        seen: list[Any] = []
        paths = ["state", f"thread?channel={WEB}", "pulls", "requests"]
        for path in paths:
            async with self.http.get(f"{self.slack}/control/{path}", headers=headers) as response:
                assert response.status == 200
                answer = await response.json()
                if path == "requests":  # a ticket for a socket is asked for by whoever may
                    answer = [each for each in answer if each["method"] != "apps.connections.open"]
                seen.append(answer)
        return seen


@asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    base = vars(settings(folder))
    both = Playground(
        PlaygroundSettings(**{**base, "github_tokens": {each: f"ghp_{each}" for each in LOGINS}})
    )
    await both.start()
    try:
        await both.github.commit(STOREFRONT, "topic", "ada-sample", {"a.txt": "a\n"})
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as http:
            found = Place(both, http)
            api = f"{both.github_api_url}/repos/{STOREFRONT}/pulls"
            body = {"title": "Add a", "head": "topic", "base": "main"}
            headers = {"Authorization": "token ghp_ada-sample"}
            async with http.post(api, json=body, headers=headers) as response:
                assert response.status == 201
            yield found
    finally:
        await both.close()


@asynccontextmanager
async def unmoved(folder: Path, record: Record) -> AsyncIterator[Place]:
    """Whatever is tried in it is refused, counted, and changed nothing."""
    async with place(folder) as found:
        before = await found.truth()
        yield found
        assert not found.got, "\n".join(found.got)
        assert await found.truth() == before
        record("cases", found.tried)


def routes(app: web.Application) -> Iterator[tuple[str, str]]:
    """Method and address of each route that the servers themselves know."""
    names = {
        "method": "chat.postMessage",
        "name": "storefront",
        "owner": "acme",
        "login": "ada-sample",
        "channel": WEB,
        "message": "p1700000000000100",
        "secret": "guessed",
        "number": "1",
        "action": "merge",
        "kind": ".diff",
        "place": "main/README.md",
        "sha": "main",
    }
    for route in app.router.routes():
        assert route.resource is not None
        shape = route.resource.canonical
        yield route.method, re.sub(r"\{(\w+)\}", lambda found: names.get(found[1], "1"), shape)


def slack_routes(found: Place) -> list[tuple[str, str]]:
    """Those that hold or change something, which is all but the page's own files."""
    app = found.both.slack._app()
    kept = ("/control/", "/page/")
    listed = [(method, path) for method, path in routes(app) if path.startswith(kept) and method != "HEAD"]
    assert len(listed) >= 20
    return listed


def page_routes(found: Place) -> list[tuple[str, str]]:
    """The code host's pages and forms, without what git and the API serve, and without styles and faces."""
    app = found.both.github._application()
    own = re.compile(r"/-/(?!viewer)|.*/(?:info/refs|git-[a-z-]+)$|/api/v3")
    listed = [(method, path) for method, path in routes(app) if not own.match(path) and method != "HEAD"]
    assert len(listed) >= 11
    return listed


BODY = {
    "channel": WEB,
    "user": ADA,
    "text": "driven",
    "ts": "1.000000",
    "name": "eyes",
    "repository": STOREFRONT,
    "number": 1,
    "state": "approved",
    "branch": "main",
    "files": {"x": "x"},
    "method": "chat.*",
    "kind": "server_error",
    "times": 1,
    "action_id": "a",
    "command": "/threadsmith",
    "thread_ts": "1.000000",
    "view_id": "V",
    "values": {},
}


def how_to(method: str) -> Json:
    """What makes the request one that would do something, if it were let in."""
    return {"json": BODY} if method == "POST" else {"params": {"user": ADA, "channel": WEB, "timeout": "0"}}


def misplaced_tokens() -> Iterator[tuple[str, Json]]:
    """No token, nearly the token, or the token where it does not belong."""
    yield "none", {}
    for wrong in ("", "x", TOKEN[:-1], f"{TOKEN}x", TOKEN.upper(), TOKEN[::-1], f"{TOKEN},{TOKEN}", "ü"):
        yield f"wrong {wrong!r}", {"headers": {"X-Playground-Token": wrong}}
    for name, value in (
        ("Authorization", f"Bearer {TOKEN}"),
        ("Authorization", f"Basic {base64.b64encode(f'x:{TOKEN}'.encode()).decode()}"),
        ("Cookie", f"token={TOKEN}; X-Playground-Token={TOKEN}"),
        ("Referer", f"http://127.0.0.1/?token={TOKEN}"),
        ("X-Token", TOKEN),
        ("X-Playground-Token-", TOKEN),
        ("X-Forwarded-For", "127.0.0.1"),
    ):
        yield f"in {name}", {"headers": {name: value}}


def foreign_hosts(port: int | None) -> list[str]:
    return [
        "evil.example",
        f"evil.example:{port}",
        f"127.0.0.1.evil.example:{port}",
        f"evil-127.0.0.1:{port}",
        f"localhost.evil.example:{port}",
        f"localhost.:{port}",
        "127.0.0.1",
        "localhost",
        f"127.0.0.1:{(port or 0) + 1}",
        f"127.1:{port}",
        f"2130706433:{port}",
        f"[::1]:{port}",
        f"0.0.0.0:{port}",
        f"127.0.0.1:{port}@evil.example",
        f"127.0.0.1:{port}, evil.example",
        "",
    ]


def foreign_origins(port: int | None) -> list[str]:
    return [
        "null",
        "",
        "http://evil.example",
        f"http://evil.example:{port}",
        f"https://127.0.0.1:{port}",
        "http://127.0.0.1",
        f"http://127.0.0.1:{(port or 0) + 1}",
        f"http://127.0.0.1:{port}.evil.example",
        f"http://127.0.0.1:{port}@evil.example",
        f"http://evil.example#http://127.0.0.1:{port}",
        f"http://[::1]:{port}",
        "http://[",
        "file://",
        f"//127.0.0.1:{port}",
        "chrome-extension://abcdefghijklmnop",
    ]


def from_other_pages(url: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The headers of requests that a browser makes for somebody else's page or under somebody else's name."""
    port = urlsplit(url).port
    for host in foreign_hosts(port):
        yield f"host {host!r}", {"Host": host}
    for origin in foreign_origins(port):
        yield f"origin {origin!r}", {"Origin": origin}
    for site in ("cross-site", "same-site", "unheard-of"):
        for mode, dest in (
            ("no-cors", "image"),
            ("cors", "empty"),
            ("websocket", "websocket"),
            ("navigate", "iframe"),
        ):
            sent = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest}
            yield f"sent {site} {dest}", sent


async def test_nothing_is_shown_or_done_without_the_token_in_its_place(
    tmp_path: Path, record_property: Record
) -> None:
    """Every route, by the servers' own list."""
    async with unmoved(tmp_path, record_property) as found:
        for method, path in slack_routes(found):
            for what, how in misplaced_tokens():
                await found.attack(method, found.slack + path, what, {401}, **how_to(method) | how)
            stowed = {"json": {**BODY, "token": TOKEN, "X-Playground-Token": TOKEN}}
            if method == "POST":
                await found.attack(method, found.slack + path, "token in the body", {401}, **stowed)


async def test_nothing_gives_way_to_another_page_or_another_name_even_with_the_token(
    tmp_path: Path, record_property: Record
) -> None:
    """DNS rebinding, cross-site and sandboxed pages, another port of this machine, images, frames."""
    async with unmoved(tmp_path, record_property) as found:
        for method, path in slack_routes(found):
            for what, sent in from_other_pages(found.slack):
                headers = {"X-Playground-Token": TOKEN, **sent}
                how = how_to(method) | {"headers": headers}
                await found.attack(method, found.slack + path, what, {400, 403}, **how)


def disguised_bodies() -> Iterator[tuple[str, bytes]]:
    """JSON in the forms that need no leave of the browser, and a few more."""
    text = json.dumps(BODY).encode()
    yield "text/plain", text
    yield "text/plain; charset=application/json", text
    yield "text/plain, application/json", text
    yield "application/x-www-form-urlencoded", text
    yield (
        "application/x-www-form-urlencoded",
        b"channel=" + WEB.encode() + b"&user=" + ADA.encode() + b"&text=x",
    )
    part = b'--b\r\nContent-Disposition: form-data; name="text"\r\n\r\n' + text + b"\r\n--b--\r\n"
    yield "multipart/form-data; boundary=b", part
    yield "application/octet-stream", text
    yield "text/json", text
    yield "", text


async def test_an_action_is_json_sent_as_json_by_post_and_nothing_else(
    tmp_path: Path, record_property: Record
) -> None:
    """Though the token is right: no form, no GET that changes something, no preflight, no overriding."""
    owner = {"X-Playground-Token": TOKEN}
    async with unmoved(tmp_path, record_property) as found:
        for method, path in slack_routes(found):
            url = found.slack + path
            others = {"GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - {method}
            if method == "POST":
                for kind, body in disguised_bodies():
                    how = {"headers": owner | {"Content-Type": kind}, "data": body}
                    await found.attack("POST", url, f"body as {kind!r}", {415}, **how)
                forced = {
                    "headers": owner | {"X-HTTP-Method-Override": "POST"},
                    "params": {"_method": "POST"},
                }
                await found.attack("GET", url, "method overridden", {405}, **forced)
                most = (
                    MAX_SAID_BYTES if path == "/control/message" else MAX_BODY
                )  # files come with what is said
                large = io.BytesIO(b'"' + b"x" * (most + (1 << 20)))
                how = {"headers": owner | {"Content-Type": "application/json"}, "data": large}
                await found.attack("POST", url, "a MiB too much", {413}, **how)
            else:
                others -= {"HEAD"}
            for other in sorted(others):
                await found.attack(other, url, "another method", {405}, headers=owner)
            asks = {
                "Origin": "http://evil.example",
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "x-playground-token, content-type",
            }
            await found.attack("OPTIONS", url, "preflight", {403}, headers=asks)


async def raw(url: str, request: str) -> str:
    """The first line of the answer to a request written by hand; empty when it is not even answered."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(request.encode("latin-1"))
        await writer.drain()
        line = await asyncio.wait_for(reader.readline(), 10)
        return line.decode("latin-1").strip()
    except ConnectionError:
        return ""
    finally:
        writer.close()


async def test_odd_paths_and_request_lines_lead_nowhere(tmp_path: Path, record_property: Record) -> None:
    """Dots, doubled and encoded slashes, absolute targets, two hosts, a host in the target, no host."""
    async with unmoved(tmp_path, record_property) as found:
        for url, own in ((found.slack, "/control/state"), (found.github, f"/{STOREFRONT}/pull/1")):
            host = urlsplit(url).netloc
            tricks = [
                f"GET {own} HTTP/1.1\r\nHost: {host}",
                f"GET /{own} HTTP/1.1\r\nHost: {host}",
                f"GET /static/..{own} HTTP/1.1\r\nHost: {host}",
                f"GET /static/%2e%2e{own} HTTP/1.1\r\nHost: {host}",
                f"GET /static/..%2f..%2fsecrets HTTP/1.1\r\nHost: {host}",
                f"GET /static/%2fetc%2fpasswd HTTP/1.1\r\nHost: {host}",
                f"GET {own}/ HTTP/1.1\r\nHost: {host}",
                f"GET {own}%00 HTTP/1.1\r\nHost: {host}",
                f"GET {own.replace('/', '%2f')} HTTP/1.1\r\nHost: {host}",
                f"GET {own.replace('/', chr(92))} HTTP/1.1\r\nHost: {host}",
                f"GET http://evil.example{own} HTTP/1.1\r\nHost: {host}",
                f"GET http://{host}{own} HTTP/1.1\r\nHost: evil.example",
                f"GET {own} HTTP/1.0",
                f"GET {own} HTTP/1.1\r\nHost: {host}\r\nHost: evil.example",
                f"GET {own} HTTP/1.1\r\nHost: evil.example\r\nHost: {host}",
                f"GET {own} HTTP/1.1\r\nHost: {host}\r\nX-Forwarded-Host: {host}",
                f"CONNECT {host} HTTP/1.1\r\nHost: {host}",
                f"GET *{own} HTTP/1.1\r\nHost: {host}",
            ]
            for trick in tricks:
                found.tried += 1
                answer = await raw(url, f"{trick}\r\nConnection: close\r\n\r\n")
                status = int(answer.split()[1]) if answer.startswith("HTTP/") else 400
                if status not in REFUSED:
                    found.got.append(f"{trick!r} -> {answer}")


async def test_sockets_open_for_nobody_else(tmp_path: Path, record_property: Record) -> None:
    """The page's without a token or from another origin, Socket Mode's without a fresh ticket."""
    async with unmoved(tmp_path, record_property) as found:
        opened = f"{found.slack}/api/apps.connections.open"

        async def ticket() -> str:
            headers = {"Authorization": f"Bearer {APP_TOKEN}"}
            async with found.http.post(opened, headers=headers) as response:
                return str((await response.json())["url"])

        async def refused(url: str, **how: Any) -> None:
            found.tried += 1
            try:
                async with found.http.ws_connect(url, **how):
                    found.got.append(f"a socket opened: {url} {how}")
            except aiohttp.WSServerHandshakeError as error:
                assert error.status in REFUSED

        events = f"{found.slack}/page/events?user={ADA}"
        port = urlsplit(found.slack).port
        await refused(events)
        await refused(f"{events}&token=guess")
        await refused(f"{found.slack}/link/")
        await refused(f"{found.slack}/link/?ticket=guess")
        for origin in foreign_origins(port):
            await refused(f"{events}&token={TOKEN}", headers={"Origin": origin})
        ticketed = await ticket()
        await refused(ticketed, headers={"Origin": "http://evil.example"})
        async with found.http.ws_connect(ticketed):
            await refused(ticketed)


def without_the_door(found: Place) -> Iterator[tuple[str, Json]]:
    """Requests by somebody who never came in, or came in elsewhere."""
    name = found.cookie.partition("=")[0]
    yield "nothing", {}
    for value in ("", "x", PAGES[:-1], f"{PAGES}x", PAGES.upper(), "ü", "x" * 5000):
        yield f"cookie {value[:12]!r}", {"headers": {"Cookie": f"{name}={value}"}}
    for other in ("token", "playground_pages", f"{name}0", "playground_pages_1"):
        yield f"cookie named {other}", {"headers": {"Cookie": f"{other}={PAGES}"}}
    for header, value in (
        ("Authorization", f"Bearer {PAGES}"),
        ("Authorization", "token ghp_ada-sample"),
        ("X-Playground-Token", TOKEN),
        ("X-Playground-Token", PAGES),
    ):
        yield f"in {header}", {"headers": {header: value}}
    for key, value in (("token", TOKEN), ("token", "x"), ("Token", PAGES), ("pages_token", PAGES)):
        yield f"?{key}=", {"params": {key: value}}


async def test_the_code_hosts_pages_and_forms_open_for_nobody_else(
    tmp_path: Path, record_property: Record
) -> None:
    """Every page by the server's own list; a form's own token is not shown to them either."""
    async with unmoved(tmp_path, record_property) as found:
        for method, path in page_routes(found):
            for what, how in without_the_door(found):
                if method == "POST":
                    origin = {"Origin": found.github, **how.get("headers", {})}
                    how = {**how, "headers": origin, "data": {"login": "ada-sample", "token": PAGES}}
                _, text = await found.attack(method, found.github + path, what, {401}, **how)
                assert 'name="token"' not in text
            for what, sent in from_other_pages(found.github):
                how = {"headers": {"Cookie": found.cookie, **sent}}
                await found.attack(method, found.github + path, what, {400, 403}, **how)


async def test_a_form_of_the_code_host_wants_its_page_and_its_method(
    tmp_path: Path, record_property: Record
) -> None:
    """Come in as we may have: without an origin, the page's own token, or as a GET it does nothing."""
    async with unmoved(tmp_path, record_property) as found:
        cookie = {"Cookie": found.cookie}
        async with found.http.get(f"{found.github}/", headers=cookie) as response:
            [form_token, *_] = re.findall(r'name="token" value="([^"]+)"', await response.text())
        fields = {"login": "ada-sample", "token": form_token, "state": "approved", "body": "x"}
        forms = [path for method, path in page_routes(found) if method == "POST"]
        assert len(forms) == 2
        paths = [path.replace("merge", word) for path in forms for word in ("merge", "close", "say")]
        own = {**cookie, "Origin": found.github}
        for path in dict.fromkeys(paths):
            url = found.github + path
            await found.attack("POST", url, "no origin", {403}, headers=cookie, data=fields)
            for wrong in ({}, {"token": ""}, {"token": PAGES}, {"token": TOKEN}, {"token": form_token[:-1]}):
                data = {k: v for k, v in fields.items() if k != "token"} | wrong
                await found.attack("POST", url, "no form token", {403}, headers=own, data=data)
            for kind in ("application/json", "text/plain"):
                how = {"headers": own | {"Content-Type": kind}, "data": json.dumps(fields)}
                await found.attack("POST", url, kind, {403}, **how)
            for method in ("GET", "PUT", "DELETE", "OPTIONS"):
                await found.attack(method, url, "another method", {403, 404, 405}, headers=own, params=fields)


async def test_the_door_lets_in_once_and_leads_only_to_its_own_pages(tmp_path: Path) -> None:
    """A Strict cookie no script sees, the token gone from the address, and no other host in it."""
    async with place(tmp_path) as found:
        netloc = urlsplit(found.github).netloc
        for asked in ("/", "/acme/ledger?as=ben-sample", "/%2Fevil.example", "/%5Cevil.example", "/a%0D%0Ab"):
            url = URL(found.github + asked + ("&" if "?" in asked else "?") + f"token={PAGES}", encoded=True)
            async with found.http.get(url, allow_redirects=False) as response:
                assert (response.status, response.headers["Location"].upper()) == (303, asked.upper())
                [cookie] = [each for each in response.headers.getall("Set-Cookie") if PAGES in each]
                assert cookie.startswith(found.cookie)
                assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}
        for asked in ("//evil.example", "/\\evil.example/x/y/z", "///evil.example"):
            answer = await raw(found.github, f"GET {asked}?token={PAGES} HTTP/1.0\r\nHost: {netloc}\r\n\r\n")
            assert answer.split()[1] in ("400", "404")
        async with found.http.get(f"{found.github}/", headers={"Cookie": found.cookie}) as response:
            assert response.status == 200


EVIL_PAGE = """<!doctype html><title>elsewhere</title><body><script>
const [slack, github, channel, user, token] = %s;
const body = JSON.stringify({channel, user, text: "driven", repository: "acme/storefront", number: 1});
const tried = [];
const quiet = promise => promise.then(() => "opaque", error => "failed");
const fetches = [];
for (const path of %s) for (const query of ["", "?token=guess", "?token=" + token])
  for (const [method, type] of [["POST", "text/plain"], ["POST", "application/x-www-form-urlencoded"],
                                ["POST", "application/json"], ["GET", ""]])
    for (const mode of ["no-cors", "cors"]) {
      const options = {method, mode, credentials: "include"};
      if (method === "POST") Object.assign(options, {body, headers: {"Content-Type": type}});
      fetches.push(quiet(fetch((path.startsWith("/acme") ? github : slack) + path + query, options)
        .then(answer => { if (answer.type !== "opaque") tried.push("readable " + path + query) })));
    }
const loads = [];
for (const address of [slack + "/control/state?token=" + token, github + "/acme/storefront/pull/1",
                       github + "/acme/storefront/raw/main/README.md", slack + "/page/state?user=" + user])
  for (const [tag, key] of [["img", "src"], ["script", "src"], ["iframe", "src"], ["object", "data"]])
    loads.push(new Promise(done => {
      const node = document.createElement(tag);
      const shows = tag === "img" || tag === "script";
      node.onload = () => { if (shows) tried.push(tag + " loaded " + address); done() };
      node.onerror = done;
      node[key] = address;
      document.body.append(node);
      if (tag === "object" || tag === "iframe") setTimeout(done, 1500);
    }));
const sockets = [slack + "/page/events?user=" + user + "&token=" + token, slack + "/link/?ticket=guess"]
  .map(address => new Promise(done => {
    const socket = new WebSocket(address.replace("http", "ws"));
    socket.onopen = () => { tried.push("socket " + address); done() };
    socket.onerror = socket.onclose = done;
  }));
const forms = [];
const url = "application/x-www-form-urlencoded";
for (const [address, type] of [[slack + "/control/message?token=" + token, "text/plain"],
                               [slack + "/control/merge?token=" + token, url],
                               [slack + "/control/commit?token=" + token, "multipart/form-data"],
                               [github + "/acme/storefront/pull/1/merge", url],
                               [github + "/acme/storefront/pull/1/close", "text/plain"],
                               [github + "/-/viewer", url]])
  forms.push(new Promise(done => {
    const frame = document.createElement("iframe");
    frame.name = "f" + forms.length;
    document.body.append(frame);
    const form = document.createElement("form");
    Object.assign(form, {method: "post", action: address, enctype: type, target: frame.name});
    for (const [name, value] of [["login", "ada-sample"], ["token", token], ["back", "/"], [body, ""]]) {
      const input = document.createElement("input");
      input.type = "hidden"; input.name = name; input.value = value;
      form.append(input);
    }
    document.body.append(form);
    frame.onload = done;
    form.submit();
    setTimeout(done, 1500);
  }));
Promise.all([...fetches, ...loads, ...sockets, ...forms]).then(() => {
  window.outcome = {tried, number: fetches.length + loads.length + sockets.length + forms.length};
});
</script>"""


@asynccontextmanager
async def elsewhere(page_text: str) -> AsyncIterator[str]:
    """Somebody's page on another port of this machine; its address."""

    async def serve(_: web.Request) -> web.Response:
        return web.Response(text=page_text, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_page_on_another_port_drives_nothing_from_a_real_browser(
    tmp_path: Path, browser: Browser, record_property: Record
) -> None:
    """Though the browser is signed in at both sides and the page has even learnt the control token."""
    async with place(tmp_path) as found:
        slack = Slack(found.slack, found.http)
        async with visit(browser, slack, may_fail=True) as page:
            await page.goto(f"{found.github}/?token={PAGES}")
            await expect(page.locator(".viewer")).to_be_visible()
            before = await found.truth()
            paths = [path for _, path in slack_routes(found) if path.startswith("/control/")]
            paths += [f"/{STOREFRONT}/pull/1/merge", f"/{STOREFRONT}/pull/1/close", f"/{STOREFRONT}"]
            known = json.dumps([found.slack, found.github, WEB, ADA, TOKEN])
            async with elsewhere(EVIL_PAGE % (known, json.dumps(paths))) as url:
                await page.goto(url)
                await page.wait_for_function("window.outcome")
                outcome = await page.evaluate("window.outcome")
            assert outcome["tried"] == []
            assert await found.truth() == before
            await page.goto(f"{found.github}/{STOREFRONT}/pull/1")
            await expect(page.locator(".viewer [aria-pressed=true]")).to_contain_text("Ada")
            record_property("cases", outcome["number"])


@pytest.mark.asyncio(loop_scope="module")
async def test_whoever_clicks_from_the_playgrounds_page_notices_no_door(
    tmp_path: Path, browser: Browser
) -> None:
    """The link in a thread opens the pull request in the same person's name, and its button merges it."""
    async with place(tmp_path) as found:
        slack = Slack(found.slack, found.http)
        await slack.client.chat_postMessage(channel=WEB, text=f"<{found.github}/{STOREFRONT}/pull/1|Add a>")
        async with visit(browser, slack) as page:
            async with page.context.expect_page() as opened:
                await rows(page).get_by_role("link", name="Add a").click()
            pull = await opened.value
            await expect(pull.get_by_role("button", name="Merge as Ada")).to_be_visible()
            assert PAGES not in pull.url
            await pull.get_by_role("button", name="Merge as Ada").click()
            await expect(pull.locator("header .badge, .byline").first).to_contain_text("Merged")
        headers = {"X-Playground-Token": TOKEN}
        async with found.http.get(f"{found.slack}/control/pulls", headers=headers) as response:
            assert [each["state"] for each in await response.json()] == ["merged"]
